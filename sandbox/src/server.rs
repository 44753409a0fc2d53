//! Listeners on loopback: accepts, logs, lets faults happen, hands the rest to the services.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Response, http};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::aws::{container, imds, sts};
use crate::clock::{random_bytes, sleep_until};
use crate::clouds::Clouds;
use crate::control;
use crate::fault::{Effect, Service};
use crate::google::{self, iam_credentials, keys, metadata};
use crate::log::{Log, Request};
use crate::reply::Reply;
use crate::sending::{Manner, sent};

/// Connections that may wait to be accepted.
pub(crate) const BACKLOG: u32 = 1024;
const LARGEST_BODY: usize = 4 << 20;

/// The sandbox's ports, for [`crate::Builder::port`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Metadata server.
    Metadata,
    /// JWKS and IAM Credentials over HTTP.
    Google,
    /// JWKS and IAM Credentials over HTTPS.
    GoogleTls,
    /// STS over HTTP.
    Sts,
    /// STS over HTTPS.
    StsTls,
    /// Google STS over HTTP.
    GoogleSts,
    /// Google STS over HTTPS.
    GoogleStsTls,
    /// The metadata service of an EC2 instance.
    Imds,
    /// The endpoints for ECS tasks and pods.
    Container,
    /// Control API.
    Control,
}

impl Port {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Metadata,
        Self::Google,
        Self::GoogleTls,
        Self::Sts,
        Self::StsTls,
        Self::GoogleSts,
        Self::GoogleStsTls,
        Self::Imds,
        Self::Container,
        Self::Control,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Google => "google",
            Self::GoogleTls => "google-tls",
            Self::Sts => "sts",
            Self::StsTls => "sts-tls",
            Self::GoogleSts => "google-sts",
            Self::GoogleStsTls => "google-sts-tls",
            Self::Imds => "imds",
            Self::Container => "container",
            Self::Control => "control",
        }
    }

    /// The service behind it; IAM Credentials for the port that JWKS shares with it.
    pub(crate) fn service(self) -> Option<Service> {
        match self {
            Self::Metadata => Some(Service::Metadata),
            Self::Google | Self::GoogleTls => Some(Service::IamCredentials),
            Self::Sts | Self::StsTls => Some(Service::Sts),
            Self::GoogleSts | Self::GoogleStsTls => Some(Service::GoogleSts),
            Self::Imds => Some(Service::Imds),
            Self::Container => Some(Service::Container),
            Self::Control => None,
        }
    }

    pub(crate) fn tls(self) -> bool {
        matches!(self, Self::GoogleTls | Self::StsTls | Self::GoogleStsTls)
    }
}

/// Stop listening, drop every connection, and listen again after a while.
pub(crate) struct Refuse {
    pub until: Instant,
    pub done: std_mpsc::Sender<()>,
}

/// A socket that holds its port but refuses connections until it listens.
pub(crate) fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// How a port begins.
pub(crate) enum Opening {
    /// It listens already.
    Open(TcpListener),
    /// It refuses connections until then.
    Late(TcpSocket, Instant),
}

/// Serves one port as long as the runtime lives.
pub(crate) async fn run(
    clouds: Arc<Clouds>,
    port: Port,
    mut opening: Opening,
    mut orders: mpsc::UnboundedReceiver<Refuse>,
) {
    loop {
        let listener = match opening {
            Opening::Open(listener) => Ok(listener),
            Opening::Late(socket, until) => {
                tokio::time::sleep_until(until.into()).await;
                socket.listen(BACKLOG)
            }
        };
        let (listener, address) = match listener.and_then(|l| l.local_addr().map(|a| (l, a))) {
            Ok(listening) => listening,
            Err(e) => return eprintln!("fedboot-sandbox: {port:?} cannot listen: {e}"),
        };
        let mut connections = JoinSet::new();
        let order = loop {
            tokio::select! {
                accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(clouds.clone(), port, stream));
                },
                Some(_) = connections.join_next() => {}
                Some(order) = orders.recv() => break order,
            }
        };
        drop(listener);
        connections.shutdown().await;
        opening = match reserve(address) {
            Ok(socket) => Opening::Late(socket, order.until),
            Err(e) => {
                return eprintln!("fedboot-sandbox: {port:?} cannot have {address} again: {e}");
            }
        };
        // Nobody may be waiting any more.
        let _ = order.done.send(());
    }
}

