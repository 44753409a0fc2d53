//! What a sandbox starts with, and its start.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use parking_lot::Mutex;
use tokio::sync::mpsc::unbounded_channel;

use crate::clouds::Clouds;
use crate::control;
use crate::environment;
use crate::jwt::issuers::STS_AUDIENCE;
use crate::jwt::key::PUBLISHED;
use crate::sandbox::Sandbox;
use crate::server::certs::Authority;
use crate::server::listener::{self, Opening};
use crate::server::serving::{self, Services};
use crate::settings::account::ServiceAccount;
use crate::settings::fault::Fault;
use crate::settings::names::{AwsPlace, Port, Service};
use crate::settings::provider::Trusts;
use crate::settings::role::Role;
use crate::settings::{NODE_ROLE, Settings, WORKLOAD_ROLE};
use crate::state::State;
use crate::state::addresses::Addresses;
use crate::state::log::Log;

impl Sandbox {
    /// A service account `worker@demo-project.iam.gserviceaccount.com` and a role
    /// `arn:aws:iam::123456789012:role/fedboot-demo` that trusts it for the audience `sts.amazonaws.com`.
    pub fn start() -> anyhow::Result<Self> {
        Self::builder().start()
    }

    /// The same, to be changed before it starts.
    pub fn builder() -> Builder {
        Builder::default()
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
    place: Option<AwsPlace>,
    real_addresses: bool,
    members: Vec<String>,
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
        self.settings.project_attributes.insert(name.into(), value.into());
        self
    }

