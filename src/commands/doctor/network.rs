//! The way to each server, step by step: name, connection, TLS, an answer. What is asked needs no credentials and gives none.

use std::time::{Duration, SystemTime};

use hyper::Method;
use hyper::header::HeaderName;
use serde_json::Value;
use tokio::time::Instant;

use crate::commands::doctor::findings::Finding;
use crate::commands::doctor::place::MetadataSays;
use crate::identity::google::metadata::NOT_ON_GOOGLE;
use crate::system::http::{Certificate, Endpoint, Failure, Http, Response, Skew, Trace, Trusted};
use crate::system::world::World;

/// How long each server may take for everything: who answers at all does so within a second.
pub const PATIENCE: Duration = Duration::from_secs(2);
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
/// The names in there are no secrets; of the values nothing is kept.
const ATTRIBUTES: &str = "/computeMetadata/v1/instance/attributes/?recursive=true";

/// A server that a boot asks.
pub struct Server {
    /// What people call it.
    pub name: &'static str,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Whether it is Google's metadata server.
    pub is_metadata: bool,
}

/// What became of the way to a server.
pub struct Probed {
    server: Server,
    trace: Trace,
    connected: Result<(), Failure>,
    answer: Option<(Duration, Response)>,
    /// When it answered, by this machine's clock.
    at: SystemTime,
}

impl Server {
    /// Google's metadata server.
    pub fn metadata(endpoint: Endpoint) -> Self {
        Self { name: "the metadata server", endpoint, is_metadata: true }
    }

    /// Any other one.
    pub fn new(name: &'static str, endpoint: Endpoint) -> Self {
        Self { name, endpoint, is_metadata: false }
    }

    /// Goes the whole way.
    pub async fn probe(self, world: &World) -> Probed {
        let http = Http::new(world).with_deadline(Some(world.deadline(PATIENCE)));
        let connection = http.within(PATIENCE, http.connect(&self.endpoint)).await;
        let (connected, mut answer) = (connection.as_ref().map(drop).map_err(Clone::clone), None);
        let trace = http.trace();
        if let Ok(connection) = connection {
            let (path, headers) =
                if self.is_metadata { (ATTRIBUTES, &[(FLAVOR, "Google")][..]) } else { ("/", &[][..]) };
            let asked = Instant::now();
            let sent = connection.send(&self.endpoint, Method::GET, path, headers, String::new());
            // Who lets connections stand and answers nothing of the kind may still answer what a boot asks.
            answer = http.within(PATIENCE, sent).await.ok().map(|answer| (asked.elapsed(), answer));
        }
        Probed { server: self, trace, connected, answer, at: world.now() }
    }
}

/// Probes all, side by side.
pub async fn probe_all<const N: usize>(servers: [Option<Server>; N], world: &World) -> [Option<Probed>; N] {
    let mut probing = servers.map(|server| server.map(|server| Box::pin(server.probe(world))));
    let mut probed = [const { None }; N];
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (one, done) in probing.iter_mut().zip(&mut probed) {
            let Some(future) = one else { continue };
            match future.as_mut().poll(context) {
                std::task::Poll::Ready(found) => (*one, *done) = (None, Some(found)),
                std::task::Poll::Pending => is_done = false,
            }
        }
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    probed
}

impl Probed {
    /// Whether it can be asked.
    pub fn is_reachable(&self) -> bool {
        self.connected.is_ok()
    }

    /// Whether whoever answers is Google's metadata server, and what it says; `None` where it is not.
    pub fn metadata(&self) -> Option<MetadataSays> {
        let (_, answer) = self.answer.as_ref()?;
        if answer.header("metadata-flavor").as_deref() != Some("Google") {
            return None;
        }
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let attributes = json.as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default();
        Some(MetadataSays { server: answer.header("server").unwrap_or_default(), attributes })
    }

    /// Findings about the way: how far it goes, and who stands on it.
    pub fn findings(&self) -> Vec<Finding> {
        let Server { name, endpoint, .. } = &self.server;
        let address = endpoint.shown("/");
        let Trace { proxy, looked_up, connected, secured, certificate } = &self.trace;
        let through = proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
        let mut steps = Vec::new();
        if let Some((took, addresses)) = looked_up {
            let plural = if *addresses == 1 { "address" } else { "addresses" };
            steps.push(format!("look-up {} ({addresses} {plural})", milliseconds(*took)));
        }
        if let Some((took, address)) = connected {
            steps.push(format!("TCP {} ({address})", milliseconds(*took)));
        }
        let issuer = certificate.as_ref().and_then(|certificate| certificate.issuer.as_deref());
        if let Some(took) = secured {
            let by = issuer.map(|issuer| format!(" (certificate by {issuer})")).unwrap_or_default();
            steps.push(format!("TLS {}{by}", milliseconds(*took)));
        }
        if let Some((took, _)) = &self.answer {
            steps.push(format!("answer {}", milliseconds(*took)));
        }
        let so_far = steps.join(", ");
        let way = match &self.connected {
            Ok(()) => Finding::ok("network", format!("{name}, {address}{through}: {so_far}")),
            Err(failure) => {
                let by = match (issuer, self.is_stranger()) {
                    (Some(issuer), true) => format!("; the certificate is by {issuer}"),
                    _ => String::new(),
                };
                let so_far = if so_far.is_empty() { so_far } else { format!(" (until then {so_far})") };
                let message = format!("{name}, {address}, {}{by}{so_far}", failure.problem);
                self.remedies().into_iter().fold(Finding::failure("network", message), Finding::remedy)
            }
        };
        let code = self.connected.as_ref().err().map(|failure| failure.reason.code);
        let took = |duration: Option<Duration>| duration.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
        let way = way
            .field("code", code)
            .field("server", *name)
            .field("address", address.as_str())
            .field("proxy", proxy.as_deref())
            .field("lookup_ms", took(looked_up.map(|(took, _)| took)))
            .field("tcp_ms", took(connected.map(|(took, _)| took)))
            .field("tls_ms", took(*secured))
            .field("answer_ms", took(self.answer.as_ref().map(|(took, _)| *took)))
            .field("issuer", issuer);
        let mut findings = vec![way];
        // On this machine nobody stands between.
        if self.connected.is_ok() && !endpoint.is_loopback() {
            findings.extend(certificate.as_ref().and_then(|certificate| interception(name, certificate)));
        }
        findings
    }

