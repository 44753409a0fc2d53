use std::time::{Duration, SystemTime};

use fedboot_sandbox::{Issued, Sandbox};
use ring::{digest, hmac};

use crate::client::{Answer, FORM, assume, request};

const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// What is signed and sent; a test changes one thing.
pub struct Signed {
    date: String,
    service: &'static str,
    signed_headers: &'static str,
    key: String,
    pub secret: String,
    token: String,
    body_signed: String,
    body_sent: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn stamp(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string().replace(['-', ':'], "")
}

impl Signed {
    pub fn by(issued: &Issued) -> Self {
        Self {
            date: stamp(SystemTime::now()),
            service: "sts",
            signed_headers: "content-type;host;x-amz-date;x-amz-security-token",
            key: issued.access_key_id.clone(),
            secret: issued.secret_access_key.clone(),
            token: issued.session_token.clone(),
            body_signed: BODY.into(),
            body_sent: BODY.into(),
        }
    }

    /// The same caller with another question.
    pub fn asking(mut self, body: &str) -> Self {
        (self.body_signed, self.body_sent) = (body.into(), body.into());
        self
    }

    pub fn send(&self, sandbox: &Sandbox) -> Answer {
        let host = sandbox.sts_url().replace("https://", "");
        let headers = [
            ("content-type", FORM.1),
            ("host", host.as_str()),
            ("x-amz-date", &self.date),
            ("x-amz-security-token", &self.token),
        ];
        let signed = headers.iter().filter(|(name, _)| self.signed_headers.split(';').any(|signed| signed == *name));
        let keys = (self.key.as_str(), self.secret.as_str());
        let signed: Vec<_> = signed.copied().collect();
        let authorization = authorization(keys, &self.date, self.service, "", &signed, &self.body_signed);
        let mut headers = headers.to_vec();
        headers.push(("authorization", &authorization));
        request(&sandbox.sts_url(), "POST", &headers, &self.body_sent, Some(&sandbox.ca_file())).unwrap()
    }
}

/// The header of a POST to `/` that is signed with an id and a secret; the headers are all those that are signed, in
/// order.
pub fn authorization(
    (id, secret): (&str, &str),
    date: &str,
    service: &str,
    query: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> String {
    let sha256 = |text: &str| hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let signed: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("POST\n/\n{query}\n{signed}\n{names}\n{}", sha256(body));
    let day = &date[..8];
    let scope = format!("{day}/eu-west-1/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(&canonical));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [day, "eu-west-1", service, "aws4_request", &text] {
        let step = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&step, part.as_bytes()).as_ref().to_vec();
    }
    let signature = hex(&key);
    format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
}

#[test]
fn a_signature_is_verified_in_every_part() {
    let sandbox = Sandbox::start().unwrap();
    assume(&sandbox).unwrap();
    let issued = sandbox.issued().remove(0);
    let answer = Signed::by(&issued).send(&sandbox);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.element("Arn").as_ref(), Some(&issued.assumed_role_arn));
    assert_eq!(answer.element("UserId").as_ref(), Some(&issued.assumed_role_id));
    assert_eq!(answer.element("Account").as_deref(), Some("123456789012"));

    let other_body = format!("{BODY}&X=1");
    type Change<'a> = &'a dyn Fn(&mut Signed);
    let table: [(&str, Change<'_>, &str); 9] = [
        ("secret", &|s| s.secret.push('x'), "SignatureDoesNotMatch"),
        ("body", &|s| s.body_sent = other_body.clone(), "SignatureDoesNotMatch"),
        ("service", &|s| s.service = "s3", "SignatureDoesNotMatch"),
        ("key", &|s| s.key = "ASIAAAAAAAAAAAAAAAAA".into(), "InvalidClientTokenId"),
        ("token", &|s| s.token.push('x'), "InvalidClientTokenId"),
        ("old", &|s| s.date = stamp(SystemTime::now() - Duration::from_secs(1000)), "SignatureDoesNotMatch"),
        ("early", &|s| s.date = stamp(SystemTime::now() + Duration::from_secs(1000)), "SignatureDoesNotMatch"),
        ("host unsigned", &|s| s.signed_headers = "x-amz-date;x-amz-security-token", "SignatureDoesNotMatch"),
        ("token unsigned", &|s| s.signed_headers = "host;x-amz-date", "SignatureDoesNotMatch"),
    ];
    for (name, change, code) in table {
        let mut signed = Signed::by(&issued);
        change(&mut signed);
        let answer = signed.send(&sandbox);
        assert_eq!(answer.status, 403, "{name}: {}", answer.text());
        assert_eq!(answer.element("Code").as_deref(), Some(code), "{name}");
    }
    let unsigned = request(&sandbox.sts_http_url(), "POST", &[FORM], BODY, None).unwrap();
    assert_eq!(unsigned.element("Code").as_deref(), Some("MissingAuthenticationToken"));
}

#[test]
fn credentials_end() {
    let sandbox = Sandbox::builder()
        .credential_lifetime(Duration::from_millis(1))
        .settings(|settings| settings.dialect.nanoseconds = true)
        .start()
        .unwrap();
    assume(&sandbox).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    let answer = Signed::by(&sandbox.issued()[0]).send(&sandbox);
    assert_eq!((answer.status, answer.element("Code").as_deref()), (403, Some("ExpiredToken")));
}
