//! Google's STS: a proof of who somebody is elsewhere becomes a federated access token.
//!
//! A form POST by RFC 8693: <https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token>; the answer
//! `{"access_token", "expires_in"}`, an error `{"error", "error_description"}`:
//! <https://www.rfc-editor.org/rfc/rfc8693#section-2>.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::Serializer;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::error::{Error, Kind, Result};
use crate::model::proof::{AWS_REQUEST, SubjectToken};
use crate::model::provider::provider_in;
use crate::system::http::{Connection, Endpoint, Failure, Http, Response, refusal, word_in};
use crate::system::{shown, world};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Clocks that are farther apart than this are worth a word.
const SKEW: Duration = Duration::from_secs(60);

/// Google's STS, for one provider.
pub struct GoogleSts {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The path there.
    pub path: String,
    /// The provider.
    pub audience: String,
    /// An OAuth client's id and secret, by which some pools know their callers.
    pub client: Option<(String, SecretString)>,
    /// The project that a workforce pool's requests are charged to.
    pub user_project: Option<String>,
}

impl GoogleSts {
    /// Opens a connection for the next request.
    ///
    /// # Errors
    /// What came back instead.
    pub async fn connect(&self, http: &Http) -> std::result::Result<Connection, Failure> {
        http.within(TIMEOUT, http.connect(&self.endpoint)).await
    }

    /// A federated token for `scopes`, and its end. `now` asks the clock.
    ///
    /// # Errors
    /// What came back instead; one that another proof may mend is a [`Kind::RefusedProof`].
    pub async fn exchange(
        &self,
        http: &Http,
        prepared: Option<Connection>,
        subject: &SubjectToken,
        scopes: &[String],
        now: impl Fn() -> SystemTime,
    ) -> Result<(SecretString, SystemTime)> {
        let step = "exchange the proof for a Google token";
        let address = self.endpoint.shown(&self.path);
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            .append_pair("audience", &self.audience)
            .append_pair("requested_token_type", "urn:ietf:params:oauth:token-type:access_token")
            .append_pair("scope", &scopes.join(" "))
            .append_pair("subject_token_type", &subject.token_type)
            .append_pair("subject_token", subject.token.expose_secret());
        if let (Some(project), None) = (&self.user_project, &self.client) {
            form.append_pair("options", &json!({"userProject": project}).to_string());
        }
        let basic = self.client.as_ref().map(|(id, secret)| {
            let pair = STANDARD.encode(format!("{id}:{}", secret.expose_secret()));
            SecretString::from(format!("Basic {pair}"))
        });
        let mut headers = vec![(CONTENT_TYPE, "application/x-www-form-urlencoded")];
        headers.extend(basic.iter().map(|basic| (AUTHORIZATION, basic.expose_secret())));
        let response = http
            .send_on(prepared, &self.endpoint, TIMEOUT, Method::POST, &self.path, &headers, form.finish())
            .await
            .map_err(|failure| {
                failure.in_step(step, &address).advice("check the way to sts.googleapis.com: proxy, firewall")
            })?;
        let json: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        if response.status != 200 {
            return Err(self.refused(step, address, &response, &json, subject, now()));
        }
        // Where nothing is said of its end, Google's own clients take an hour, too.
        let expiration = world::time_in(now(), json.get("expires_in").and_then(Value::as_u64).unwrap_or(3600));
        word_in(&json, "access_token").zip(expiration).ok_or_else(|| {
            let problem = "answered 200 without an access token in it: cut short, or not Google's STS";
            Error::new(Kind::Transient, step, address, problem)
        })
    }

    fn refused(
        &self,
        step: &str,
        address: String,
        response: &Response,
        json: &Value,
        subject: &SubjectToken,
        now: SystemTime,
    ) -> Error {
        // STS's own errors, or those of the front end before it.
        let (code, said) = refusal(json);
        let (code, said) = (code.unwrap_or_default(), said.unwrap_or_default());
        let kind = match code {
            "invalid_grant" => Kind::RefusedProof,
            _ => response.kind(false),
        };
        let problem = match (code, said) {
            ("", _) => response.describe(),
            (code, "") => format!("answered {} {}", response.status.as_u16(), response.words(code)),
            (code, said) => {
                format!("answered {} {}: {}", response.status.as_u16(), response.words(code), response.words(said))
            }
        };
        let mut advice = self.advice(code, said, subject);
        let there = response.header("date").and_then(|date| httpdate::parse_http_date(&date).ok());
        if let Some(skew) = there.and_then(|there| skew(now, there)) {
            advice = format!("this machine's clock is {skew} Google's: set it right");
        }
        Error::new(kind, step, address, problem).advice(advice)
    }

    fn advice(&self, code: &str, said: &str, subject: &SubjectToken) -> String {
        let provider = provider_in(&self.audience).unwrap_or("PROVIDER");
        let describe = format!("gcloud iam workload-identity-pools providers describe {provider}");
        let mentions = |words: &[&str]| words.iter().any(|word| said.to_lowercase().contains(word));
        let is_aws = subject.token_type == AWS_REQUEST;
        match code {
            "invalid_target" | "invalid_request"
                if mentions(&["audience", "provider", "pool"]) || code == "invalid_target" =>
            {
                format!("is there a provider {provider}, and is it enabled? {describe} says")
            }
            "unauthorized_client" => {
                format!("the provider's attribute condition refuses this identity: {describe} shows it")
            }
            _ if is_aws && mentions(&["expired", "not yet current", "signature"]) => {
                "check this machine's clock, and that nothing changes the request on its way".into()
            }
            "invalid_grant" if mentions(&["account"]) => {
                format!("the provider is for another AWS account: {describe} shows which (aws.accountId)")
            }
            "invalid_grant" if is_aws => {
                format!("the provider must be one for AWS and for this account; {describe} shows it")
            }
            "invalid_grant" => match &subject.claims {
                Some(claims) => format!(
                    "the token says iss={}, aud={}, sub={}, and must not have expired: the provider's issuer, keys and allowed \
                     audiences must match; {describe} shows them",
                    shown::name(&claims.iss),
                    shown::name(&claims.aud.join(" ")),
                    shown::name(&claims.sub)
                ),
                None => format!("{describe} shows what the provider accepts"),
            },
            _ => format!("{describe} shows what the provider accepts"),
        }
    }
}

/// How far `here` is from `there`, in words; none where that is little.
fn skew(here: SystemTime, there: SystemTime) -> Option<String> {
    let (apart, word) = match here.duration_since(there) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    (apart > SKEW).then(|| format!("{} s {word}", apart.as_secs()))
}
