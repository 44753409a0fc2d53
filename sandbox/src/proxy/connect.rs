//! A forward proxy: [CONNECT](https://www.rfc-editor.org/rfc/rfc9110#name-connect) and plain requests with an
//! absolute URL. It records what was asked for, may want a password, and may send every name to the sandbox.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::proxy::listening::Listening;

/// One request to the proxy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proxied {
    /// `CONNECT`, or the method of a plain request.
    pub method: String,
    /// `HOST:PORT`, or the whole URL of a plain request.
    pub target: String,
    /// What the proxy answered: 200 for a tunnel that stands, 407 without the password, 502 if nobody is there.
    pub status: u16,
}

struct Shared {
    authorization: Option<String>,
    /// Prefixes of host names with where they lead; the first that fits counts.
    hosts: Vec<(&'static str, SocketAddr)>,
    seen: Mutex<Vec<Proxied>>,
}

/// A running proxy; it stops when it is dropped.
pub struct ConnectProxy {
    listening: Listening,
    userinfo: String,
    shared: Arc<Shared>,
}

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

impl ConnectProxy {
    pub(crate) fn start(
        runtime: &Handle,
        credentials: Option<(&str, &str)>,
        hosts: Vec<(&'static str, SocketAddr)>,
    ) -> anyhow::Result<Self> {
        let pair = credentials.map(|(user, password)| format!("{user}:{password}"));
        let shared = Arc::new(Shared {
            authorization: pair.as_ref().map(|p| format!("Basic {}", BASE64.encode(p))),
            hosts,
            seen: Mutex::default(),
        });
        let of_connections = shared.clone();
        let listening = Listening::start(runtime, move |client| serve(of_connections.clone(), client))?;
        Ok(Self { listening, userinfo: pair.map_or(String::new(), |pair| format!("{pair}@")), shared })
    }

    /// For `HTTPS_PROXY`, with user and password if there are any.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.userinfo, self.listening.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Proxied> {
        self.shared.seen.lock().clone()
    }

    /// The targets so far, `HOST:PORT`.
    pub fn targets(&self) -> Vec<String> {
        self.requests().into_iter().map(|r| r.target).collect()
    }
}

impl Shared {
    async fn connect(&self, host: &str, port: u16) -> std::io::Result<TcpStream> {
        let here = self.hosts.iter().find(|(prefix, _)| host.starts_with(prefix));
        let stream = match here {
            Some((_, address)) => TcpStream::connect(address).await?,
            None => TcpStream::connect((host, port)).await?,
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (method, target) = (request.method().to_string(), request.uri().to_string());
        let answer = self.forward(request).await;
        self.seen.lock().push(Proxied { method, target, status: answer.status().as_u16() });
        answer
    }

    async fn forward(&self, mut request: Request<Incoming>) -> Answer {
        let given = request.headers_mut().remove(header::PROXY_AUTHORIZATION);
        let given = given.as_ref().and_then(|value| value.to_str().ok());
        if self.authorization.as_deref().is_some_and(|wanted| given != Some(wanted)) {
            let mut answer = plain(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "a password is wanted\n");
            let challenge = header::HeaderValue::from_static("Basic realm=\"sandbox\"");
            answer.headers_mut().insert(header::PROXY_AUTHENTICATE, challenge);
            return answer;
        }
        let Some(host) = request.uri().host().map(str::to_string) else {
            return plain(StatusCode::BAD_REQUEST, "this is a proxy: CONNECT or an absolute URL\n");
        };
        let tunnel = request.method() == Method::CONNECT;
        let port = request.uri().port_u16().unwrap_or(if tunnel { 443 } else { 80 });
        let mut server = match self.connect(&host, port).await {
            Ok(server) => server,
            Err(e) => return plain(StatusCode::BAD_GATEWAY, format!("{host}:{port}: {e}\n")),
        };
        if tunnel {
            tokio::spawn(async move {
                if let Ok(client) = hyper::upgrade::on(request).await {
                    let mut client = TokioIo::new(client);
                    // Either side may end the tunnel as it likes.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
            return plain(StatusCode::OK, "");
        }
        let sent = async {
            let io = TokioIo::new(server);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(connection);
            let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
            *request.uri_mut() = path.parse().unwrap_or_default();
            sender.send_request(request).await
        };
        match sent.await {
            Ok(answer) => answer.map(BodyExt::boxed),
            Err(e) => plain(StatusCode::BAD_GATEWAY, format!("{host}:{port}: {e}\n")),
        }
    }
}

async fn serve(shared: Arc<Shared>, client: TcpStream) {
    let service = service_fn(|request| async { Ok::<_, Infallible>(shared.answer(request).await) });
    // A client that goes away is its own business.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(client), service)
        .with_upgrades()
        .await;
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let body = Full::new(text.into()).map_err(|never| match never {}).boxed();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}
