//! A server for programs on this machine: HTTP/1.1 on 127.0.0.1, which survives whatever connects to it.
//!
//! A browser cannot be made to ask it (DNS rebinding): another `Host` than loopback and any `Origin` are refused.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::flow::BoxFuture;
use crate::process;
use crate::world::{self, World};

/// For one request's header, and for the pause between two requests on one connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const LARGEST_HEADER: usize = 16 << 10;
/// Above this many, connections that are idle give way: clients that hold theirs open must not lock others out, nor fill
/// the memory.
const MANY_CONNECTIONS: usize = 1024;
/// Fewer than these are not worth a wake-up to see whether they have ended.
const FEW_CONNECTIONS: usize = 64;
/// A burst is over when nobody has come for this long.
const BURST_IS_OVER: Duration = Duration::from_secs(1);
/// How many there may be at all. One on which nothing was sent yet costs next to nothing.
const MOST_CONNECTIONS: usize = 16 << 10;
/// How long a connection may say nothing, where there is no room for more.
const FIRST_BYTE: Duration = Duration::from_millis(250);
/// How long the rest of a first request may take, where there are many.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// How long a connection may be idle after an answer, where there are many.
const NEXT_REQUEST: Duration = Duration::from_millis(20);

/// What a server answers with.
pub type Answer = Response<Full<Bytes>>;

/// Answers requests.
pub trait Respond {
    /// Answers at once, where nothing needs to be waited for.
    fn respond(&self, request: &Request<Incoming>) -> Reply<'_>;
}

/// An answer, or one that has to be waited for.
pub enum Reply<'a> {
    /// This one.
    Now(Answer),
    /// What comes of this, which does not take long.
    Later(BoxFuture<'a, Answer>),
    /// What comes of this some time, unless the connection has to give way.
    AtLeisure(BoxFuture<'a, Answer>),
}

/// The server; it stands as long as this does.
pub struct Loopback {
    /// Where it listens.
    pub address: SocketAddr,
    server: AbortHandle,
}

impl Loopback {
    /// Starts to serve on `listener`, which does not block.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn open(listener: std::net::TcpListener, world: Rc<World>, respond: Rc<dyn Respond>) -> Result<Self> {
        let taken = listener.local_addr().and_then(|address| Ok((TcpListener::from_std(listener)?, address)));
        let (listener, address) =
            taken.map_err(|error| Error::new(Kind::Fatal, "serve clients", "127.0.0.1", world::plain(&error)))?;
        let server = tokio::task::spawn_local(serve(listener, world, respond)).abort_handle();
        Ok(Self { address, server })
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, world: Rc<World>, respond: Rc<dyn Respond>) {
    // The agent needs a few descriptors of its own, and what it was given may be little.
    let most = MOST_CONNECTIONS.min(process::descriptor_limit(2 * MOST_CONNECTIONS) / 2);
    let many = MANY_CONNECTIONS.min(most / 2);
    let mut connections: Vec<Connection> = Vec::new();
    let mut until_tidied = 0;
    loop {
        let patience = if connections.len() > FEW_CONNECTIONS { BURST_IS_OVER } else { Duration::MAX };
        let Ok(accepted) = tokio::time::timeout(patience, listener.accept()).await else {
            // What it needed is given back.
            tidy(&mut connections, many, world.monotonic());
            connections.shrink_to(FEW_CONNECTIONS);
            continue;
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: the next connection that ends gives one back.
            world.sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        until_tidied -= 1;
        if connections.len() >= many && until_tidied <= 0 {
            tidy(&mut connections, many, world.monotonic());
            // To look at all of them for each new one would take longer than to answer it.
            until_tidied = 64;
        }
        while connections.len() >= most {
            tidy(&mut connections, many, world.monotonic());
            match next_to_go(&connections, world.monotonic()) {
                Some(index) => connections.remove(index).task.abort(),
                // All have a request in hand or on its way, which does not take long; others wait in line.
                None => world.sleep(NEXT_REQUEST).await,
            }
        }
        let state = Rc::new(Cell::new(State::SilentSince(world.monotonic())));
        let connection = converse(stream, world.clone(), respond.clone(), state.clone());
        connections.push(Connection { task: tokio::task::spawn_local(connection).abort_handle(), state });
    }
}

struct Connection {
    task: AbortHandle,
    state: Rc<Cell<State>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was sent yet.
    SilentSince(Instant),
    /// A request is not there, or only a part of it. It may give way from then on.
    IdleFrom(Instant),
    /// A request is in hand.
    Busy,
}

/// Forgets connections that have ended, and ends those that may give way, the oldest first, until there are `many`.
fn tidy(connections: &mut Vec<Connection>, many: usize, now: Instant) {
    connections.retain(|connection| !connection.task.is_finished());
    let mut too_many = connections.len().saturating_sub(many);
    connections.retain(|connection| {
        let gives_way = matches!(connection.state.get(), State::IdleFrom(then) if then <= now) && too_many > 0;
        if gives_way {
            connection.task.abort();
            too_many -= 1;
        }
        !gives_way
    });
}

/// The oldest connection that gives way where there is no room at all.
fn next_to_go(connections: &[Connection], now: Instant) -> Option<usize> {
    let oldest = |wanted: fn(State, Instant) -> bool| {
        connections.iter().position(|connection| wanted(connection.state.get(), now))
    };
    oldest(|state, _| matches!(state, State::IdleFrom(_)))
        .or_else(|| oldest(|state, now| matches!(state, State::SilentSince(then) if then + FIRST_BYTE <= now)))
}

async fn converse(stream: TcpStream, world: Rc<World>, respond: Rc<dyn Respond>, state: Rc<Cell<State>>) {
    // Being told that it is readable is no proof that something was sent.
    if !matches!(tokio::time::timeout(IDLE_TIMEOUT, stream.peek(&mut [0])).await, Ok(Ok(1))) {
        return;
    }
    state.set(State::IdleFrom(world.monotonic() + FIRST_REQUEST));
    let service = service_fn(|request: Request<Incoming>| {
        let (respond, state, world) = (&respond, &state, &world);
        async move {
            let answer = match respond.respond(&request) {
                Reply::Now(answer) => answer,
                Reply::Later(answer) => {
                    state.set(State::Busy);
                    answer.await
                }
                Reply::AtLeisure(answer) => {
                    state.set(State::IdleFrom(world.monotonic() + NEXT_REQUEST));
                    answer.await
                }
            };
            state.set(State::IdleFrom(world.monotonic() + NEXT_REQUEST));
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        // Some say that they have said all, and still listen.
        .half_close(true)
        .max_buf_size(LARGEST_HEADER)
        .serve_connection(TokioIo::new(stream), service);
    // On the heap, so that who sends nothing takes no room for it. A client's mistake or sudden end is its own affair.
    let _ = Box::pin(connection).await;
}

/// Whether the request is one of a program on this machine, and of no browser.
pub fn is_local(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    // The target's own host counts before the header's: <https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2>.
    let target = request.uri().authority().is_none_or(|authority| is_loopback(authority.as_str()));
    target && is_loopback_host(headers) && !headers.contains_key(ORIGIN)
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

/// An answer with this body, of this content type.
pub fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
