//! What a request carried: a server may quote it, and what a server says is shown.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hyper::HeaderMap;
use hyper::body::Bytes;
use serde_json::Value;

/// Headers that say nothing of anybody. Any other one may be a secret: an external-account file names them freely.
const HARMLESS_HEADERS: &[&str] = &[
    "accept",
    "content-length",
    "content-type",
    "host",
    "metadata-flavor",
    "user-agent",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-aws-ec2-metadata-token-ttl-seconds",
    "x-goog-cloud-target-resource",
];
/// Parameters of forms and queries, and fields of JSON, that a refusal may name.
const HARMLESS_NAMES: &[&str] = &[
    "Action",
    "Audience.member.1",
    "DurationSeconds",
    "RoleArn",
    "RoleSessionName",
    "SigningAlgorithm",
    "Version",
    "audience",
    "format",
    "grant_type",
    "includeEmail",
    "key",
    "licenses",
    "lifetime",
    "method",
    "recursive",
    "requested_token_type",
    "scope",
    "scopes",
    "subject_token_type",
    "url",
];
/// Shorter than this is no secret, and would be found in every sentence.
const SHORTEST: usize = 6;

/// A request, kept until its answer has been read.
#[derive(Clone, Default)]
pub(super) struct Sent {
    /// All of them.
    pub headers: HeaderMap,
    /// Path and query.
    pub target: String,
    /// A form, JSON, or nothing.
    pub body: Bytes,
    /// Whether the path is a secret, too.
    pub confidential: bool,
}

impl Sent {
    /// `text` without anything that was sent, plain or encoded.
    pub fn cut(&self, text: &str) -> String {
        let mut secrets: Vec<String> = self.secrets().iter().flat_map(|secret| spellings(secret)).collect();
        secrets.retain(|secret| secret.len() >= SHORTEST);
        // What holds another one goes first.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), crate::system::shown::CUT) } else { text }
        })
    }

    fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for (name, value) in &self.headers {
            header(name.as_str(), &String::from_utf8_lossy(value.as_bytes()), &mut secrets);
        }
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        parameters(query.as_bytes(), &mut secrets);
        if self.confidential {
            secrets.push(self.target.clone());
            secrets.push(path.into());
            secrets.extend(path.split('/').map(str::to_owned));
        }
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(json) => fields("", &json, &mut secrets),
            Err(_) => parameters(&self.body, &mut secrets),
        }
        secrets
    }
}

fn header(name: &str, value: &str, secrets: &mut Vec<String>) {
    let name = name.to_lowercase();
    if HARMLESS_HEADERS.contains(&name.as_str()) {
        return;
    }
    secrets.push(value.to_owned());
    let Some((scheme, rest)) = value.split_once(' ') else { return };
    secrets.push(rest.to_owned());
    if scheme.eq_ignore_ascii_case("basic")
        && let Some(pair) = STANDARD.decode(rest).ok().and_then(|pair| String::from_utf8(pair).ok())
    {
        secrets.extend(pair.split_once(':').map(|(_, password)| password.to_owned()));
        secrets.push(pair);
    }
    let named = rest.split(',').filter_map(|part| part.trim().split_once('='));
    secrets.extend(named.filter(|(name, _)| *name != "SignedHeaders").map(|(_, value)| value.to_owned()));
}

fn parameters(form: &[u8], secrets: &mut Vec<String>) {
    for (name, value) in form_urlencoded::parse(form) {
        if !is_harmless(&name) {
            inside(&value, secrets);
            secrets.push(value.into_owned());
        }
    }
}

/// A signed request stands as JSON, encoded once more, in a parameter of another.
fn inside(value: &str, secrets: &mut Vec<String>) {
    if !value.starts_with("%7B") {
        return;
    }
    let decoded = form_urlencoded::parse(value.as_bytes()).next().map(|(name, _)| name.into_owned());
    if let Some(json) = decoded.and_then(|text| serde_json::from_str(&text).ok().inspect(|_| secrets.push(text))) {
        fields("", &json, secrets);
    }
}

fn fields(name: &str, json: &Value, secrets: &mut Vec<String>) {
    match json {
        Value::Object(object) => match (object.get("key"), object.get("value")) {
            (Some(Value::String(name)), Some(Value::String(value))) => header(name, value, secrets),
            _ => object.iter().for_each(|(name, value)| fields(name, value, secrets)),
        },
        Value::Array(list) => list.iter().for_each(|value| fields(name, value, secrets)),
        Value::String(text) if !is_harmless(name) => secrets.push(text.clone()),
        _ => {}
    }
}

fn is_harmless(name: &str) -> bool {
    HARMLESS_NAMES.contains(&name) || name.starts_with("PolicyArns.member.")
}

/// A secret as it stands in URLs, in JSON, in XML and in base64.
fn spellings(secret: &str) -> Vec<String> {
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let json = Value::from(secret).to_string().trim_matches('"').to_owned();
    let xml = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let all = [
        form.replace('+', "%20"),
        json.replace('/', "\\/"),
        json,
        xml.replace('"', "&quot;"),
        xml,
        STANDARD_NO_PAD.encode(secret),
        form,
        secret.to_owned(),
    ];
    all.into()
}

#[cfg(test)]
mod tests {
    use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn what_was_sent_is_cut_out() {
        let mut sent = Sent {
            target: "/v2/credentials/in-the-path?token=in-the-query&audience=shown".into(),
            confidential: true,
            body: "Action=AssumeRole&WebIdentityToken=in%2Fthe+form&RoleArn=arn%3Aa".into(),
            ..Sent::default()
        };
        sent.headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic dXNlcjpwYXNzd29yZA=="));
        sent.headers.insert(HeaderName::from_static("x-mine"), HeaderValue::from_static("in-a-header"));
        for text in [
            "in-the-path",
            "in-the-query",
            "in/the form",
            "in%2Fthe+form",
            "in%2Fthe%20form",
            "in\\/the form",
            "password",
            "dXNlcjpwYXNzd29yZA==",
            "in-a-header",
            "aW4tYS1oZWFkZXI=",
        ] {
            let cut = sent.cut(&format!("no {text} here"));
            assert!(cut.starts_with("no […]") && cut.ends_with(" here") && !cut.contains(text), "{cut}");
        }
        for text in ["AssumeRole of arn:a", "shown"] {
            assert_eq!(sent.cut(text), text);
        }
    }

    #[test]
    fn a_request_inside_a_request() {
        let request = r#"{"url":"https://sts/","headers":[{"key":"Authorization","value":"AWS4-HMAC-SHA256 Credential=AK/1, SignedHeaders=host;x, Signature=abcdef0123"},{"key":"x-amz-security-token","value":"session/token"},{"key":"host","value":"sts.example"}]}"#;
        let once: String = form_urlencoded::byte_serialize(request.as_bytes()).collect();
        let twice: String = form_urlencoded::byte_serialize(once.replace('+', "%20").as_bytes()).collect();
        let sent = Sent { body: format!("subject_token={twice}").into(), ..Sent::default() };
        for text in [request, "abcdef0123", "session/token", &once.replace('+', "%20")] {
            assert!(!sent.cut(&format!("not {text}!")).contains(text), "{text}");
        }
        assert_eq!(sent.cut("sts.example host;x"), "sts.example host;x");
    }
}
