//! Checks [Signature Version 4](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html)
//! in the `Authorization` header.

use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use ring::{digest, hmac};

use crate::aws::xml::Element;
use crate::clock::{amz_date, hex, shifted};
use crate::state::State;
use crate::state::issued::Issued;
use crate::state::log::Request;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const TOLERANCE: Duration = Duration::from_secs(15 * 60);

/// An AWS error: code and message; its status is the code's usual one.
pub(crate) type Refusal = (&'static str, String);
/// The parts of a result, and the verdict for the log.
pub(crate) type Answer = Result<(Vec<Element>, String), Refusal>;

/// Whose request this is, for a service whose clock is ahead by `skew` seconds.
pub(crate) fn signer(state: &State, request: &Request, skew: i64) -> Result<Issued, Refusal> {
    let now = shifted(SystemTime::now(), skew);
    let incomplete = |why: &str| ("IncompleteSignature", why.to_string());
    let header = request
        .header("authorization")
        .ok_or(("MissingAuthenticationToken", "Request is missing Authentication Token".to_string()))?;
    let fields =
        header.strip_prefix("AWS4-HMAC-SHA256").ok_or_else(|| incomplete("Authorization is not AWS4-HMAC-SHA256"))?;
    let field = |name: &str| {
        fields
            .split(',')
            .filter_map(|field| field.trim().split_once('='))
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
            .ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
    };
    let (credential, signed, signature) = (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
    let (access_key_id, scope) = credential.split_once('/').ok_or_else(|| incomplete("Credential has no scope"))?;
    let [date, region, service, "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else {
        return Err(incomplete("Credential must have exactly 5 slash-delimited elements"));
    };

    let known = state.find_issued(access_key_id);
    let token = request.header("x-amz-security-token");
    let Some(owner) = known.filter(|known| token == Some(&known.session_token)) else {
        let message = "The security token included in the request is invalid.";
        return Err(("InvalidClientTokenId", message.into()));
    };
    if !owner.is_live() {
        let message = "The security token included in the request is expired";
        return Err(("ExpiredToken", message.into()));
    }

    let mismatch = |why: String| ("SignatureDoesNotMatch", why);
    if service != "sts" {
        return Err(mismatch("Credential should be scoped to correct service: 'sts'. ".into()));
    }
    let stamp = request.header("x-amz-date").ok_or_else(|| incomplete("X-Amz-Date is missing"))?;
    let at = amz_date(stamp)
        .filter(|_| stamp.starts_with(date))
        .ok_or_else(|| mismatch(format!("Date in Credential scope does not match {stamp}")))?;
    if at + TOLERANCE < now {
        return Err(mismatch(format!("Signature expired: {stamp} is now earlier than the allowed time")));
    }
    if now + TOLERANCE < at {
        return Err(mismatch(format!("Signature not yet current: {stamp} is still later than the allowed time")));
    }
    let names: Vec<&str> = signed.split(';').collect();
    let unsigned = request
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .find(|name| (*name == "host" || name.starts_with("x-amz-")) && !names.contains(name));
    if let Some(name) = unsigned {
        return Err(mismatch(format!("'{name}' must be a signed header in the AWS Authorization.")));
    }

    let canonical =
        canonical_request(&request.method, &request.path, &request.query, &request.headers, signed, &request.body);
    if sign(&owner.secret_access_key, stamp, [date, region, service], &canonical) != signature {
        return Err(mismatch(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details."
                .into(),
        ));
    }
    Ok(owner)
}

fn canonical_request(
    method: &str,
    path: &str,
    query: &str,
    headers: &[(String, String)],
    signed: &str,
    body: &str,
) -> String {
    let mut query: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            format!("{}={}", recode(name), recode(value))
        })
        .collect();
    query.sort();
    let headers: String = signed
        .split(';')
        .map(|name| {
            let values = headers.iter().filter(|(found, _)| found == name);
            let values: Vec<String> =
                values.map(|(_, value)| value.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            format!("{name}:{}\n", values.join(","))
        })
        .collect();
    format!("{method}\n{path}\n{}\n{headers}\n{signed}\n{}", query.join("&"), sha256(body.as_bytes()))
}

fn sign(secret: &str, stamp: &str, [date, region, service]: [&str; 3], canonical: &str) -> String {
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let key = format!("AWS4{secret}").into_bytes();
    let parts = [date, region, service, "aws4_request", &text];
    hex(&parts.into_iter().fold(key, |key, part| hmac_sha256(&key, part.as_bytes())))
}

fn recode(text: &str) -> String {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    percent_encode(&bytes, UNRESERVED).to_string()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, data).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of [AWS's own documentation](https://docs.aws.amazon.com/general/latest/gr/sigv4-create-canonical-request.html).
    #[test]
    fn signs_the_documented_example() {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "iam.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()));
        let query = "Version=2010-05-08&Action=ListUsers";
        let canonical = canonical_request("GET", "/", query, &headers, "content-type;host;x-amz-date", "");
        assert_eq!(sha256(canonical.as_bytes()), "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59");
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let scope = ["20150830", "us-east-1", "iam"];
        assert_eq!(
            sign(secret, "20150830T123600Z", scope, &canonical),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }
}
