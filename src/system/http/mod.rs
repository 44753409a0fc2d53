//! The outside door's HTTP half: connections that can be opened before there is anything to send.
//!
//! A general client would open its connection with the request. Here the connection to the token service stands
//! (proxy, TCP, TLS) while the token that the request carries is still being minted, which saves one or two round
//! trips of every boot; hence hyper's connection itself, with hyper-util's reading of the proxy variables.

mod crypto;
pub mod endpoint;
mod progress;
mod proxy;
mod response;
mod sent;
mod tcp;
mod tls;
mod trace;
mod trust;

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::error::{Error, Kind, Reason, reasons};
use crate::system::input::InputFile;
use crate::system::shown;
use crate::system::world::World;

pub use endpoint::{Endpoint, percent_decoded};
pub use progress::longest_wait;
pub use response::{Response, Skew, refusal};
use sent::Sent;
pub use trace::{Certificate, Trace, Trusted};
use trust::{SYSTEM_IS_NEEDED, Tls};

/// No answer that fedboot reads is larger.
const LARGEST_BODY: usize = 1 << 20;

/// An HTTP client with this workload's proxies and trusted certificates.
pub struct Http {
    proxies: Matcher,
    ca_files: Vec<InputFile>,
    tls: RefCell<Option<Tls>>,
    /// Whether the last certificate was not to be trusted.
    met_a_stranger: Cell<bool>,
    /// What the last connection went through.
    trace: RefCell<Trace>,
    deadline: Option<Instant>,
    /// Since when names are looked up in vain.
    unresolved_since: Cell<Option<Instant>>,
}

/// What came back instead of an answer.
#[derive(Clone, Debug)]
pub struct Failure {
    /// In plain words, fit to follow the address.
    pub problem: String,
    /// Whether another try may fare better.
    pub transient: bool,
    /// Why, and so what to do.
    pub reason: &'static Reason,
}

/// An open connection, good for one request.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Set where requests go to a proxy that must be told the whole URL.
    absolute_form: bool,
    proxy_authorization: Option<HeaderValue>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
type BoxStream = Box<dyn Stream>;

impl Http {
    /// A client for `world`: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` in both cases, `AWS_CA_BUNDLE`,
    /// `SSL_CERT_FILE`. Nothing is read before the first request needs it.
    pub fn new(world: &World) -> Self {
        let variable = |name: &str| {
            world.text_variable(&name.to_lowercase()).or_else(|| world.text_variable(name)).unwrap_or_default()
        };
        // HTTP_PROXY is not to be believed where a web server's CGI set it from a request's header (httpoxy).
        let http = if world.variable("REQUEST_METHOD").is_some() { String::new() } else { variable("HTTP_PROXY") };
        let no_proxy = variable("NO_PROXY");
        // The matcher takes a star for all names, but not for all addresses.
        let proxied = |url: String| if no_proxy.trim() == "*" { String::new() } else { proxy::plain(&url) };
        Self {
            proxies: Matcher::builder()
                .all(proxied(variable("ALL_PROXY")))
                .http(proxied(http))
                .https(proxied(variable("HTTPS_PROXY")))
                .no(no_proxy)
                .build(),
            ca_files: ["AWS_CA_BUNDLE", "SSL_CERT_FILE"]
                .iter()
                .filter_map(|name| InputFile::of_variable(world, name))
                .collect(),
            tls: RefCell::default(),
            met_a_stranger: Cell::default(),
            trace: RefCell::default(),
            deadline: None,
            unresolved_since: Cell::new(None),
        }
    }

    /// The same client, which gives nothing more time than until `deadline`.
    #[must_use]
    pub fn with_deadline(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    /// What the last connection went through, as far as it came.
    pub fn trace(&self) -> Trace {
        let certificate = self.tls.borrow().as_ref().and_then(|ready| ready.trust.last_certificate());
        Trace { certificate, ..self.trace.borrow().clone() }
    }

    /// Bounds `work` by `timeout` and by the client's deadline.
    ///
    /// # Errors
    /// Those of `work`, and `gave no answer within …` once the time is up.
    pub async fn within<T>(
        &self,
        timeout: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        within(self.at_most(timeout), work).await
    }

    /// `timeout`, or what is left until the client's deadline.
    pub fn at_most(&self, timeout: Duration) -> Duration {
        self.deadline.map_or(timeout, |deadline| timeout.min(deadline.duration_since(Instant::now())))
    }

    /// Opens a connection to `endpoint`, through its proxy and with TLS where it has them.
    ///
    /// # Errors
    /// What came back instead.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, Failure> {
        loop {
            // On the heap, as it is large and stands in every step's own.
            let opened = Box::pin(self.open(endpoint)).await;
            // An authority of the house's own may stand in the system's store, which no variable names.
            let has_system = self.tls.borrow().as_ref().is_some_and(|ready| ready.has_system);
            let may_know = opened.is_err() && self.met_a_stranger.take() && !has_system;
            if !may_know || !self.trust(true).await?.1 {
                return opened;
            }
            SYSTEM_IS_NEEDED.store(true, Ordering::Relaxed);
        }
    }

