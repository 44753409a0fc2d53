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

use crate::error::{Error, Kind, Paste, Result, reasons};
use crate::model::proof::{AWS_REQUEST, SubjectToken};
use crate::model::provider::provider_in;
use crate::system::http::{Connection, Endpoint, Failure, Http, Response, refusal, word_in};
use crate::system::{shown, world};

const TIMEOUT: Duration = Duration::from_secs(10);

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
            .map_err(|failure| failure.in_step(step, &address))?;
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
        let error = Error::new(kind, step, address, problem);
        match response.skew(now).filter(|skew| skew.is_too_much()) {
            Some(skew) => error.because(&reasons::CLOCK, &[("skew", &skew.to_string())]),
            None => self.explain(error, code, said, subject),
        }
    }

    /// Says why, and what to do. The `code` is OAuth's; `said` is looked into where that has several reasons, for the codes of
    /// AWS that Google relays, too: <https://www.rfc-editor.org/rfc/rfc6749#section-5.2>.
    fn explain(&self, error: Error, code: &str, said: &str, subject: &SubjectToken) -> Error {
        let provider = provider_in(&self.audience).unwrap_or("PROVIDER");
        let mentions = |words: &[&str]| words.iter().any(|word| said.to_lowercase().contains(word));
        let is_aws = subject.token_type == AWS_REQUEST;
        let values = [("provider", provider)];
        let error = match code {
            "invalid_target" => error.because(&reasons::NO_PROVIDER_THERE, &values),
            "invalid_request" if mentions(&["audience"]) => error.because(&reasons::NO_PROVIDER_THERE, &values),
            "unauthorized_client" => error.because(&reasons::ATTRIBUTE_CONDITION, &[]),
            "invalid_scope" => return error.because(&reasons::SCOPE_REFUSED, &[]),
            _ if mentions(&["127 bytes", "size of mapped attribute"]) => error.because(&reasons::SUBJECT_TOO_LONG, &[]),
            _ if mentions(&["attribute mapping"]) => error.because(&reasons::MAPPING, &[]),
            _ if is_aws && mentions(&["expiredtoken", "token included in the request is expired"]) => {
                return error.because(&reasons::KEYS_EXPIRED, &[]);
            }
            _ if is_aws && mentions(&["invalidclienttokenid"]) => return error.because(&reasons::KEYS_UNKNOWN, &[]),
            _ if is_aws && mentions(&["signature", "not yet current", "expired"]) => {
                return error.because(&reasons::REQUEST_EXPIRED, &[]);
            }
            "invalid_grant" if is_aws && mentions(&["account"]) => error.because(&reasons::OTHER_ACCOUNT, &[]),
            "invalid_grant" => error.because(&reasons::PROOF_REFUSED, &[]),
            "" if error.is_retryable() => return error.because(&reasons::GOOGLE_DOWN, &[]),
            "" => return error,
            _ => error.reason(&reasons::PROOF_REFUSED).advice("compare it with what the provider accepts"),
        };
        let error = match &subject.claims {
            Some(claims) => Error {
                answer: format!(
                    "{}; the token says iss={}, aud={}, sub={}",
                    error.answer,
                    shown::name(&claims.iss),
                    shown::name(&claims.aud.join(" ")),
                    shown::name(&claims.sub)
                ),
                ..error
            },
            None => error,
        };
        error.paste(Paste::Command(format!("gcloud iam workload-identity-pools providers describe {provider}")))
    }
}
