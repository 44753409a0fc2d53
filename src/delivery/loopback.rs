//! A server for programs on this machine: HTTP/1.1 on 127.0.0.1, and perhaps on another address of this machine's, which
//! survives whatever connects to it.
//!
//! A browser cannot be made to ask it (DNS rebinding): another `Host` than loopback, or the names of the server that is
//! stood in for, and any `Origin` are refused.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue, ORIGIN, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::delivery::connections::{Crowd, First, LARGEST_HEADER, State};
use crate::error::{Error, Kind, Result};
use crate::model::BoxFuture;
use crate::model::client::Client;
use crate::system::process::owner::Owners;
use crate::system::world::{self, World};

/// For one request's header, and for the pause between two requests on one connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// To a header that is larger than any may be.
const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// On loopback, and perhaps at another address of this machine's; none blocks.
pub type Listeners = (std::net::TcpListener, Option<std::net::TcpListener>);

/// What a server answers with.
pub type Answer = Response<Full<Bytes>>;

/// Answers requests.
pub trait Respond {
    /// Answers at once, where nothing needs to be waited for.
    fn respond(&self, request: &Request<Incoming>, client: &Rc<Client>) -> Reply<'_>;
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
    /// Where it listens first.
    pub address: SocketAddr,
    server: AbortHandle,
}

impl Loopback {
    /// Starts to serve on `listeners`.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn open(listeners: Listeners, world: Rc<World>, respond: Rc<dyn Respond>) -> Result<Self> {
        let (first, second) = listeners;
        let taken = first.local_addr().and_then(|address| Ok((TcpListener::from_std(first)?, address)));
        let (first, address) =
            taken.map_err(|error| Error::new(Kind::Fatal, "serve clients", "127.0.0.1", world::plain(&error)))?;
        let listeners = [Some(first), second.and_then(|second| TcpListener::from_std(second).ok())];
        let server = Server { crowd: Crowd::new(world.clone()), world, respond, owners: Rc::default() };
        let server = tokio::task::spawn_local(Rc::new(server).serve(listeners)).abort_handle();
        Ok(Self { address, server })
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Server {
    world: Rc<World>,
    respond: Rc<dyn Respond>,
    crowd: Crowd,
    owners: Rc<Owners>,
}

impl Server {
    async fn serve(self: Rc<Self>, listeners: [Option<TcpListener>; 2]) {
        let (mut number, mut until_looked_after): (u64, u32) = (0, 0);
        loop {
            let accepted = tokio::select! {
                accepted = any(&listeners) => accepted,
                () = self.crowd.next_look() => {
                    self.crowd.look_after();
                    continue;
                }
            };
            let Ok((stream, peer)) = accepted else {
                // Out of descriptors, most likely: the next connection that ends gives one back.
                self.world.sleep(Duration::from_millis(50)).await;
                continue;
            };
            // The other address may be asked from the network.
            if !peer.ip().is_loopback() && stream.local_addr().map(|own| own.ip()).ok() != Some(peer.ip()) {
                continue;
            }
            let _ = stream.set_nodelay(true);
            until_looked_after = until_looked_after.saturating_sub(1);
            if until_looked_after == 0 && self.crowd.is_one() {
                self.crowd.look_after();
                // To look at all of them for each new one would take longer than to answer it.
                until_looked_after = 64;
            }
            self.crowd.room().await;
            number = number.wrapping_add(1);
            let state = self.crowd.newcomer();
            let connection = self.clone().converse(stream, peer, number, state.clone());
            self.crowd.add(tokio::task::spawn_local(connection).abort_handle(), state);
        }
    }

    async fn converse(self: Rc<Self>, stream: TcpStream, peer: SocketAddr, number: u64, state: Rc<Cell<State>>) {
        match tokio::time::timeout(IDLE_TIMEOUT, self.crowd.first_request(&stream, &state)).await {
            Ok(Ok(First::Whole)) => {}
            Ok(Ok(First::TooLarge)) => {
                let _ = stream.try_write(TOO_LARGE);
                return;
            }
            Ok(Ok(First::Ended) | Err(_)) | Err(_) => return,
        }
        let Some(_place) = self.crowd.place(&state).await else { return };
        // On the heap, so that who sends nothing takes no room for it.
        Box::pin(self.answer(stream, peer, number, &state)).await;
    }

    async fn answer(&self, stream: TcpStream, peer: SocketAddr, number: u64, state: &Cell<State>) {
        let idle = || state.set(State::IdleSince(self.world.monotonic()));
        let ends = stream.local_addr().ok().map(|own| (peer, own));
        let client = Rc::new(Client::new(self.owners.clone(), ends, number));
        idle();
        let service = service_fn(|request: Request<Incoming>| {
            let client = &client;
            async move {
                let mut answer = match self.respond.respond(&request, client) {
                    Reply::Now(answer) => answer,
                    Reply::Later(answer) => {
                        state.set(State::Busy);
                        tokio::select! {
                            answer = answer => answer,
                            () = self.crowd.impatience() => crowded(),
                        }
                    }
                    Reply::AtLeisure(answer) => {
                        idle();
                        answer.await
                    }
                };
                idle();
                if self.crowd.is_awaited() {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
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
        // A client's mistake or sudden end is its own affair.
        let _ = connection.await;
    }
}

/// The next connection to one of them.
async fn any(listeners: &[Option<TcpListener>]) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        let mut polled = listeners.iter().flatten().map(|listener| listener.poll_accept(context));
        polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

/// To who has waited for long, and keeps others from their answers.
fn crowded() -> Answer {
    let message = "fedboot: what is asked for takes long, and too many others wait; try again\n";
    let mut answer = answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain", message.into());
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// Whether the request is one of a program on this machine, and of no browser. `names`: what else the server is called,
/// none of which others can have.
pub fn is_local(request: &Request<Incoming>, names: &[&str]) -> bool {
    let headers = request.headers();
    // The target's own host counts before the header's: <https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2>.
    let target = request.uri().authority().is_none_or(|authority| is_own(authority.as_str(), names));
    target && has_own_host(headers, names) && !headers.contains_key(ORIGIN)
}

/// Exactly one `Host`, and one that no name server could have pointed here.
fn has_own_host(headers: &HeaderMap, names: &[&str]) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    is_own(host.to_str().unwrap_or_default(), names)
}

/// Whether `host`, perhaps with a port, is this machine for everybody.
fn is_own(host: &str, names: &[&str]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    matches!(name, "127.0.0.1" | "[::1]") || is("localhost") || names.iter().any(|known| is(known))
}

/// An answer with this body, of this content type.
pub fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
