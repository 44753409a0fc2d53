//! The outside door's HTTP half: connections that can be opened before there is anything to send.
//!
//! A general client would open its connection with the request. Here the connection to the token service stands
//! (proxy, TCP, TLS) while the token that the request carries is still being minted, which saves one or two round
//! trips of every boot; hence hyper's connection itself, with hyper-util's reading of the proxy variables.

use std::cell::OnceCell;
use std::error::Error as _;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::error::{Error, Kind};
use crate::world::{self, World};

/// No answer that fedboot reads is larger.
const LARGEST_BODY: usize = 1 << 20;
/// A host that does not even accept a connection leaves time for its next address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An HTTP client with this workload's proxies and trusted certificates.
pub struct Http {
    proxies: Matcher,
    ca_files: Vec<PathBuf>,
    tls: OnceCell<Result<TlsConnector, Failure>>,
    deadline: Option<Instant>,
}

/// Where to connect, checked by [`Endpoint::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    scheme: Scheme,
    host: String,
    port: u16,
    /// The path that every request's path is appended to, without a slash at its end.
    path: String,
    proxied: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// What came back instead of an answer.
#[derive(Clone, Debug)]
pub struct Failure {
    /// In plain words, fit to follow the address.
    pub problem: String,
    /// Whether another try may fare better.
    pub transient: bool,
}

