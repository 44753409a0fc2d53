//! The handle: asks, changes, stops everything. Blocking, for plain tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::clouds::Clouds;
use crate::environment;
use crate::google::keys::JWKS_PATH;
use crate::proxy::connect::ConnectProxy;
use crate::proxy::delay::DelayProxy;
use crate::settings::Settings;
use crate::settings::fault::Fault;
use crate::settings::names::{AwsPlace, Port, Service};
use crate::state::State;
use crate::state::issued::Issued;
use crate::state::log::{Connection, Request};

/// Two clouds on loopback. When it is dropped they stop and their ports are free.
pub struct Sandbox {
    clouds: Arc<Clouds>,
    runtime: Option<Runtime>,
}

impl Sandbox {
    pub(crate) fn running(clouds: Arc<Clouds>, runtime: Runtime) -> Self {
        Self { clouds, runtime: Some(runtime) }
    }

    fn state(&self) -> &State {
        &self.clouds.state
    }

    fn url(&self, port: Port) -> String {
        self.state().addresses.url(port)
    }

    /// Where on AWS its children are, or would be.
    fn aws_place(&self) -> Option<AwsPlace> {
        self.state().place.or(Some(AwsPlace::Environment))
    }

    /// `HOST:PORT` of the metadata server, for `GCE_METADATA_HOST`.
    pub fn metadata_host(&self) -> String {
        self.state().addresses.of(Port::Metadata).to_string()
    }

    /// Google's published keys, over HTTP.
    pub fn jwks_url(&self) -> String {
        format!("{}{JWKS_PATH}", self.url(Port::Google))
    }

    /// The authority that signs the certificates, in PEM.
    pub fn ca_file(&self) -> PathBuf {
        environment::ca_file(self.state())
    }

    /// A directory that ends with the sandbox.
    pub fn directory(&self) -> &Path {
        self.state().directory.path()
    }

    /// What leads a child to the sandbox: metadata server, STS, CA, region and role, or what is there at the place of
    /// [`crate::Builder::aws`].
    pub fn env(&self) -> Vec<(String, String)> {
        environment::env(self.state(), self.state().place)
    }