    async fn open(&self, endpoint: &Endpoint) -> Result<Connection, Failure> {
        self.trace.take();
        let uri = endpoint.uri("/").map_err(|error| Failure::lasting(error.problem))?;
        let proxy = if endpoint.is_proxied() { self.proxies.intercept(&uri) } else { None };
        let Some(proxy) = proxy else {
            let stream: BoxStream = Box::new(self.connect_tcp(endpoint.host(), endpoint.port()).await?);
            let stream = if endpoint.is_secure() { self.tls(endpoint.host(), stream).await? } else { stream };
            return Ok(Connection {
                sender: handshake(stream).await?,
                absolute_form: false,
                proxy_authorization: None,
            });
        };
        let address = proxy.uri().authority().map_or("", |authority| authority.as_str());
        let via = |failure: Failure| Failure {
            problem: format!("through the proxy {address}: {}", failure.problem),
            ..failure.reason(&reasons::PROXY)
        };
        if address == proxy::UNKNOWN {
            let problem =
                "not asked: HTTPS_PROXY, HTTP_PROXY or ALL_PROXY is no proxy's address; write http://HOST:PORT";
            return Err(Failure::lasting(problem).reason(&reasons::PROXY));
        }
        self.trace.borrow_mut().proxy = Some(address.into());
        let secure = match proxy.uri().scheme_str() {
            Some("http") | None => false,
            Some("https") => true,
            Some(other) => {
                return Err(via(Failure::lasting(format!("{other} is no HTTP proxy; set an http:// or https:// one"))));
            }
        };
        let host = proxy.uri().host().unwrap_or_default();
        let port = proxy.uri().port_u16().unwrap_or(if secure { 443 } else { 80 });
        let mut stream: BoxStream = Box::new(self.connect_tcp(host, port).await.map_err(via)?);
        if secure {
            stream = self.tls(host, stream).await.map_err(via)?;
        }
        let authorization = proxy.basic_auth().cloned();
        if !endpoint.is_secure() {
            let sender = handshake(stream).await.map_err(via)?;
            return Ok(Connection { sender, absolute_form: true, proxy_authorization: authorization });
        }
        let tunnel = tunnel(stream, endpoint, authorization).await.map_err(via)?;
        let stream = self.tls(endpoint.host(), tunnel).await?;
        Ok(Connection { sender: handshake(stream).await?, absolute_form: false, proxy_authorization: None })
    }

    /// Connects, sends a request to `path` under `endpoint`, and reads the whole answer.
    ///
    /// # Errors
    /// What came back instead, `no answer within …` after `timeout`.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        timeout: Duration,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: String,
    ) -> Result<Response, Failure> {
        self.send_on(None, endpoint, timeout, method, path, headers, body).await
    }

    /// The same on a connection that was `prepared` and has been kept open.
    ///
    /// # Errors
    /// What came back instead, `no answer within …` after `timeout`.
    #[expect(clippy::too_many_arguments, reason = "a request has that many parts")]
    pub async fn send_on(
        &self,
        prepared: Option<Connection>,
        endpoint: &Endpoint,
        timeout: Duration,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: String,
    ) -> Result<Response, Failure> {
        let sent = Box::pin(async {
            let connection = match prepared.filter(Connection::is_open) {
                Some(connection) => connection,
                None => self.connect(endpoint).await?,
            };
            connection.send(endpoint, method, path, headers, body).await
        });
        self.within(timeout, sent).await
    }
}