    /// Whether the server's certificate is by nobody who is trusted.
    fn is_stranger(&self) -> bool {
        self.trace.secured.is_none() && self.trace.certificate.as_ref().is_some_and(|it| it.trust == Trusted::Nothing)
    }

    /// What to do about the step that has failed.
    fn remedies(&self) -> Vec<String> {
        let (trace, endpoint) = (&self.trace, &self.server.endpoint);
        if self.server.is_metadata {
            return vec![NOT_ON_GOOGLE.into()];
        }
        let host = endpoint.host().trim_matches(['[', ']']);
        let is_name = host.parse::<std::net::IpAddr>().is_err();
        if self.is_stranger() {
            return vec![
                "if it comes from a proxy or an authority of your own, name its CA file, for fedboot and for COMMAND's clients:"
                    .into(),
                "export AWS_CA_BUNDLE=/path/to/ca.pem SSL_CERT_FILE=/path/to/ca.pem".into(),
            ];
        }
        if trace.proxy.is_some() {
            return vec![
                "check HTTPS_PROXY and its like, or let NO_PROXY name the host:".into(),
                format!("export NO_PROXY=\"$NO_PROXY,{host}\""),
            ];
        }
        if trace.connected.is_none() && trace.looked_up.is_none() && is_name {
            return vec![
                "check the name (--region, --sts-endpoint and their like), and whether names are looked up at all:"
                    .into(),
                format!("getent hosts {host}; cat /etc/resolv.conf"),
            ];
        }
        vec!["check what stands between: a firewall or a security group without this port, a proxy that is not named in HTTPS_PROXY, \
              a network without a way out (NAT, Private Google Access, a VPC endpoint)"
            .into()]
    }

    /// How far this machine's clock is from the server's.
    fn skew(&self) -> Option<Skew> {
        self.answer.as_ref()?.1.skew(self.at)
    }
}

/// Whose word the certificate of a server of the cloud's is, where it is not the cloud's.
fn interception(name: &str, certificate: &Certificate) -> Option<Finding> {
    let by = match &certificate.trust {
        Trusted::Mozilla | Trusted::Nothing => return None,
        Trusted::Named(origin) => format!("only {origin}"),
        Trusted::System => "only the system's own store".into(),
    };
    let issuer = certificate.issuer.as_deref().unwrap_or("somebody without a name");
    Some(
        Finding::warning(
            "tls",
            format!("{name} shows a certificate by {issuer}, which is no public authority's and which {by} vouches for: whoever \
                     has that authority reads along"),
        )
        .remedy("if that is your house's proxy, COMMAND's clients have to trust it as well:")
        .remedy("export AWS_CA_BUNDLE=CA.pem REQUESTS_CA_BUNDLE=CA.pem SSL_CERT_FILE=CA.pem NODE_EXTRA_CA_CERTS=CA.pem")
        .field("issuer", issuer),
    )
}

/// A finding about this machine's clock; none where no server has said what time it is.
pub fn clock<'a>(probed: impl Iterator<Item = &'a Probed>) -> Vec<Finding> {
    let told: Vec<_> = probed.filter_map(|one| Some((one.server.name, one.skew()?))).collect();
    let wrong: Vec<Finding> = told
        .iter()
        .filter(|(_, skew)| skew.is_too_much())
        .map(|(name, skew)| {
            Finding::failure("clock", format!("this machine's clock is {skew} that of {name}"))
                .remedy("set it right, or have it kept right (chrony, systemd-timesyncd; a virtual machine's host):")
                .remedy("timedatectl set-ntp true")
                .field("seconds", skew.apart.as_secs())
        })
        .collect();
    match told.iter().map(|(_, skew)| skew.apart).max() {
        Some(most) if wrong.is_empty() => {
            vec![Finding::ok("clock", format!("within {} s of every server's", most.as_secs().saturating_add(1)))]
        }
        _ => wrong,
    }
}

/// In whole ones, of which there is at least one.
pub fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis().max(1))
}
