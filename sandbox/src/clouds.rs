//! What the handle, the listeners and the control API share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use crate::aws::place::{self, AwsPlace};
use crate::connect_proxy::ConnectProxy;
use crate::delay_proxy::DelayProxy;
use crate::fault::Service;
use crate::issuers;
use crate::jwt;
use crate::server::{Port, Refuse};
use crate::state::State;

/// Variables that would lead a child past the sandbox.
pub(crate) const UNSET: [&str; 22] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_ENDPOINT_URL",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "NO_GCE_CHECK",
];

pub(crate) struct Clouds {
    pub state: State,
    pub directory: TempDir,
    /// Where on AWS the command is, if it is there.
    pub place: Option<AwsPlace>,
    pub runtime: Handle,
    pub tls: Arc<ServerConfig>,
    pub wrong_tls: Arc<ServerConfig>,
    pub addresses: Vec<(Port, SocketAddr)>,
    pub orders: Vec<(Port, UnboundedSender<Refuse>)>,
    /// Proxies made through the control API, which nobody holds.
    pub delay_proxies: Mutex<Vec<DelayProxy>>,
    pub connect_proxies: Mutex<Vec<ConnectProxy>>,
}

impl Clouds {
    pub(crate) fn address(&self, port: Port) -> SocketAddr {
        self.addresses.iter().find(|(of, _)| *of == port).expect("every port has an address").1
    }

    pub(crate) fn url(&self, port: Port) -> String {
        let scheme = if port.tls() { "https" } else { "http" };
        let address = self.address(port);
        match address.port() {
            80 => format!("{scheme}://{}", address.ip()),
            _ => format!("{scheme}://{address}"),
        }
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The environment of the place on AWS, or of an instance on Google Cloud.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        if let Some(place) = self.place {
            return place::env(self, place);
        }
        let settings = self.state.settings();
        let metadata = self.address(Port::Metadata).to_string();
        let mut env = vec![
            ("GCE_METADATA_HOST", metadata.clone()),
            ("GCE_METADATA_IP", metadata.clone()),
            ("GCE_METADATA_ROOT", metadata),
            ("AWS_ENDPOINT_URL_STS", self.url(Port::StsTls)),
            ("AWS_CA_BUNDLE", self.ca_file().display().to_string()),
            ("AWS_REGION", settings.region.clone()),
            ("AWS_DEFAULT_REGION", settings.region),
            ("FEDBOOT_IAM_CREDENTIALS_ENDPOINT", self.url(Port::GoogleTls)),
            ("FEDBOOT_SANDBOX", self.url(Port::Control)),
        ];
        if let Some(role) = settings.roles.first() {
            env.push(("FEDBOOT_ROLE_ARN", role.arn.clone()));
        }
        let owned = |(name, value): (&str, String)| (name.to_string(), value);
        env.into_iter().map(owned).collect()
    }

    /// What would lead past what [`Self::env`] sets.
    pub(crate) fn env_remove(&self) -> Vec<&'static str> {
        match self.place {
            Some(place) => place::env_remove(self, place),
            None => UNSET.to_vec(),
        }
    }

    /// Refuses connections to a service for a while, from the moment this returns.
    pub(crate) fn refuse(&self, service: Service, duration: Duration) {
        let service = match service {
            Service::Jwks => Service::IamCredentials,
            other => other,
        };
        let (done, confirmed) = std_mpsc::channel();
        let until = Instant::now() + duration;
        for (port, orders) in &self.orders {
            if port.service() == Some(service) {
                // The listener lives as long as the runtime; without it everything refuses anyway.
                let _ = orders.send(Refuse { until, done: done.clone() });
            }
        }
        drop(done);
        while confirmed.recv_timeout(Duration::from_secs(5)).is_ok() {}
    }

    /// A token Google might have issued, with `changes` in place of its claims; `null` takes a claim away.
    pub(crate) fn mint(&self, audience: &str, changes: &Value, forged: bool) -> String {
        let settings = self.state.settings();
        let account = settings
            .service_account
            .clone()
            .or_else(|| settings.impersonable.first().cloned())
            .unwrap_or_else(|| "nobody@demo-project.iam.gserviceaccount.com".into());
        let mut claims = crate::google::metadata::claims(&settings, &account, audience, true, 0);
        changed(&mut claims, changes);
        if forged { jwt::forger().sign_as(jwt::published().kid(), &claims) } else { jwt::published().sign(&claims) }
    }

    /// The same for a token that the cluster might have projected into the pod.
    pub(crate) fn mint_for_pod(&self, audience: &str, changes: &Value, forged: bool) -> String {
        let mut claims = self.state.pod.claims(&self.state.settings(), audience);
        changed(&mut claims, changes);
        let key = issuers::eks();
        if forged { jwt::forger().sign_as(key.kid(), &claims) } else { key.sign(&claims) }
    }

    pub(crate) fn delay_proxy(&self, target: &str, round_trip: Duration) -> Result<DelayProxy, String> {
        DelayProxy::start(&self.runtime, target, round_trip)
    }

    pub(crate) fn connect_proxy(
        &self,
        credentials: Option<(&str, &str)>,
        resolve_here: bool,
    ) -> Result<ConnectProxy, String> {
        let hosts = resolve_here.then(|| {
            vec![
                ("sts.googleapis.".to_string(), self.address(Port::GoogleStsTls)),
                ("sts.".to_string(), self.address(Port::StsTls)),
                ("iamcredentials.".to_string(), self.address(Port::GoogleTls)),
                ("www.googleapis.".to_string(), self.address(Port::GoogleTls)),
                ("oauth2.googleapis.".to_string(), self.address(Port::GoogleTls)),
                ("metadata.google.internal".to_string(), self.address(Port::Metadata)),
                (String::new(), self.address(Port::StsTls)),
            ]
        });
        ConnectProxy::start(&self.runtime, credentials, hosts.unwrap_or_default())
    }

    pub(crate) fn keep(&self, proxy: DelayProxy) {
        self.delay_proxies.lock().unwrap_or_else(PoisonError::into_inner).push(proxy);
    }

    pub(crate) fn keep_connect(&self, proxy: ConnectProxy) {
        self.connect_proxies.lock().unwrap_or_else(PoisonError::into_inner).push(proxy);
    }
}

fn changed(claims: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().into_iter().flatten() {
        if value.is_null() {
            claims.as_object_mut().map(|claims| claims.remove(name));
        } else {
            claims[name] = value.clone();
        }
    }
}