/// An answer, whatever its status.
pub struct Response {
    /// Status code.
    pub status: StatusCode,
    /// Headers.
    pub headers: hyper::HeaderMap,
    /// The whole body.
    pub body: Bytes,
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
        let proxy = |name: &str| {
            world.text_variable(&name.to_lowercase()).or_else(|| world.text_variable(name)).unwrap_or_default()
        };
        // HTTP_PROXY is not to be believed where a web server's CGI set it from a request's header (httpoxy).
        let http = if world.variable("REQUEST_METHOD").is_some() { String::new() } else { proxy("HTTP_PROXY") };
        let no_proxy = proxy("NO_PROXY");
        // The matcher takes a star for all names, but not for all addresses.
        let proxied = |url: String| if no_proxy.trim() == "*" { String::new() } else { url };
        Self {
            proxies: Matcher::builder()
                .all(proxied(proxy("ALL_PROXY")))
                .http(proxied(http))
                .https(proxied(proxy("HTTPS_PROXY")))
                .no(no_proxy)
                .build(),
            ca_files: ["AWS_CA_BUNDLE", "SSL_CERT_FILE"]
                .iter()
                .filter_map(|name| world.variable(name))
                .map(|file| world.absolute(file))
                .collect(),
            tls: OnceCell::new(),
            deadline: None,
        }
    }

    /// The same client, which gives nothing more time than until `deadline`.
    #[must_use]
    pub fn with_deadline(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
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
        // On the heap, as it is large and stands in every step's own.
        Box::pin(self.open(endpoint)).await
    }

    async fn open(&self, endpoint: &Endpoint) -> Result<Connection, Failure> {
        let uri = endpoint.uri("/").map_err(|error| Failure::lasting(error.problem))?;
        let proxy = if endpoint.proxied { self.proxies.intercept(&uri) } else { None };
        let Some(proxy) = proxy else {
            let stream: BoxStream = Box::new(connect_tcp(&endpoint.host, endpoint.port).await?);
            let stream = match endpoint.scheme {
                Scheme::Http => stream,
                Scheme::Https => self.tls(&endpoint.host, stream).await?,
            };
            return Ok(Connection {
                sender: handshake(stream).await?,
                absolute_form: false,
                proxy_authorization: None,
            });
        };
        let via = |failure: Failure| Failure {
            problem: format!(
                "through the proxy {}: {}",
                proxy.uri().authority().map_or("", |a| a.as_str()),
                failure.problem
            ),
            ..failure
        };
        let secure = match proxy.uri().scheme_str() {
            Some("http") | None => false,
            Some("https") => true,
            Some(other) => {
                return Err(via(Failure::lasting(format!("{other} is no HTTP proxy; set an http:// or https:// one"))));
            }
        };
        let host = proxy.uri().host().unwrap_or_default();
        let port = proxy.uri().port_u16().unwrap_or(if secure { 443 } else { 80 });
        let mut stream: BoxStream = Box::new(connect_tcp(host, port).await.map_err(via)?);
        if secure {
            stream = self.tls(host, stream).await.map_err(via)?;
        }
        let authorization = proxy.basic_auth().cloned();
        match endpoint.scheme {
            Scheme::Http => Ok(Connection {
                sender: handshake(stream).await.map_err(via)?,
                absolute_form: true,
                proxy_authorization: authorization,
            }),
            Scheme::Https => {
                let tunnel = tunnel(stream, endpoint, authorization).await.map_err(via)?;
                let stream = self.tls(&endpoint.host, tunnel).await?;
                Ok(Connection { sender: handshake(stream).await?, absolute_form: false, proxy_authorization: None })
            }
        }
    }

    /// Connects, sends `request` to `path` under `endpoint`, and reads the whole answer.
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

    async fn tls(&self, host: &str, stream: BoxStream) -> Result<BoxStream, Failure> {
        let connector = self.tls.get_or_init(|| self.build_tls()).clone()?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| Failure::lasting(format!("{host} is no valid server name")))?;
        let stream = connector.connect(name, stream).await.map_err(|error| tls_failure(&error, host))?;
        Ok(Box::new(stream))
    }

    /// Trusts Mozilla's roots, compiled in because images such as distroless and scratch have none, and what the
    /// user's own files name.
    fn build_tls(&self) -> Result<TlsConnector, Failure> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for file in &self.ca_files {
            let bad = |what: &str| {
                let file = file.display();
                Failure::lasting(format!("not asked: the CA file {file} of AWS_CA_BUNDLE or SSL_CERT_FILE {what}"))
            };
            let pem =
                world::read_file(file).map_err(|error| bad(&format!("cannot be read: {}", world::plain(&error))))?;
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|_| bad("holds malformed PEM"))?;
                // System bundles hold a few roots that no longer parse; the others still count.
                let _ = roots.add(certificate);
            }
            if roots.len() == before {
                return Err(bad("holds no CA certificate"));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::lasting(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Each connection is the only one for half an hour: nothing would ever be resumed.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
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
        let mut request = Request::new(Full::new(Bytes::from(body)));
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
        Ok(Response { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
}

impl Response {
    /// The same answer with `secret`, encoded as in a URL too, cut out of an error's body: what a server quotes is shown
    /// to the user.
    #[must_use]
    pub fn without(self, secret: &SecretString) -> Self {
        let secret = secret.expose_secret();
        let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let body = match std::str::from_utf8(&self.body) {
            Ok(text) if self.status != StatusCode::OK && (text.contains(secret) || text.contains(&encoded)) => {
                text.replace(secret, "[token]").replace(&encoded, "[token]").into()
            }
            _ => self.body,
        };
        Self { body, ..self }
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }

    /// What came back, for an error message about an answer that is of no use: the status, where a redirect led to,
    /// and the beginning of a body that is text.
    pub fn describe(&self) -> String {
        if let Some(location) = self.headers.get(LOCATION).and_then(|value| value.to_str().ok()) {
            let location = location.split('?').next().unwrap_or_default();
            return format!("answered {} to {location}, which is not followed with a token", self.status);
        }
        let body = excerpt(&self.body);
        let body = if body.is_empty() { " with an empty body".to_owned() } else { format!(": {body}") };
        format!("answered {}{body}", self.status)
    }

    /// Whether the same request may succeed later, by its status alone.
    pub fn is_transient(&self) -> bool {
        self.status.is_server_error()
            || matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
    }
}

impl Endpoint {
    /// Parses a URL. `http:` is for loopback and link-local addresses unless `allow_http`: what fedboot sends and
    /// receives are tokens.
    ///
    /// # Errors
    /// A usage error that says what is wrong with the URL.
    pub fn parse(url: &str, allow_http: bool) -> crate::error::Result<Self> {
        let bad = |why: &str| Error::usage(format!("{url:?} is no endpoint: {why}"));
        let uri: Uri = url.parse().map_err(|_| bad("not a URL"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(bad("it must begin with https:// (or http:// on loopback)")),
        };
        let authority = uri.authority().ok_or_else(|| bad("no host"))?;
        if authority.as_str().contains('@') {
            return Err(Error::usage("an endpoint URL must not hold a user name or password"));
        }
        if uri.query().is_some() {
            return Err(bad("no query is allowed"));
        }
        let host = authority.host().to_owned();
        if host.is_empty() {
            return Err(bad("no host"));
        }
        let near = is_near(&host);
        if scheme == Scheme::Http && !near && !allow_http {
            return Err(bad(
                "http: would carry a token in the clear; use https:, or --allow-http if the network is yours",
            ));
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str().len() > host.len() => return Err(bad("the port is no number")),
            None if scheme == Scheme::Http => 80,
            None => 443,
        };
        let proxied = !(scheme == Scheme::Http && near);
        Ok(Self { scheme, host, port, path: uri.path().trim_end_matches('/').into(), proxied })
    }

    /// The endpoint and the path with its query of a whole URL, by the rules of [`Endpoint::parse`].
    ///
    /// # Errors
    /// A usage error that says what is wrong with the URL.
    pub fn with_path(url: &str, allow_http: bool) -> crate::error::Result<(Self, String)> {
        let after_scheme = url.find("://").map_or(0, |at| at + 3);
        let split = url[after_scheme..].find(['/', '?']).map_or(url.len(), |at| after_scheme + at);
        let path = if url[split..].starts_with('?') { format!("/{}", &url[split..]) } else { url[split..].into() };
        Ok((Self::parse(&url[..split], allow_http)?, path))
    }

    /// The host, with brackets around an address of version 6.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether requests travel over TLS.
    pub fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        match self.host.trim_matches(['[', ']']).parse() {
            Ok(address) => IpAddr::is_loopback(&address),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// The same endpoint, never asked through a proxy.
    #[must_use]
    pub fn direct(self) -> Self {
        Self { proxied: false, ..self }
    }

    /// The URL of `path` under this endpoint.
    pub fn url(&self, path: &str) -> String {
        let (scheme, default_port) = match self.scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
        };
        let port = if self.port == default_port { String::new() } else { format!(":{}", self.port) };
        format!("{scheme}://{}{port}{}{path}", self.host, self.path)
    }

    fn uri(&self, path: &str) -> crate::error::Result<Uri> {
        let url = self.url(path);
        url.parse().map_err(|_| Error::new(Kind::Fatal, "", "", format!("{url:?} is no URL")))
    }
}

async fn within<T>(timeout: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(timeout, work)
        .await
        .unwrap_or_else(|_| Err(Failure::passing(format!("gave no answer within {:.1} s", timeout.as_secs_f64()))))
}

impl Failure {
    /// Another try may fare better.
    pub fn passing(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), transient: true }
    }

    /// It stays so until somebody changes something.
    pub fn lasting(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), transient: false }
    }

    /// This failure as the error of `step` on `address`.
    pub fn in_step(self, step: impl Into<String>, address: impl Into<String>) -> Error {
        let kind = if self.transient { Kind::Transient } else { Kind::Fatal };
        Error::new(kind, step, address, self.problem)
    }
}

