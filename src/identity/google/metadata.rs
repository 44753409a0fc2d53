//! Google's metadata server, on Compute Engine, Dataflow, GKE and Cloud Run.
//!
//! - Token: `GET /computeMetadata/v1/instance/service-accounts/default/identity?audience=A&format=full&licenses=TRUE`
//!   returns the bare JWT: <https://cloud.google.com/compute/docs/instances/verifying-instance-identity>.
//! - Every request bears `Metadata-Flavor: Google`, and so must every answer; whatever answers without it is
//!   something else on that address: <https://cloud.google.com/compute/docs/metadata/querying-metadata>.
//! - The address is 169.254.169.254 without DNS, or `GCE_METADATA_HOST`; never through a proxy.
//! - 404 under `service-accounts` of Compute Engine: the instance has none. For the first seconds of a pod GKE's server
//!   may refuse connections or answer 5xx, 403 or 404, which later would mean a missing binding or annotation:
//!   <https://cloud.google.com/kubernetes-engine/docs/concepts/workload-identity#limitations>,
//!   <https://github.com/googleapis/google-auth-library-python/issues/745>.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderName;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::time::Instant;

use crate::error::{Error, Kind, Paste, Result, reasons};
use crate::format::jwt;
use crate::identity::Identity;
use crate::model::BoxFuture;
use crate::model::fact::Fact;
use crate::model::proof::Proof;
use crate::system::http::{Endpoint, Http, Response};

/// Longer than the slowest healthy server takes, short enough for several tries in a boot.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For how long a pod's server may refuse what it gives later.
const REFUSES_AT_FIRST: Duration = Duration::from_secs(10);
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
/// What to do where nobody answers.
pub const NOT_ON_GOOGLE: &str = "is this running on Google Cloud? Elsewhere name --google-token-file, or GCE_METADATA_HOST \
                             if the server has another address";

const BIND: &str = "gcloud iam service-accounts add-iam-policy-binding EMAIL --role roles/iam.workloadIdentityUser --member \
                    'serviceAccount:PROJECT.svc.id.goog[NAMESPACE/NAME]'";

/// The metadata server as a source of identity tokens and facts.
pub struct MetadataClient {
    endpoint: Endpoint,
    audience: String,
    /// Since when it has done nothing but refuse.
    refuses_since: Cell<Option<Instant>>,
}

#[derive(Deserialize)]
struct AccessToken {
    access_token: SecretString,
}

impl MetadataClient {
    /// The server at `endpoint`; its tokens are for `audience`.
    pub fn new(endpoint: Endpoint, audience: String) -> Self {
        Self { endpoint, audience, refuses_since: Cell::new(None) }
    }

    /// An access token of the default service account, to call Google's own services with.
    ///
    /// # Errors
    /// What came back instead.
    pub async fn access_token(&self, http: &Http) -> Result<SecretString> {
        let step = "get a Google access token";
        let path = "instance/service-accounts/default/token";
        let response = self.get(http, step, path).await?;
        let response = self.expect_ok(step, path, response)?;
        let token: AccessToken = serde_json::from_slice(&response.body).map_err(|_| {
            Error::new(Kind::Transient, step, self.url(path), "answered 200 without an access token in it")
        })?;
        Ok(token.access_token)
    }

    /// All attributes of the instance or of the project, in one request.
    ///
    /// # Errors
    /// What came back instead.
    pub async fn attributes(&self, http: &Http, scope: &str) -> Result<HashMap<String, serde_json::Value>> {
        let step = "read metadata attributes";
        let path = format!("{scope}/attributes/?recursive=true");
        let response = self.get(http, step, &path).await?;
        if response.status == 404 && !self.may_give_later(&response) {
            return Ok(HashMap::new());
        }
        let response = self.expect_ok(step, &path, response)?;
        serde_json::from_slice(&response.body)
            .map_err(|_| Error::new(Kind::Transient, step, self.url(&path), "answered 200 without a JSON object in it"))
    }

    /// One value; `None` if there is no such thing.
    async fn value(&self, http: &Http, path: &str) -> Result<Option<String>> {
        let step = "read metadata";
        let response = self.get(http, step, path).await?;
        // An attribute need not be there.
        if response.status == 404 && (path.contains("/attributes/") || !self.may_give_later(&response)) {
            return Ok(None);
        }
        let response = self.expect_ok(step, path, response)?;
        Ok(Some(String::from_utf8_lossy(&response.body).trim().to_owned()))
    }