async fn connection(clouds: Arc<Clouds>, port: Port, stream: TcpStream) {
    // Without it the answer in two packets would wait for an acknowledgement; if it fails it is only slower.
    let _ = stream.set_nodelay(true);
    let Some(service) = port.service() else {
        return control(clouds, stream).await;
    };
    let id = clouds.state.log.connected(service, port.tls());
    if !port.tls() {
        return serve(clouds, port, id, stream).await;
    }
    let config =
        if clouds.state.faults.take_wrong_certificate(service) { clouds.wrong_tls.clone() } else { clouds.tls.clone() };
    match TlsAcceptor::from(config).accept(stream).await {
        Ok(stream) => serve(clouds, port, id, stream).await,
        Err(error) => clouds.state.log.handshake_failed(id, error.to_string()),
    }
}

async fn serve<S>(clouds: Arc<Clouds>, port: Port, connection: u64, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| respond(&clouds, port, connection, request));
    // A client that goes away is its own business.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn control(clouds: Arc<Clouds>, stream: TcpStream) {
    let clouds = &clouds;
    let service = service_fn(move |request: http::Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, LARGEST_BODY).collect().await.map_err(io::Error::other)?.to_bytes();
        let reply = control::answer(clouds, &parts.method, &parts.uri, &body).await;
        Ok::<_, io::Error>(sent(reply, Manner::Whole))
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Reads, logs, answers one request. An error closes the connection without an answer.
async fn respond(
    clouds: &Clouds,
    port: Port,
    connection: u64,
    request: http::Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, io::Error>>, io::Error> {
    let (at, since_start) = (SystemTime::now(), clouds.state.log.elapsed());
    let arrived = Instant::now();
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, LARGEST_BODY).collect().await.map_err(io::Error::other)?.to_bytes();
    let mut request = read(port, connection, &parts, &body);
    (request.at, request.since_start) = (at, since_start);
    request.seq = clouds.state.log.arrived(request.clone());

    let service = request.service;
    let fault = clouds.state.faults.take(service, &request.action, &request.path);
    let mut entry = Entry {
        log: &clouds.state.log,
        seq: request.seq,
        fault: fault.as_ref().and_then(|f| serde_json::to_string(f).ok()),
        open: true,
    };
    if let Some(delay) = fault.as_ref().map(|f| f.delay_ms).filter(|ms| *ms > 0) {
        sleep_until(arrived + Duration::from_millis(delay)).await;
    }
    let effect = fault.map_or(Effect::Pass, |fault| fault.effect);
    let skew = match effect {
        Effect::ClockSkew { seconds } => seconds,
        _ => 0,
    };
    let (reply, manner) = match effect {
        Effect::Close => {
            entry.close(None, "closed without an answer");
            return Err(io::Error::other("this fault was asked for"));
        }
        Effect::Hang => {
            entry.close(None, "never answered");
            return std::future::pending().await;
        }
        Effect::Status { status, body, headers } => {
            let mut reply = Reply::new(status, "text/plain", body, format!("status {status}"));
            for (name, value) in headers {
                reply.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(&name));
                reply = reply.header(&name, value);
            }
            (flavored(service, reply), Manner::Whole)
        }
        Effect::Error { code, message, status } => {
            let reply = match service {
                Service::IamCredentials => google::error::error(&code, message, status),
                Service::GoogleSts => {
                    let description = message.as_deref().unwrap_or("This fault was asked for.");
                    google::error::oauth(&code, description, status)
                }
                Service::Imds => imds::error(&code, status),
                Service::Container => container::error(&code, message, status),
                Service::Sts | Service::Metadata | Service::Jwks => {
                    sts::error(&clouds.state.settings().dialect, &code, message, status)
                }
            };
            (reply, Manner::Whole)
        }
        Effect::Redirect { location } => {
            let page = "<H1>302 Moved</H1>\n";
            let reply = Reply::new(302, "text/html", page, format!("moved to {location}"));
            (reply.header("location", location), Manner::Whole)
        }
        Effect::Garbage => {
            // 0xff is nowhere in UTF-8.
            let mut bytes = random_bytes::<64>();
            bytes[0] = 0xff;
            let reply = Reply::new(200, "application/octet-stream", bytes, "garbage");
            (flavored(service, reply), Manner::Whole)
        }
        Effect::Captive => {
            let page = "<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>Please accept our \
                        terms to use this network.</h1></body></html>\n";
            let reply = Reply::new(200, "text/html; charset=utf-8", page, "a captive page");
            (reply, Manner::Whole)
        }
        Effect::CutBody => (answer(clouds, &request, 0), Manner::Half),
        Effect::Drip { interval_ms } => {
            let interval = Duration::from_millis(interval_ms);
            (answer(clouds, &request, 0), Manner::Drip(interval))
        }
        Effect::Pass | Effect::ClockSkew { .. } | Effect::WrongCertificate
            if service == Service::Imds && imds::is_out_of_reach(&clouds.state.settings(), &request) =>
        {
            entry.close(None, "the answer ended on its way: the hop limit is 1");
            return std::future::pending().await;
        }
        Effect::Pass | Effect::ClockSkew { .. } | Effect::WrongCertificate => {
            (answer(clouds, &request, skew), Manner::Whole)
        }
    };
    entry.close(Some(reply.status), &reply.verdict);
    Ok(sent(reply, manner))
}