    /// What would lead a child past the sandbox, to be removed from its environment.
    pub fn env_remove(&self) -> Vec<&'static str> {
        environment::env_remove(self.state(), self.state().place)
    }

    /// The environment of a program on AWS that asks Google, at the place of [`crate::Builder::aws`]; if there is none, with
    /// keys in the environment.
    pub fn aws_env(&self) -> Vec<(String, String)> {
        environment::env(self.state(), self.aws_place())
    }

    /// What must not be in the environment beside [`Self::aws_env`].
    pub fn aws_env_remove(&self) -> Vec<&'static str> {
        environment::env_remove(self.state(), self.aws_place())
    }

    /// The external account that gcloud would write for AWS, to be changed by a test: it leads Google's part to the
    /// sandbox, and AWS's to AWS.
    pub fn external_account(&self) -> Value {
        environment::external_account(self.state())
    }

    /// The same for a pod whose projected token Google takes itself, without AWS.
    pub fn external_account_of_pod(&self) -> Value {
        environment::external_account_of_pod(self.state())
    }

    /// The file with [`Self::external_account`] as it was at the start.
    pub fn external_account_file(&self) -> PathBuf {
        environment::external_account_file(self.state())
    }

    /// Replaces the pod's tokens in their files; Pod Identity refuses the old one from now on.
    pub fn rotate_pod_tokens(&self) -> Result<()> {
        self.state().pod.rotate(&self.settings())
    }

    /// A token of the pod, with these claims in place of the usual ones; `null` takes one away.
    pub fn pod_token_with(&self, audience: &str, claims: &Value) -> String {
        self.clouds.mint(true, audience, claims, false)
    }

    /// All requests so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.state().log.requests()
    }

    /// All requests to one service.
    pub fn requests_to(&self, service: Service) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.service == service);
        requests
    }

    /// Accepted connections, those whose handshake failed among them.
    pub fn connections(&self) -> Vec<Connection> {
        self.state().log.connections()
    }

    /// Empties the request log.
    pub fn forget_requests(&self) {
        self.state().log.forget();
    }

    /// Waits until `count` requests of an action have been dealt with, and returns all of them.
    pub fn wait_for(&self, count: usize, action: &str, timeout: Duration) -> Result<Vec<Request>> {
        let found = self.state().log.wait_for(count, action, timeout);
        let seen = found.len();
        ensure!(seen >= count, "{seen} of {count} {action} requests came within {timeout:?}");
        Ok(found)
    }

    /// Adds a fault.
    pub fn fault(&self, service: Service, fault: Fault) {
        self.state().faults.add(service, fault);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.state().faults.clear(None);
    }

    /// Cuts every connection to the service and refuses new ones for a while, from the moment this returns.
    pub fn refuse_connections(&self, service: Service, duration: Duration) {
        self.clouds.refuse(service, duration);
    }

    /// The settings as they are.
    pub fn settings(&self) -> Settings {
        self.state().settings()
    }

    /// Changes settings while everything runs; a policy that cannot be evaluated is refused.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) -> Result<()> {
        let changed = |now: &Settings| {
            let mut settings = now.clone();
            change(&mut settings);
            settings.check()?;
            Ok(settings)
        };
        self.state().change(changed)
    }

    /// What sessions last from now on.
    pub fn set_credential_lifetime(&self, lifetime: Duration) {
        self.change(|settings| settings.credential_lifetime = Some(lifetime))
            .expect("a lifetime leaves the policies as they are");
    }

    /// All AWS credentials given out so far.
    pub fn issued(&self) -> Vec<Issued> {
        self.state().issued.lock().clone()
    }

    /// Whether STS gave these out and they have not ended.
    pub fn is_valid(&self, access_key_id: &str, secret_access_key: &str, session_token: &str) -> bool {
        self.state().is_valid(access_key_id, secret_access_key, session_token)
    }

    /// An ID token of the default account, as a token file would hold it.
    pub fn id_token(&self, audience: &str) -> String {
        self.clouds.mint(false, audience, &Value::Null, false)
    }

    /// An ID token with these claims in place of the usual ones; `null` takes one away.
    pub fn id_token_with(&self, audience: &str, claims: &Value) -> String {
        self.clouds.mint(false, audience, claims, false)
    }

    /// An ID token that names the published key but was signed with another.
    pub fn forged_id_token(&self, audience: &str) -> String {
        self.clouds.mint(false, audience, &Value::Null, true)
    }

    /// A proxy to `HOST:PORT` or a URL, which makes it as far away as a round trip says.
    pub fn delay_proxy(&self, target: &str, round_trip: Duration) -> Result<DelayProxy> {
        DelayProxy::start(&self.clouds.runtime, target, round_trip)
    }

    /// A forward proxy that connects to where it is told.
    pub fn connect_proxy(&self, credentials: Option<(&str, &str)>) -> Result<ConnectProxy> {
        self.clouds.connect_proxy(credentials, false)
    }

    /// A forward proxy that leads `sts.*` to the sandbox's STS, `sts.googleapis.com` and `iamcredentials.*` to its
    /// Google STS and IAM Credentials, and any other name to STS.
    pub fn resolving_proxy(&self, credentials: Option<(&str, &str)>) -> Result<ConnectProxy> {
        self.clouds.connect_proxy(credentials, true)
    }
}

macro_rules! urls {
    ($($(#[$what:meta])+ $name:ident: $port:ident)+) => {
        impl Sandbox {
            $($(#[$what])+ pub fn $name(&self) -> String {
                self.url(Port::$port)
            })+
        }
    };
}

urls! {
    /// STS over HTTPS.
    sts_url: StsTls
    /// The same STS over HTTP.
    sts_http_url: Sts
    /// IAM Credentials over HTTPS.
    iam_credentials_url: GoogleTls
    /// The same IAM Credentials over HTTP.
    iam_credentials_http_url: Google
    /// Google STS over HTTPS.
    google_sts_url: GoogleStsTls
    /// The same Google STS over HTTP.
    google_sts_http_url: GoogleSts
    /// The metadata service of an EC2 instance.
    imds_url: Imds
    /// The endpoints that give keys to tasks and pods.
    container_url: Container
    /// The control API, which [`crate::control`] describes.
    control_url: Control
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        // On a thread of its own: a runtime must not be waited for inside another one.
        let stop = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(2)));
        // A panic in there is no reason for a second one.
        let _ = stop.join();
    }
}
