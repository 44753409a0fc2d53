//! The handle: starts everything, asks, changes, stops everything. Blocking, for plain tests.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::unbounded_channel;

use crate::certs::Authority;
use crate::clouds::Clouds;
use crate::connect_proxy::ConnectProxy;
use crate::delay_proxy::DelayProxy;
use crate::fault::{Fault, Service};
use crate::google::JWKS_PATH;
use crate::jwt;
use crate::log::{Connection, Log, Request};
use crate::server::{self, Opening, Port};
use crate::settings::{Role, ServiceAccount, Settings};
use crate::state::{Issued, State};

/// Why the sandbox cannot do something, in one line.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// What a sandbox starts with. See [`Sandbox::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    settings: Settings,
    roles: Vec<Role>,
    faults: Vec<(Service, Fault)>,
    late: Vec<(Service, Duration)>,
    ports: Vec<(Port, u16)>,
    request_log: Option<PathBuf>,
}

impl Builder {
    /// The default service account of the instance.
    pub fn service_account(mut self, account: impl Into<ServiceAccount>) -> Self {
        self.settings.service_account = Some(account.into());
        self
    }

    /// An instance without a service account: the metadata server answers 404 for it.
    pub fn no_service_account(mut self) -> Self {
        self.settings.service_account = None;
        self
    }

    /// An account for which the default one may mint ID tokens.
    pub fn impersonable(mut self, account: impl Into<ServiceAccount>) -> Self {
        self.settings.impersonable.push(account.into());
        self
    }

    /// A role. Without any there is the default role, which trusts the service account and those it may impersonate.
    pub fn role(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }

    /// An attribute of the instance.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.attributes.insert(name.into(), value.into());
        self
    }

    /// An attribute of the project.
    pub fn project_attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let attributes = &mut self.settings.project_attributes;
        attributes.insert(name.into(), value.into());
        self
    }

    /// What every session lasts, whatever `DurationSeconds` asks for.
    pub fn credential_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.credential_lifetime = Some(lifetime);
        self
    }

    /// The shortest `DurationSeconds` that STS accepts, 900 seconds otherwise.
    pub fn min_duration(mut self, duration: Duration) -> Self {
        self.settings.min_duration = duration;
        self
    }

    /// Any of the settings.
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// A fault that is there from the first request on.
    pub fn fault(mut self, service: Service, fault: Fault) -> Self {
        self.faults.push((service, fault));
        self
    }

    /// A service that refuses connections at first.
    pub fn refuse_first(mut self, service: Service, duration: Duration) -> Self {
        let service = match service {
            // They share their ports.
            Service::Jwks => Service::IamCredentials,
            other => other,
        };
        self.late.push((service, duration));
        self
    }

    /// A fixed port instead of a free one.
    pub fn port(mut self, port: Port, number: u16) -> Self {
        self.ports.push((port, number));
        self
    }

    /// Writes each request as a line of JSON to the end of this file.
    pub fn request_log(mut self, file: impl Into<PathBuf>) -> Self {
        self.request_log = Some(file.into());
        self
    }

    /// Starts all services; they answer when this returns.
    pub fn start(mut self) -> Result<Sandbox, Error> {
        if !self.roles.is_empty() {
            self.settings.roles = self.roles;
        } else if self.settings.roles == Settings::default().roles {
            // The default role trusts whoever is there.
            let here = self.settings.service_account.iter();
            let accounts: Vec<_> = here.chain(&self.settings.impersonable).collect();
            if !accounts.is_empty() {
                let arn = self.settings.roles[0].arn.clone();
                self.settings.roles = vec![Role::trusting(arn, accounts, "sts.amazonaws.com")];
            }
        }
        self.settings.check()?;
        // The key takes tenths of a second: made now, so that no request waits for it and no benchmark sees it.
        let key = std::thread::spawn(jwt::published);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sandbox")
            .enable_all()
            .build()
            .map_err(|e| format!("runtime: {e}"))?;
        let log = Log::new(self.request_log.as_deref())?;
        let (directory, right, wrong) = authorities()?;

        let guard = runtime.enter();
        let (mut addresses, mut orders, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
        for port in Port::ALL {
            let number = self.ports.iter().find(|(p, _)| *p == port).map_or(0, |p| p.1);
            let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, number));
            let failed = |e| format!("{port:?} on {wanted}: {e}");
            let socket = server::reserve(wanted).map_err(failed)?;
            addresses.push((port, socket.local_addr().map_err(failed)?));
            let (sender, receiver) = unbounded_channel();
            orders.push((port, sender));
            sockets.push((port, socket, receiver));
        }
        let clouds = Arc::new(Clouds {
            state: State::new(self.settings, log),
            directory,
            runtime: runtime.handle().clone(),
            tls: right.server_config(),
            wrong_tls: wrong.server_config(),
            addresses,
            orders,
            delay_proxies: Mutex::default(),
            connect_proxies: Mutex::default(),
        });
        for (service, fault) in self.faults {
            clouds.state.faults.add(service, fault);
        }
        key.join().map_err(|_| "the signing key could not be made".to_string())?;
        for (port, socket, receiver) in sockets {
            let late = self.late.iter().find(|(s, _)| Some(*s) == port.service());
            let opening = match late {
                Some((_, duration)) => Opening::Late(socket, Instant::now() + *duration),
                None => {
                    let failed = |e| format!("{port:?}: {e}");
                    Opening::Open(socket.listen(server::BACKLOG).map_err(failed)?)
                }
            };
            tokio::spawn(server::run(clouds.clone(), port, opening, receiver));
        }
        drop(guard);
        Ok(Sandbox { clouds, runtime: Some(runtime) })
    }
}