/// An entry of the log that is still to be completed: by an answer, or by the client's going away.
struct Entry<'a> {
    log: &'a Log,
    seq: usize,
    fault: Option<String>,
    open: bool,
}

impl Entry<'_> {
    fn close(&mut self, status: Option<u16>, verdict: &str) {
        if std::mem::take(&mut self.open) {
            let fault = self.fault.take();
            self.log.finished(self.seq, status, verdict.to_string(), fault);
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.close(None, "the client went away");
    }
}

fn answer(clouds: &Clouds, request: &Request, skew: i64) -> Reply {
    match request.service {
        Service::Metadata => metadata::answer(&clouds.state, request, skew),
        Service::Jwks => keys::answer(request),
        Service::IamCredentials => iam_credentials::answer(&clouds.state, request, skew),
        Service::Sts => sts::answer(&clouds.state, request, skew),
        Service::Imds => imds::answer(&clouds.state, request, skew),
        Service::Container => container::answer(&clouds.state, request, skew),
        Service::GoogleSts => google::sts::answer(clouds, request, skew),
    }
}

/// Faults of the metadata server itself bear its mark; what comes from elsewhere, like a captive page, does not.
fn flavored(service: Service, reply: Reply) -> Reply {
    match service {
        Service::Metadata => reply.header("metadata-flavor", "Google"),
        _ => reply,
    }
}

fn read(port: Port, connection: u64, parts: &http::request::Parts, body: &[u8]) -> Request {
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.as_str().to_string(), value.into_owned())
        })
        .collect();
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or(""));
    let mut params: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let content_type = parts.headers.get("content-type").map(|v| v.as_bytes());
    let of_type = |kind: &[u8]| content_type.is_some_and(|found| found.starts_with(kind));
    if of_type(b"application/x-www-form-urlencoded") {
        params.extend(form_urlencoded::parse(body).into_owned());
    } else if let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(body) {
        params.extend(fields.into_iter().map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            (name, value)
        }));
    }
    let service = match port.service() {
        Some(Service::IamCredentials) => keys::service_of(path),
        Some(service) => service,
        None => unreachable!("the control port is not logged"),
    };
    let last = path.split('/').rfind(|part| !part.is_empty());
    let action = match service {
        Service::Sts => params.get("Action").cloned().unwrap_or_default(),
        Service::Metadata => last.unwrap_or("/").to_string(),
        Service::Jwks => "jwks".to_string(),
        Service::IamCredentials => path.rsplit([':', '/']).next().unwrap_or("").to_string(),
        Service::Imds => imds::action(path),
        Service::Container => container::action(path).to_string(),
        Service::GoogleSts => "exchange".to_string(),
    };
    Request {
        action,
        tls: port.tls(),
        method: parts.method.to_string(),
        path: path.to_string(),
        query: query.to_string(),
        headers,
        params,
        body: String::from_utf8_lossy(body).into_owned(),
        connection,
        ..Request::new(service)
    }
}
