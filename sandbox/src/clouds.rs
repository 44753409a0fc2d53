//! The running clouds, as the handle and the control API hold them.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use crate::google::metadata;
use crate::jwt::issuers;
use crate::jwt::key::{FORGER, PUBLISHED};
use crate::proxy::connect::ConnectProxy;
use crate::proxy::delay::DelayProxy;
use crate::server::listener::Refuse;
use crate::settings::names::{Port, Service};
use crate::state::State;

pub(crate) struct Clouds {
    pub state: Arc<State>,
    pub runtime: Handle,
    pub orders: Vec<(Service, UnboundedSender<Refuse>)>,
    /// Proxies made through the control API, which nobody holds.
    pub delay_proxies: Mutex<Vec<DelayProxy>>,
    pub connect_proxies: Mutex<Vec<ConnectProxy>>,
}

impl Clouds {
    /// Refuses connections to a service for a while, from the moment this returns.
    pub(crate) fn refuse(&self, service: Service, duration: Duration) {
        let (done, confirmed) = mpsc::channel();
        let until = Instant::now() + duration;
        for (_, orders) in self.orders.iter().filter(|(of, _)| *of == service.on_port()) {
            // The listener lives as long as the runtime; without it everything refuses anyway.
            let _ = orders.send(Refuse { until, done: done.clone() });
        }
        drop(done);
        while confirmed.recv_timeout(Duration::from_secs(5)).is_ok() {}
    }

    /// A token that Google, or the cluster for its pod, might have issued, with `changes` in place of its claims; `null`
    /// takes a claim away.
    pub(crate) fn mint(&self, for_pod: bool, audience: &str, changes: &Value, forged: bool) -> String {
        let settings = self.state.settings();
        let (key, mut claims) = if for_pod {
            (&*issuers::EKS_KEY, self.state.pod.claims(&settings, audience))
        } else {
            let account = settings.service_account.clone().or_else(|| settings.impersonable.first().cloned());
            let account = account.unwrap_or_else(|| "nobody@demo-project.iam.gserviceaccount.com".into());
            (&*PUBLISHED, metadata::claims(&settings, &account, audience, true, 0))
        };
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
            if value.is_null() {
                claims.as_object_mut().map(|claims| claims.remove(name));
            }
        }
        if forged { FORGER.sign_as(&key.kid, &claims) } else { key.sign(&claims) }
    }

    pub(crate) fn connect_proxy(
        &self,
        credentials: Option<(&str, &str)>,
        resolve_here: bool,
    ) -> anyhow::Result<ConnectProxy> {
        let hosts = [
            ("sts.googleapis.", Port::GoogleStsTls),
            ("sts.", Port::StsTls),
            ("iamcredentials.", Port::GoogleTls),
            ("www.googleapis.", Port::GoogleTls),
            ("oauth2.googleapis.", Port::GoogleTls),
            ("metadata.google.internal", Port::Metadata),
            ("", Port::StsTls),
        ];
        let hosts = hosts.into_iter().filter(|_| resolve_here);
        let hosts = hosts.map(|(prefix, port)| (prefix, self.state.addresses.of(port)));
        ConnectProxy::start(&self.runtime, credentials, hosts.collect())
    }
}