fn authorities() -> Result<(tempfile::TempDir, Arc<Authority>, Arc<Authority>), String> {
    let failed = |e: &dyn fmt::Display| format!("certificates: {e}");
    let right = Authority::new("fedboot sandbox").map_err(|e| failed(&e))?;
    let wrong = Authority::new("another authority").map_err(|e| failed(&e))?;
    let directory = tempfile::Builder::new().prefix("fedboot-sandbox-").tempdir().map_err(|e| failed(&e))?;
    std::fs::write(directory.path().join("ca.pem"), right.pem()).map_err(|e| failed(&e))?;
    Ok((directory, Arc::new(right), Arc::new(wrong)))
}

/// Two clouds on loopback. When it is dropped they stop and their ports are free.
pub struct Sandbox {
    clouds: Arc<Clouds>,
    runtime: Option<Runtime>,
}

impl Sandbox {
    /// A service account `worker@demo-project.iam.gserviceaccount.com` and a role
    /// `arn:aws:iam::123456789012:role/fedboot-demo` that trusts it for the audience `sts.amazonaws.com`.
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// The same, to be changed before it starts.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `HOST:PORT` of the metadata server, for `GCE_METADATA_HOST`.
    pub fn metadata_host(&self) -> String {
        self.clouds.address(Port::Metadata).to_string()
    }

    /// STS over HTTPS.
    pub fn sts_url(&self) -> String {
        self.clouds.url(Port::StsTls)
    }

    /// The same STS over HTTP.
    pub fn sts_http_url(&self) -> String {
        self.clouds.url(Port::Sts)
    }

    /// IAM Credentials over HTTPS.
    pub fn iam_credentials_url(&self) -> String {
        self.clouds.url(Port::GoogleTls)
    }

    /// The same IAM Credentials over HTTP.
    pub fn iam_credentials_http_url(&self) -> String {
        self.clouds.url(Port::Google)
    }

    /// Google's published keys, over HTTP.
    pub fn jwks_url(&self) -> String {
        format!("{}{JWKS_PATH}", self.clouds.url(Port::Google))
    }

    /// The control API, which [`crate::control`] describes.
    pub fn control_url(&self) -> String {
        self.clouds.url(Port::Control)
    }