    /// What every session lasts, whatever `DurationSeconds` asks for.
    pub fn credential_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.credential_lifetime = Some(lifetime);
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
        self.late.push((service.on_port(), duration));
        self
    }

    /// A program on AWS that asks Google: [`Sandbox::env`] is that of this place.
    pub fn aws(mut self, place: AwsPlace) -> Self {
        self.place = Some(place);
        self
    }

    /// The place's credentials are where they are on AWS, on 169.254.… and port 80: for a network namespace in which
    /// `lo` has these addresses.
    pub fn real_addresses(mut self) -> Self {
        self.real_addresses = true;
        self
    }

    /// A member (`principal://…`, `principalSet://…`) that may speak for the default service account, instead of the
    /// workload role.
    pub fn workload_identity_user(mut self, member: impl Into<String>) -> Self {
        self.members.push(member.into());
        self
    }

    /// The AWS account that Google's provider takes.
    pub fn provider_account(mut self, account: &str) -> Self {
        for provider in &mut self.settings.providers {
            if let Trusts::Aws { account_id } = &mut provider.trusts {
                *account_id = account.into();
            }
        }
        self
    }

    /// What Google's providers insist on, as in `attribute.account == '123456789012'`.
    pub fn attribute_condition(mut self, condition: &str) -> Self {
        for provider in &mut self.settings.providers {
            provider.attribute_condition = Some(condition.into());
        }
        self
    }

    /// The longest that the access tokens of Google STS and IAM Credentials live.
    pub fn access_token_cap(mut self, cap: Duration) -> Self {
        self.settings.access_token_cap = Some(cap);
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

    /// The settings with what follows from others.
    fn settled(&mut self) -> anyhow::Result<Settings> {
        let mut settings = std::mem::take(&mut self.settings);
        let usual = settings.roles == Settings::default().roles;
        if !self.roles.is_empty() {
            settings.roles = std::mem::take(&mut self.roles);
            if settings.workload_role == WORKLOAD_ROLE {
                settings.workload_role = settings.roles[0].arn.clone();
            }
        } else if usual && self.place.is_some() {
            settings.roles = vec![Role::for_workload(settings.workload_role.as_str(), &settings.pod_subject())];
        } else if usual {
            // The default role trusts whoever is there.
            let here = settings.service_account.iter();
            let accounts: Vec<_> = here.chain(&settings.impersonable).collect();
            if !accounts.is_empty() {
                let arn = settings.roles[0].arn.clone();
                settings.roles = vec![Role::trusting(arn, accounts, STS_AUDIENCE)];
            }
        }
        if self.place == Some(AwsPlace::Imds) && settings.instance_role.as_deref() == Some(NODE_ROLE) {
            settings.instance_role = Some(settings.workload_role.clone());
        }
        if let (Some(account), true) = (&settings.service_account, settings.workload_identity_users.is_empty()) {
            let members = std::mem::take(&mut self.members);
            let members = if members.is_empty() { settings.usual_members() } else { members };
            settings.workload_identity_users.insert(account.email.clone(), members);
        }
        settings.check()?;
        Ok(settings)
    }

    /// Starts all services; they answer when this returns.
    pub fn start(mut self) -> anyhow::Result<Sandbox> {
        let settings = self.settled()?;
        // The key takes tenths of a second: made now, so that no request waits for it and no benchmark sees it.
        let key = std::thread::spawn(|| LazyLock::force(&PUBLISHED));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sandbox")
            .enable_all()
            .build()
            .context("runtime")?;
        let log = Log::new(self.request_log.as_deref())?;
        let right = Authority::new("fedboot sandbox").context("certificates")?;
        let wrong = Authority::new("another authority").context("certificates")?;
        let directory = tempfile::Builder::new().prefix("fedboot-sandbox-").tempdir().context("a directory")?;

        let guard = runtime.enter();
        let (mut addresses, mut sockets) = (Vec::new(), Vec::new());
        let mut reserve = |port| {
            let wanted = self.address(port);
            let socket = listener::reserve(wanted).with_context(|| format!("{port:?} on {wanted}"))?;
            addresses.push((port, socket.local_addr()?));
            anyhow::Ok(socket)
        };
        for (port, service) in Port::OF_SERVICES {
            sockets.push((port, service, reserve(port)?));
        }
        let control = reserve(Port::Control)?.listen(listener::BACKLOG)?;
        key.join().map_err(|_| anyhow!("the signing key could not be made"))?;
        let state = Arc::new(State::new(settings, self.place, Addresses(addresses), directory, log)?);
        std::fs::write(environment::ca_file(&state), right.pem()).context("certificates")?;
        environment::furnish(&state)?;
        for (service, fault) in self.faults {
            state.faults.add(service, fault);
        }
        let (tls, wrong_tls) = (Arc::new(right).server_config(), Arc::new(wrong).server_config());
        let services = Arc::new(Services { state: state.clone(), tls, wrong_tls });
        let mut orders = Vec::new();
        for (port, service, socket) in sockets {
            let opening = match self.late.iter().find(|(of, _)| *of == service) {
                Some((_, duration)) => Opening::Late(socket, Instant::now() + *duration),
                None => Opening::Open(socket.listen(listener::BACKLOG).with_context(|| format!("{port:?}"))?),
            };
            let (sender, receiver) = unbounded_channel();
            orders.push((service, sender));
            let services = services.clone();
            let serve = move |stream| serving::connection(services.clone(), service, port.tls(), stream);
            tokio::spawn(listener::run(port, opening, receiver, serve));
        }
        let clouds = Arc::new(Clouds {
            state,
            runtime: runtime.handle().clone(),
            orders,
            delay_proxies: Mutex::default(),
            connect_proxies: Mutex::default(),
        });
        let of_control = clouds.clone();
        let serve = move |stream| control::serve(of_control.clone(), stream);
        tokio::spawn(listener::run(Port::Control, Opening::Open(control), unbounded_channel().1, serve));
        drop(guard);
        Ok(Sandbox::running(clouds, runtime))
    }

    /// Where a port is to be.
    fn address(&self, port: Port) -> SocketAddr {
        match self.place.filter(|_| self.real_addresses).and_then(AwsPlace::real_address) {
            Some((real, address)) if real == port => address,
            _ => {
                let number = self.ports.iter().find(|(of, _)| *of == port).map_or(0, |(_, number)| *number);
                (Ipv4Addr::LOCALHOST, number).into()
            }
        }
    }
}
