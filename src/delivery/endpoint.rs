//! A loopback server that answers the SDKs' container-credentials request from memory.
//!
//! `GET` of `AWS_CONTAINER_CREDENTIALS_FULL_URI` with `Authorization: TOKEN` →
//! `{"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}`:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>.
//!
//! It answers the last good credentials as long as they live: an SDK whose endpoint fails fails its request at once.
//! `GET /status` with the same token says how things stand.
//! A browser cannot be made to ask it (DNS rebinding): another `Host` than loopback and any `Origin` are refused.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::AbortHandle;

use super::place;
use crate::error::{Error, Kind, Result};
use crate::flow::{BoxFuture, Credentials, Delivery, Environment};
use crate::log::timestamp;
use crate::process;
use crate::world::{self, World};

const PATH: &str = "/v1/credentials";
const STATUS_PATH: &str = "/status";
/// For one request's header, and for the pause between two requests on one connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const LARGEST_HEADER: usize = 16 << 10;
/// A burst of clients waits in line; one that finds no place tries again after a second, which some SDKs do not have.
const LISTEN_QUEUE: u32 = 1024;
/// Then the oldest connection gives way: clients that hold theirs open must not lock others out.
const MOST_CONNECTIONS: usize = 512;

/// The server; it stands as long as this does.
pub struct CredentialsEndpoint {
    state: Rc<State>,
    address: SocketAddr,
    token_file: PathBuf,
    /// Says that the token file is in use.
    _token_file_held: place::Held,
    mode: u32,
    server: AbortHandle,
}

struct State {
    world: Rc<World>,
    token: SecretString,
    answer: RefCell<Option<Answer>>,
    status: Box<dyn Fn() -> String>,
}

struct Answer {
    body: Bytes,
    expiration: SystemTime,
}

impl CredentialsEndpoint {
    /// Binds a free port and starts to serve; the token file is made beside `credentials_file` with the permissions
    /// `mode`. `status` makes the answer to `GET /status`.
    ///
    /// # Errors
    /// What could not be bound or written.
    pub fn open(world: Rc<World>, credentials_file: &Path, mode: u32, status: Box<dyn Fn() -> String>) -> Result<Self> {
        let failed = |error: io::Error| {
            Error::new(Kind::Fatal, "open the credentials endpoint", "127.0.0.1", world::plain(&error))
        };
        let socket = TcpSocket::new_v4().map_err(failed)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).map_err(failed)?;
        let listener = socket.listen(LISTEN_QUEUE).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let token = world::random_name::<32>();
        // No line end: some SDKs send the file's content as it stands.
        let (token_file, held) =
            place::create_held(credentials_file, place::TOKEN_SUFFIX, mode, token.as_bytes(), &world)?;
        let state = Rc::new(State { world, token: token.into(), answer: RefCell::new(None), status });
        let server = tokio::task::spawn_local(serve(listener, state.clone())).abort_handle();
        Ok(Self { state, address, token_file, _token_file_held: held, mode, server })
    }
}

impl Drop for CredentialsEndpoint {
    fn drop(&mut self) {
        self.server.abort();
        let _ = fs::remove_file(&self.token_file);
    }
}

impl Delivery for CredentialsEndpoint {
    fn deliver<'a>(&'a self, credentials: Option<&'a Credentials>) -> BoxFuture<'a, Result<()>> {
        if let (Some(credentials), Some(keys)) = (credentials, credentials.and_then(Credentials::keys)) {
            let body = serde_json::json!({
                "AccessKeyId": keys.access_key_id,
                "SecretAccessKey": keys.secret_access_key.expose_secret(),
                "Token": keys.session_token.expose_secret(),
                "Expiration": timestamp(credentials.expiration),
            });
            let answer = Answer { body: body.to_string().into(), expiration: credentials.expiration };
            self.state.answer.replace(Some(answer));
        }
        Box::pin(async {
            if self.is_intact() {
                return Ok(());
            }
            let token = self.state.token.expose_secret().as_bytes().to_vec();
            place::update(&self.token_file, self.mode, Duration::ZERO, &|_| Ok(token.clone())).map(drop)
        })
    }

    fn is_intact(&self) -> bool {
        self.token_file.exists()
    }

    fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        environment.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{}{PATH}", self.address));
        environment.set("AWS_CONTAINER_AUTHORIZATION_TOKEN", self.state.token.expose_secret());
        environment.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &self.token_file);
        environment
    }
}

async fn serve(listener: TcpListener, state: Rc<State>) {
    // The agent needs a few descriptors of its own, and what it was given may be little.
    let most = MOST_CONNECTIONS.min(process::descriptor_limit() / 2);
    let mut connections: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: the next connection that ends gives one back.
            state.world.sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        connections.retain(|connection| !connection.is_finished());
        if connections.len() >= most
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
        let state = state.clone();
        let connection = async move {
            let service = service_fn(|request| {
                let response = state.respond(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            // A client's mistake or sudden end is its own affair.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE_TIMEOUT)
                .max_buf_size(LARGEST_HEADER)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        };
        connections.push_back(tokio::task::spawn_local(connection).abort_handle());
    }
}

impl State {
    fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let headers = request.headers();
        // The target's own host counts before the header's: <https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2>.
        let target = request.uri().authority().is_none_or(|authority| is_loopback(authority.as_str()));
        if !target || !is_loopback_host(headers) || headers.contains_key(ORIGIN) {
            return refusal(StatusCode::FORBIDDEN, "Forbidden", "this server is for programs on this machine");
        }
        let path = request.uri().path();
        if request.method() != Method::GET || ![PATH, STATUS_PATH].contains(&path) {
            return refusal(StatusCode::NOT_FOUND, "NotFound", "there is only GET /v1/credentials and GET /status");
        }
        let token = headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
        if !bool::from(token.ct_eq(self.token.expose_secret().as_bytes())) {
            return refusal(StatusCode::UNAUTHORIZED, "Unauthorized", "the Authorization header is not the token");
        }
        if path == STATUS_PATH {
            return reply(StatusCode::OK, (self.status)().into());
        }
        match &*self.answer.borrow() {
            Some(answer) if answer.expiration > self.world.now() => reply(StatusCode::OK, answer.body.clone()),
            Some(_) => refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "CredentialsExpired",
                "refreshing has failed; see fedboot's log",
            ),
            None => {
                refusal(StatusCode::SERVICE_UNAVAILABLE, "NoCredentials", "none could be had yet; see fedboot's log")
            }
        }
    }
}

/// Exactly one `Host`, and one that no name server could have pointed here.
fn is_loopback_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    is_loopback(host.to_str().unwrap_or_default())
}

/// Whether `host`, perhaps with a port, is this machine for everybody.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "[::1]") || name.eq_ignore_ascii_case("localhost")
}

/// An error as the SDKs read it.
fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    reply(status, serde_json::json!({"code": code, "message": message}).to_string().into())
}

fn reply(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