/// A token in a JSON object, as a header can carry it; `None` where there is none.
pub fn word_in(json: &serde_json::Value, name: &str) -> Option<SecretString> {
    let text = json[name].as_str()?;
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_word.then(|| SecretString::from(text))
}

/// The beginning of what a server says, on one line, without control characters; a note instead of what is not text.
pub fn excerpt(body: &[u8]) -> String {
    const LONGEST: usize = 200;
    let Ok(text) = std::str::from_utf8(body) else { return format!("{} bytes that are not text", body.len()) };
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Loopback and link-local hosts: what is sent there stays on the machine or comes from its hypervisor.
fn is_near(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => address == Ipv6Addr::LOCALHOST || address.is_unicast_link_local(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

async fn connect_tcp(host: &str, port: u16) -> Result<TcpStream, Failure> {
    let host = host.trim_matches(['[', ']']);
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => tokio::net::lookup_host((host, port))
            .await
            .map_err(|error| {
                Failure::passing(format!("cannot be reached: no address for {host} ({})", world::plain(&error)))
            })?
            .collect(),
    };
    let mut failure = Failure::passing(format!("cannot be reached: no address for {host}"));
    for address in addresses {
        let connected = within(CONNECT_TIMEOUT, async {
            TcpStream::connect(address).await.map_err(|error| Failure::passing(world::plain(&error)))
        });
        match connected.await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(why) => failure = Failure::passing(format!("cannot be reached: {} ({address})", why.problem)),
        }
    }
    Err(failure)
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
    let target = format!("{}:{}", to.host, to.port);
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
        let problem = format!(
            "answered {} to CONNECT {target}; check the proxy variables, user and password included",
            response.status()
        );
        let transient = response.status().is_server_error();
        return Err(Failure { problem, transient });
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| http_failure(&error))?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

fn tls_failure(error: &io::Error, host: &str) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => Failure::lasting(format!(
            "showed a certificate that is not to be trusted for {host} ({why:?}); if it comes from a proxy or an authority of your own, name its CA file in AWS_CA_BUNDLE"
        )),
        Some(why) => Failure::passing(format!("failed in the TLS handshake: {why}")),
        None => Failure::passing(format!("failed in the TLS handshake: {}", world::plain(error))),
    }
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
