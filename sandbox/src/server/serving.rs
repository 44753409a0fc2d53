//! A connection of a service: TLS, the log, and the fault that was asked for.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hyper::http::request::Parts;
use hyper::{Request as HttpRequest, body::Incoming};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::aws::imds;
use crate::clock::{random_bytes, shifted, sleep_until};
use crate::reply::Reply;
use crate::server::routes;
use crate::server::sending::{Manner, Sent, received, sent, speak};
use crate::settings::fault::Effect;
use crate::settings::names::Service;
use crate::state::State;
use crate::state::log::{Log, Request};

/// The services behind their listeners.
pub(crate) struct Services {
    pub state: Arc<State>,
    pub tls: Arc<ServerConfig>,
    pub wrong_tls: Arc<ServerConfig>,
}

/// Serves one connection on a port of this service.
pub(crate) async fn connection(services: Arc<Services>, service: Service, tls: bool, stream: TcpStream) {
    let state = &services.state;
    // Without it the answer in two packets would wait for an acknowledgement; if it fails it is only slower.
    let _ = stream.set_nodelay(true);
    let id = state.log.connected(service, tls);
    if !tls {
        return serve(state, service, tls, id, stream).await;
    }
    let wrong = state.faults.take_wrong_certificate(service);
    let config = if wrong { &services.wrong_tls } else { &services.tls };
    match TlsAcceptor::from(config.clone()).accept(stream).await {
        Ok(stream) => serve(state, service, tls, id, stream).await,
        Err(error) => state.log.handshake_failed(id, error.to_string()),
    }
}

async fn serve(state: &State, port: Service, tls: bool, connection: u64, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let respond = async |request: HttpRequest<Incoming>| {
        let (at, since_start) = (SystemTime::now(), state.log.elapsed());
        let arrived = Instant::now();
        let (parts, body) = request.into_parts();
        let body = received(body).await?;
        let request = Request { tls, connection, at, since_start, ..read(port, &parts, &body) };
        respond(state, request, arrived).await
    };
    speak(stream, respond).await;
}

/// Logs and answers one request. An error closes the connection without an answer.
async fn respond(state: &State, mut request: Request, arrived: Instant) -> io::Result<Sent> {
    request.seq = state.log.arrived(request.clone());
    let service = request.service;
    let fault = state.faults.take(service, &request.action, &request.path);
    let mut entry = Entry {
        log: &state.log,
        seq: request.seq,
        fault: fault.as_ref().and_then(|f| serde_json::to_string(f).ok()),
        open: true,
    };
    if let Some(delay) = fault.as_ref().map(|f| f.delay_ms).filter(|ms| *ms > 0) {
        sleep_until(arrived + Duration::from_millis(delay)).await;
    }
    let mut manner = Manner::Whole;
    let reply = match fault.map_or(Effect::Pass, |fault| fault.effect) {
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
            flavored(service, reply)
        }
        Effect::Error { code, message, status } => routes::error(state, service, &code, message, status),
        Effect::Redirect { location } => {
            let page = "<H1>302 Moved</H1>\n";
            Reply::new(302, "text/html", page, format!("moved to {location}")).header("location", location)
        }
        Effect::Garbage => {
            // 0xff is nowhere in UTF-8.
            let mut bytes = random_bytes::<64>();
            bytes[0] = 0xff;
            flavored(service, Reply::new(200, "application/octet-stream", bytes, "garbage"))
        }
        Effect::Captive => {
            let page = "<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>Please accept our \
                        terms to use this network.</h1></body></html>\n";
            Reply::new(200, "text/html; charset=utf-8", page, "a captive page")
        }
        Effect::CutBody => {
            manner = Manner::Half;
            routes::answer(state, &request, 0)
        }
        Effect::Drip { interval_ms } => {
            manner = Manner::Drip(Duration::from_millis(interval_ms));
            routes::answer(state, &request, 0)
        }
        Effect::Pass | Effect::ClockSkew { .. } | Effect::WrongCertificate
            if service == Service::Imds && imds::is_out_of_reach(&state.settings(), &request) =>
        {
            entry.close(None, "the answer ended on its way: the hop limit is 1");
            return std::future::pending().await;
        }
        Effect::ClockSkew { seconds } => {
            let there = httpdate::fmt_http_date(shifted(SystemTime::now(), seconds));
            routes::answer(state, &request, seconds).header("date", there)
        }
        Effect::Pass | Effect::WrongCertificate => routes::answer(state, &request, 0),
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

/// Faults of the metadata server itself bear its mark; what comes from elsewhere, like a captive page, does not.
fn flavored(service: Service, reply: Reply) -> Reply {
    match service {
        Service::Metadata => reply.header("metadata-flavor", "Google"),
        _ => reply,
    }
}

/// A request to the services on a port, before it is known when and how it came.
fn read(port: Service, parts: &Parts, body: &[u8]) -> Request {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or(""));
    let mut params: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let content_type = parts.headers.get("content-type").map(|v| v.as_bytes());
    if content_type.is_some_and(|found| found.starts_with(b"application/x-www-form-urlencoded")) {
        params.extend(form_urlencoded::parse(body).into_owned());
    } else if let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(body) {
        params.extend(fields.into_iter().map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            (name, value)
        }));
    }
    let (service, action) = routes::named(port, path, &params);
    Request {
        seq: 0,
        service,
        action,
        tls: false,
        method: parts.method.to_string(),
        path: path.to_string(),
        query: query.to_string(),
        headers: headers.collect(),
        params,
        body: text(body),
        connection: 0,
        at: SystemTime::UNIX_EPOCH,
        since_start: Duration::ZERO,
        took: Duration::ZERO,
        status: None,
        verdict: String::new(),
        fault: None,
    }
}