    /// The authority that signs the certificates, in PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.clouds.ca_file()
    }

    /// A directory that ends with the sandbox.
    pub fn directory(&self) -> &Path {
        self.clouds.directory.path()
    }

    /// What leads a child to the sandbox: metadata server, STS, CA, region and role.
    pub fn env(&self) -> Vec<(String, String)> {
        self.clouds.env()
    }

    /// What would lead a child past the sandbox, to be removed from its environment.
    pub fn env_remove(&self) -> &'static [&'static str] {
        Clouds::env_remove()
    }

    /// All requests so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.clouds.state.log.requests()
    }

    /// All requests to one service.
    pub fn requests_to(&self, service: Service) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.service == service);
        requests
    }

    /// Accepted connections, those whose handshake failed among them.
    pub fn connections(&self) -> Vec<Connection> {
        self.clouds.state.log.connections()
    }

    /// Empties the request log.
    pub fn forget_requests(&self) {
        self.clouds.state.log.forget();
    }

    /// Waits until `count` requests of an action have been dealt with, and returns all of them.
    pub fn wait_for(&self, count: usize, action: &str, timeout: Duration) -> Result<Vec<Request>, Error> {
        let found = self.clouds.state.log.wait_for(count, action, timeout);
        if found.len() < count {
            let seen = found.len();
            return Err(Error(format!("{seen} of {count} {action} requests came within {timeout:?}")));
        }
        Ok(found)
    }

    /// Adds a fault.
    pub fn fault(&self, service: Service, fault: Fault) {
        self.clouds.state.faults.add(service, fault);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.clouds.state.faults.clear(None);
    }

    /// Cuts every connection to the service and refuses new ones for a while, from the moment this returns.
    pub fn refuse_connections(&self, service: Service, duration: Duration) {
        self.clouds.refuse(service, duration);
    }

    /// The settings as they are.
    pub fn settings(&self) -> Settings {
        self.clouds.state.settings()
    }

    /// Changes settings while everything runs; a policy that cannot be evaluated is refused.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) -> Result<(), Error> {
        let changed = |now: &Settings| {
            let mut settings = now.clone();
            change(&mut settings);
            settings.check()?;
            Ok(settings)
        };
        Ok(self.clouds.state.change(changed)?)
    }

    /// What sessions last from now on.
    pub fn set_credential_lifetime(&self, lifetime: Duration) {
        self.change(|settings| settings.credential_lifetime = Some(lifetime))
            .expect("a lifetime leaves the policies as they are");
    }

    /// All AWS credentials given out so far.
    pub fn issued(&self) -> Vec<Issued> {
        self.clouds.state.issued()
    }

    /// Whether STS gave these out and they have not ended.
    pub fn is_valid(&self, access_key_id: &str, secret_access_key: &str, session_token: &str) -> bool {
        self.clouds.state.find_issued(access_key_id).is_some_and(|known| {
            known.is_live() && known.secret_access_key == secret_access_key && known.session_token == session_token
        })
    }

    /// An ID token of the default account, as a token file would hold it.
    pub fn id_token(&self, audience: &str) -> String {
        self.clouds.mint(audience, &Value::Null, false)
    }

    /// An ID token with these claims in place of the usual ones; `null` takes one away.
    pub fn id_token_with(&self, audience: &str, claims: &Value) -> String {
        self.clouds.mint(audience, claims, false)
    }

    /// An ID token that names the published key but was signed with another.
    pub fn forged_id_token(&self, audience: &str) -> String {
        self.clouds.mint(audience, &Value::Null, true)
    }

    /// A proxy to `HOST:PORT` or a URL, which makes it as far away as a round trip says.
    pub fn delay_proxy(&self, target: &str, round_trip: Duration) -> Result<DelayProxy, Error> {
        Ok(self.clouds.delay_proxy(target, round_trip)?)
    }

    /// A forward proxy that connects to where it is told.
    pub fn connect_proxy(&self, credentials: Option<(&str, &str)>) -> Result<ConnectProxy, Error> {
        Ok(self.clouds.connect_proxy(credentials, false)?)
    }

    /// A forward proxy that leads `sts.*` to the sandbox's STS, `iamcredentials.*` to its IAM Credentials, and any
    /// other name to STS.
    pub fn resolving_proxy(&self, credentials: Option<(&str, &str)>) -> Result<ConnectProxy, Error> {
        Ok(self.clouds.connect_proxy(credentials, true)?)
    }
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
