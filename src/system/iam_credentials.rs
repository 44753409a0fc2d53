//! Google's IAM Credentials: tokens of a service account for whoever may impersonate it. Both halves of fedboot call it.
//!
//! `POST /v1/projects/-/serviceAccounts/EMAIL:generateAccessToken` with `{"scope": […], "lifetime": "3600s"}` →
//! `{"accessToken", "expireTime"}`; `…:generateIdToken` with `{"audience", "includeEmail"}` → `{"token"}`; errors as
//! `{"error": {"code", "message", "status"}}`:
//! <https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts>.

use std::time::{Duration, SystemTime};

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::error::{Error, Kind, Paste, Result, reasons};
use crate::system::google_error::GoogleError;
use crate::system::http::{Connection, Endpoint, Failure, Http, refusal, word_in};

const TIMEOUT: Duration = Duration::from_secs(10);

/// One service account at one endpoint.
pub struct IamCredentials {
    endpoint: Endpoint,
    email: String,
}

impl IamCredentials {
    /// Tokens of the service account `email`.
    pub fn new(endpoint: Endpoint, email: String) -> Self {
        Self { endpoint, email }
    }

    /// The service account's address.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// The command that lets `member` act in this `role` towards the account.
    pub fn binding(&self, role: &str, member: &str) -> Paste {
        let email = &self.email;
        Paste::Command(format!(
            "gcloud iam service-accounts add-iam-policy-binding {email} --role roles/iam.{role} --member {member}"
        ))
    }

    /// Opens a connection for the next request.
    ///
    /// # Errors
    /// What came back instead.
    pub async fn connect(&self, http: &Http) -> std::result::Result<Connection, Failure> {
        http.within(TIMEOUT, http.connect(&self.endpoint)).await
    }

    /// An access token and its end.
    ///
    /// # Errors
    /// What came back instead; one that a refusal of the `bearer` has caused is a [`Kind::RefusedProof`].
    pub async fn access_token(
        &self,
        http: &Http,
        prepared: Option<Connection>,
        bearer: &SecretString,
        scopes: &[String],
        lifetime: Duration,
    ) -> Result<(SecretString, SystemTime)> {
        let step = format!("get an access token of {}", self.email);
        let body = json!({"scope": scopes, "lifetime": format!("{}s", lifetime.as_secs())});
        let (address, reply) = self.call(http, prepared, bearer, "generateAccessToken", &step, &body).await?;
        let token = word_in(&reply, "accessToken");
        let end =
            reply.get("expireTime").and_then(Value::as_str).and_then(|time| humantime::parse_rfc3339_weak(time).ok());
        token.zip(end).ok_or_else(|| useless(step, address, "holds no access token with its end"))
    }

    /// An ID token for `audience`.
    ///
    /// # Errors
    /// As above.
    pub async fn id_token(
        &self,
        http: &Http,
        prepared: Option<Connection>,
        bearer: &SecretString,
        audience: &str,
    ) -> Result<SecretString> {
        let step = format!("mint an ID token of {}", self.email);
        let body = json!({"audience": audience, "includeEmail": true});
        let (address, reply) = self.call(http, prepared, bearer, "generateIdToken", &step, &body).await?;
        let token = word_in(&reply, "token");
        token.ok_or_else(|| useless(step, address, "holds no token"))
    }

    async fn call(
        &self,
        http: &Http,
        prepared: Option<Connection>,
        bearer: &SecretString,
        action: &str,
        step: &str,
        body: &Value,
    ) -> Result<(String, Value)> {
        let path = format!("/v1/projects/-/serviceAccounts/{}:{action}", self.email);
        let address = self.endpoint.shown(&path);
        let authorization = SecretString::from(format!("Bearer {}", bearer.expose_secret()));
        let headers = [(AUTHORIZATION, authorization.expose_secret()), (CONTENT_TYPE, "application/json")];
        let response = http
            .send_on(prepared, &self.endpoint, TIMEOUT, Method::POST, &path, &headers, body.to_string())
            .await
            .map_err(|failure| failure.in_step(step, &address))?;
        if response.status == 200 {
            return Ok((address, serde_json::from_slice(&response.body).unwrap_or_default()));
        }
        let kind = match response.status.as_u16() {
            401 => Kind::RefusedProof,
            _ => response.kind(false),
        };
        let reply: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let problem = match refusal(&reply) {
            (_, Some(message)) => format!("answered {}: {}", response.status, response.words(message)),
            _ => response.describe(),
        };
        let google = GoogleError::of(&reply);
        let error = google.explain(Error::new(kind, step, address, problem), &self.email);
        // Who asks is somebody else's to say; this only says that he may not.
        let is_binding = google.is_missing_permission() && error.is(&reasons::UNFORESEEN);
        Err(if is_binding { error.because(&reasons::NOT_IMPERSONATABLE, &[("email", &self.email)]) } else { error })
    }
}

fn useless(step: String, address: String, why: &str) -> Error {
    Error::new(Kind::Transient, step, address, format!("answered 200, but the answer {why}"))
}