impl Connection {
    /// Whether the other side has kept it open.
    fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends one request to `path` under `endpoint` and reads the whole answer. Redirects are not followed: what is
    /// sent here is a token.
    ///
    /// # Errors
    /// What came back instead of an answer.
    pub async fn send(
        mut self,
        endpoint: &Endpoint,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: String,
    ) -> Result<Response, Failure> {
        let uri = endpoint.uri(path).map_err(|error| Failure::lasting(error.problem))?;
        let body = Bytes::from(body);
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = method;
        let host = uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        *request.uri_mut() = if self.absolute_form {
            uri
        } else {
            uri.path_and_query().map_or("/", |path| path.as_str()).parse().unwrap_or_default()
        };
        let mut insert = |name: HeaderName, value: &str| match HeaderValue::try_from(value) {
            Ok(value) => {
                request.headers_mut().insert(name, value);
                Ok(())
            }
            Err(_) if shown::is_opaque(name.as_str()) => {
                Err(Failure::lasting("not asked: control characters in a header"))
            }
            Err(_) => Err(Failure::lasting(format!("not asked: control characters in the {name} header"))),
        };
        insert(HOST, &host)?;
        insert(USER_AGENT, concat!("fedboot/", env!("CARGO_PKG_VERSION")))?;
        for (name, value) in headers {
            insert(name.clone(), value)?;
        }
        if let Some(authorization) = self.proxy_authorization.take() {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        let sent = Sent {
            headers: request.headers().clone(),
            target: path.into(),
            body,
            confidential: endpoint.is_confidential(),
        };
        let _waiting = progress::wait_for(format!("the answer of {}", endpoint.host()));
        let response = self.sender.send_request(request).await.map_err(|error| http_failure(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST_BODY).collect().await.map_err(|error| {
            match error.downcast::<hyper::Error>() {
                Ok(_) => Failure::passing(format!(
                    "answered {} and closed the connection before the end of the body",
                    head.status.as_u16()
                )),
                Err(_) => Failure::lasting(format!("answered {} with more than 1 MiB", head.status.as_u16())),
            }
        })?;
        Ok(Response { status: head.status, headers: head.headers, body: body.to_bytes(), sent })
    }
}

async fn within<T>(timeout: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
        let problem = format!("gave no answer within {:.1} s", timeout.as_secs_f64());
        Err(Failure::passing(problem).reason(&reasons::NO_ANSWER))
    })
}

impl Failure {
    /// Another try may fare better.
    pub fn passing(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), transient: true, reason: &reasons::NO_HTTP }
    }

    /// It stays so until somebody changes something.
    pub fn lasting(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), transient: false, reason: &reasons::NO_HTTP }
    }

    /// Files it under another reason.
    #[must_use]
    pub fn reason(self, reason: &'static Reason) -> Self {
        Self { reason, ..self }
    }

    /// This failure as the error of `step` on `address`.
    pub fn in_step(self, step: impl Into<String>, address: impl Into<String>) -> Error {
        let kind = if self.transient { Kind::Transient } else { Kind::Fatal };
        Error::new(kind, step, address, self.problem).because(self.reason, &[])
    }
}

/// A token in a JSON object, as a header can carry it; `None` where there is none.
pub fn word_in(json: &serde_json::Value, name: &str) -> Option<SecretString> {
    let text = json[name].as_str()?;
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_word.then(|| SecretString::from(text))
}

/// Hands the connection to a task of its own.
async fn handshake(stream: BoxStream) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| http_failure(&error))?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

/// A tunnel through an HTTP proxy: <https://www.rfc-editor.org/rfc/rfc9110#name-connect>.
async fn tunnel(stream: BoxStream, to: &Endpoint, authorization: Option<HeaderValue>) -> Result<BoxStream, Failure> {
    let mut sender = handshake(stream).await?;
    let target = format!("{}:{}", to.host(), to.port());
    let mut request = Request::new(Full::default());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = target.parse().map_err(|_| Failure::lasting(format!("{target} is no address")))?;
    if let Ok(host) = HeaderValue::try_from(&target) {
        request.headers_mut().insert(HOST, host);
    }
    if let Some(authorization) = authorization {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
    }
    let response = sender.send_request(request).await.map_err(|error| http_failure(&error))?;
    if response.status() != StatusCode::OK {
        let problem = format!("answered {} to CONNECT {target}", response.status());
        let failure = if response.status().is_server_error() { Failure::passing } else { Failure::lasting };
        return Err(failure(problem));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| http_failure(&error))?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

fn http_failure(error: &hyper::Error) -> Failure {
    if error.is_parse() {
        return Failure::passing("answered something that is not HTTP");
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Failure::passing("closed the connection without an answer");
    }
    Failure::passing(match error.source() {
        Some(source) => format!("failed: {error}: {source}"),
        None => format!("failed: {error}"),
    })
}
