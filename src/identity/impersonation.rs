//! Another service account's ID token, minted by IAM Credentials for the default service account.
//!
//! `POST /v1/projects/-/serviceAccounts/EMAIL:generateIdToken` with an access token from the metadata server and
//! `{"audience": …, "includeEmail": true}` returns `{"token": …}`; it needs
//! `roles/iam.serviceAccountOpenIdTokenCreator` or `…TokenCreator` on that account:
//! <https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateIdToken>.

use std::time::Duration;

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::flow::{BoxFuture, Fact, Identity, Proof};
use crate::http::{Endpoint, Http, excerpt};
use crate::identity::metadata::MetadataServer;

const TIMEOUT: Duration = Duration::from_secs(10);

/// IAM Credentials, called with the metadata server's access token.
pub struct Impersonation {
    metadata: MetadataServer,
    endpoint: Endpoint,
    email: String,
    audience: String,
}

#[derive(Deserialize)]
struct Reply {
    token: SecretString,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorReply {
    error: ErrorBody,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorBody {
    message: String,
}

impl Impersonation {
    /// Tokens of the service account `email` for `audience`.
    pub fn new(metadata: MetadataServer, endpoint: Endpoint, email: String, audience: String) -> Self {
        Self { metadata, endpoint, email, audience }
    }
}

impl Identity for Impersonation {
    fn prove<'a>(&'a self, http: &'a Http) -> BoxFuture<'a, Result<Proof>> {
        Box::pin(async move {
            let step = format!("mint an ID token of {}", self.email);
            let access_token = self.metadata.access_token(http).await?;
            let path = format!("/v1/projects/-/serviceAccounts/{}:generateIdToken", self.email);
            let address = self.endpoint.url(&path);
            let bearer = SecretString::from(format!("Bearer {}", access_token.expose_secret()));
            let body = serde_json::json!({"audience": self.audience, "includeEmail": true}).to_string();
            let headers = [(AUTHORIZATION, bearer.expose_secret()), (CONTENT_TYPE, "application/json")];
            let response = http
                .send(&self.endpoint, TIMEOUT, Method::POST, &path, &headers, body)
                .await
                .map_err(|failure| {
                    failure.in_step(&step, &address).advice("check the way to iamcredentials.googleapis.com")
                })?
                .without(&access_token);
            if response.status == 200 {
                let reply: std::result::Result<Reply, _> = serde_json::from_slice(&response.body);
                return reply
                    .map_err(|_| "holds no token")
                    .and_then(|r| super::decode(r.token.expose_secret()))
                    .map_err(|why| {
                        Error::new(Kind::Transient, step, address, format!("answered 200, but the answer {why}"))
                    });
            }
            let kind = if response.is_transient() { Kind::Transient } else { Kind::Fatal };
            let message = serde_json::from_slice::<ErrorReply>(&response.body).unwrap_or_default().error.message;
            let problem = if message.is_empty() {
                response.describe()
            } else {
                format!("answered {}: {}", response.status, excerpt(message.as_bytes()))
            };
            let error = Error::new(kind, step, address, problem);
            Err(match response.status.as_u16() {
                401 | 403 => error.advice(format!(
                    "let the default service account mint its tokens: gcloud iam service-accounts add-iam-policy-binding \
                     {} --role roles/iam.serviceAccountTokenCreator --member serviceAccount:DEFAULT_ACCOUNT, and enable \
                     iamcredentials.googleapis.com",
                    self.email
                )),
                404 => error.advice("check the address in --impersonate-service-account"),
                _ => error,
            })
        })
    }

    fn fact<'a>(&'a self, http: &'a Http, fact: &'a Fact) -> BoxFuture<'a, Result<Option<String>>> {
        match fact {
            Fact::ServiceAccount | Fact::ServiceAccountEmail => {
                let email = self.email.clone();
                Box::pin(async { Ok(Some(email)) })
            }
            other => self.metadata.fact(http, other),
        }
    }
}
