//! AWS STS: `GetCallerIdentity`, signed for somebody else to send: who receives the answer knows who signed.
//!
//! Google's subject token of that kind is the request as URL-encoded JSON, `{"url", "method", "headers": [{"key",
//! "value"}]}`; the signed header `x-goog-cloud-target-resource` names the provider, so that nobody else can use it:
//! <https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token#request-body>,
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as AwsKeys;
use hyper::Method;
use secrecy::SecretString;
use serde_json::json;

use crate::error::{Error, Kind, Result};
use crate::exchange::sts::signature;
use crate::format::xml::Reply;
use crate::model::proof::{AWS_REQUEST, SubjectToken};
use crate::system::http::{Endpoint, Http};
use crate::system::shown;

const TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked of STS.
pub const QUERY: &str = "?Action=GetCallerIdentity&Version=2011-06-15";

/// The request, for one provider.
pub struct CallerIdentity {
    /// The URL, in which `{region}` may stand.
    pub verification_url: String,
    /// The provider.
    pub target: String,
}

impl CallerIdentity {
    /// The request, signed with `keys` at the time `now`, as a subject token.
    ///
    /// # Errors
    /// What cannot be signed.
    pub fn prove(&self, keys: &AwsKeys, region: &str, now: SystemTime) -> Result<SubjectToken> {
        let url = self.url(region);
        let signed = self.sign(keys, region, now)?;
        let host = url.split("://").nth(1).unwrap_or_default().split(['/', '?']).next().unwrap_or_default();
        let fixed = [("host", host), ("x-goog-cloud-target-resource", self.target.as_str())];
        let headers: Vec<_> = fixed
            .into_iter()
            .chain(signed.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            // As Google's own clients write it, and its documentation.
            .map(|(key, value)| json!({"key": if key == "authorization" { "Authorization" } else { key }, "value": value}))
            .collect();
        let request = json!({"url": url, "method": "POST", "headers": headers}).to_string();
        let token: String = form_urlencoded::byte_serialize(request.as_bytes()).collect();
        Ok(SubjectToken {
            // Of a form, a plus is a space; of a URL, which is what is asked for, it is a plus.
            token: SecretString::from(token.replace('+', "%20")),
            token_type: AWS_REQUEST.into(),
            claims: None,
        })
    }

    /// The ARN for which `keys` stand, asked of AWS itself; `None` where it does not say.
    pub async fn arn(&self, http: &Http, keys: &AwsKeys, region: &str, now: SystemTime) -> Option<String> {
        let (endpoint, path) = Endpoint::with_path(&self.url(region), true).ok()?;
        let signed = self.sign(keys, region, now).ok()?;
        let target = ("x-goog-cloud-target-resource".to_owned(), self.target.clone());
        let signed: Vec<_> = signed.into_iter().chain([target]).collect();
        let headers = signature::headers(&signed);
        let response = http.send(&endpoint, TIMEOUT, Method::POST, &path, &headers, String::new()).await.ok()?;
        Reply::parse(&response.body)?.text("Arn").filter(|arn| shown::is_arn(arn)).map(str::to_owned)
    }

    fn url(&self, region: &str) -> String {
        self.verification_url.replace("{region}", region)
    }

    fn sign(&self, keys: &AwsKeys, region: &str, now: SystemTime) -> Result<Vec<(String, String)>> {
        let url = self.url(region);
        let headers = [("x-goog-cloud-target-resource", self.target.as_str())];
        signature::sign(keys, region_of(&url).unwrap_or(region), &url, &headers, "", now)
            .map_err(|problem| Error::new(Kind::Fatal, "sign a request for AWS STS", shown::url(&url), problem))
    }
}

/// The region that the host of an STS belongs to, whoever asks it.
fn region_of(url: &str) -> Option<&str> {
    let host = url.split("://").nth(1)?.split(['/', '?', ':']).next()?;
    if host == "sts.amazonaws.com" {
        return Some("us-east-1");
    }
    let rest = host.strip_prefix("sts.").or_else(|| host.strip_prefix("sts-fips."))?;
    rest.split('.').next().filter(|region| region.contains('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions() {
        for (url, region) in [
            ("https://sts.amazonaws.com?Action=GetCallerIdentity", Some("us-east-1")),
            ("https://sts.eu-west-1.amazonaws.com?a", Some("eu-west-1")),
            ("https://sts.cn-north-1.amazonaws.com.cn/?a", Some("cn-north-1")),
            ("http://127.0.0.1:1/?a", None),
        ] {
            assert_eq!(region_of(url), region, "{url}");
        }
    }
}
