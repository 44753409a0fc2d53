//! What a sandbox starts with, and its start.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::unbounded_channel;

use crate::aws::place::{self, AwsPlace};
use crate::aws::pod::{self, Pod};
use crate::aws::role::Role;
use crate::certs::Authority;
use crate::clouds::Clouds;
use crate::fault::{Fault, Service};
use crate::google::account::ServiceAccount;
use crate::google::provider::Trusts;
use crate::jwt;
use crate::log::Log;
use crate::sandbox::{Error, Sandbox};
use crate::server::{self, Opening, Port};
use crate::settings::{NODE_ROLE, Settings, WORKLOAD_ROLE};
use crate::state::State;

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
    fn settled(&mut self) -> Result<Settings, String> {
        let mut settings = std::mem::take(&mut self.settings);
        let usual = settings.roles == Settings::default().roles;
        if !self.roles.is_empty() {
            settings.roles = std::mem::take(&mut self.roles);
            if settings.workload_role == WORKLOAD_ROLE {
                settings.workload_role = settings.roles[0].arn.clone();
            }
        } else if usual && self.place.is_some() {
            settings.roles = vec![Role::for_workload(settings.workload_role.as_str(), &pod::subject(&settings))];
        } else if usual {
            // The default role trusts whoever is there.
            let here = settings.service_account.iter();
            let accounts: Vec<_> = here.chain(&settings.impersonable).collect();
            if !accounts.is_empty() {
                let arn = settings.roles[0].arn.clone();
                settings.roles = vec![Role::trusting(arn, accounts, "sts.amazonaws.com")];
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
    pub fn start(mut self) -> Result<Sandbox, Error> {
        let settings = self.settled()?;
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
        let real_address = self.place.filter(|_| self.real_addresses).and_then(AwsPlace::real_address);

        let guard = runtime.enter();
        let (mut addresses, mut orders, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
        for port in Port::ALL {
            let number = self.ports.iter().find(|(p, _)| *p == port).map_or(0, |p| p.1);
            let wanted = match real_address {
                Some((real, address)) if real == port => address,
                _ => SocketAddr::from((Ipv4Addr::LOCALHOST, number)),
            };
            let failed = |e| format!("{port:?} on {wanted}: {e}");
            let socket = server::reserve(wanted).map_err(failed)?;
            addresses.push((port, socket.local_addr().map_err(failed)?));
            let (sender, receiver) = unbounded_channel();
            orders.push((port, sender));
            sockets.push((port, socket, receiver));
        }
        key.join().map_err(|_| "the signing key could not be made".to_string())?;
        let pod = Pod::start(directory.path(), &settings)?;
        let clouds = Arc::new(Clouds {
            state: State::new(settings, log, pod),
            directory,
            place: self.place,
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
        place::furnish(&clouds, self.place)?;
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
        Ok(Sandbox::running(clouds, runtime))
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