    async fn get(&self, http: &Http, step: &str, path: &str) -> Result<Response> {
        let headers = [(FLAVOR, "Google")];
        let response =
            http.send(&self.endpoint, TIMEOUT, Method::GET, &full(path), &headers, String::new()).await.map_err(
                |failure| failure.in_step(step, self.url(path)).reason(&reasons::NOT_ON_GOOGLE).advice(NOT_ON_GOOGLE),
            )?;
        // A 5xx of a server that is just starting need not bear the header.
        if response.header("metadata-flavor").as_deref() == Some("Google") || response.kind(false) == Kind::Transient {
            return Ok(response);
        }
        // Of a stranger's words none, as it may be a proxy that handed a token on.
        let problem = format!(
            "{} without a Metadata-Flavor header: not Google's metadata server",
            response.describe_without_body()
        );
        Err(Error::new(Kind::Fatal, step, self.url(path), problem)
            .reason(&reasons::NOT_ON_GOOGLE)
            .advice(NOT_ON_GOOGLE))
    }

    fn expect_ok(&self, step: &str, path: &str, response: Response) -> Result<Response> {
        if response.status == 200 {
            self.refuses_since.set(None);
            return Ok(response);
        }
        let error =
            Error::new(response.kind(self.may_give_later(&response)), step, self.url(path), response.describe());
        Err(match response.status.as_u16() {
            404 if path.contains("service-accounts") => error.because(&reasons::NO_SERVICE_ACCOUNT, &[]),
            403 if path.contains("service-accounts") => {
                error.because(&reasons::NO_BINDING, &[]).paste(Paste::Command(BIND.into()))
            }
            _ => error,
        })
    }

    /// Whether it refuses what it may give in a few seconds. Compute Engine's own knows from the start.
    fn may_give_later(&self, response: &Response) -> bool {
        let is_refusal = matches!(response.status.as_u16(), 403 | 404);
        if !is_refusal || response.header("server").is_some_and(|server| server.starts_with("Metadata Server for VM")) {
            return false;
        }
        let now = Instant::now();
        let since = self.refuses_since.get().unwrap_or(now);
        self.refuses_since.set(Some(since));
        now.duration_since(since) < REFUSES_AT_FIRST
    }

    /// The URL as errors show it: without the query, which says nothing new.
    fn url(&self, path: &str) -> String {
        self.endpoint.shown(&full(path.split('?').next().unwrap_or_default()))
    }
}

impl Identity for MetadataClient {
    fn prove<'a>(&'a self, http: &'a Http) -> BoxFuture<'a, Result<Proof>> {
        Box::pin(async move {
            let step = "mint a Google ID token";
            let audience: String = form_urlencoded::byte_serialize(self.audience.as_bytes()).collect();
            let path =
                format!("instance/service-accounts/default/identity?audience={audience}&format=full&licenses=TRUE");
            let response = self.get(http, step, &path).await?;
            let response = self.expect_ok(step, &path, response)?;
            let token = String::from_utf8_lossy(&response.body);
            jwt::decode(&token).map_err(|why| {
                Error::new(Kind::Transient, step, self.url(&path), format!("answered 200, but what it sent {why}"))
            })
        })
    }

    fn source(&self) -> &'static str {
        "the metadata server"
    }

    fn fact<'a>(&'a self, http: &'a Http, fact: &'a Fact) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async move {
            match fact {
                Fact::ServiceAccount | Fact::ServiceAccountEmail => {
                    self.value(http, "instance/service-accounts/default/email").await
                }
                Fact::Project => self.value(http, "project/project-id").await,
                Fact::InstanceName => self.value(http, "instance/name").await,
                Fact::Hostname => Ok(None),
                Fact::Attribute(name) => {
                    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
                    match self.value(http, &format!("instance/attributes/{name}")).await? {
                        None => self.value(http, &format!("project/attributes/{name}")).await,
                        found => Ok(found),
                    }
                }
            }
        })
    }
}

fn full(path: &str) -> String {
    format!("/computeMetadata/v1/{path}")
}
