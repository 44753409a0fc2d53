//! Both loopback servers, asked by real connections.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use fedboot::delivery::endpoint::{CredentialsEndpoint, EndpointPlan};
use fedboot::delivery::metadata_server::{About, MetadataServer};
use fedboot::delivery::{Delivery, TokenSource};
use fedboot::error::Result;
use fedboot::model::BoxFuture;
use fedboot::model::client::{Client, Guests};
use fedboot::model::credentials::{Content, Credentials, Keys, Principal, RefreshFailure};
use fedboot::model::request::TokenRequest;
use fedboot::system::private_file;
use fedboot::system::world::World;

const SECRET: &str = "0123456789abcdef";
const LIFETIME: Duration = Duration::from_secs(1 << 30);

/// Whatever is asked for, a token.
struct Always;

impl TokenSource for Always {
    fn token<'a>(&'a self, _: &'a TokenRequest, _: &'a Rc<Client>) -> BoxFuture<'a, Result<Rc<Credentials>>> {
        Box::pin(async { Ok(token()) })
    }

    fn ready(&self, _: &TokenRequest) -> Option<Rc<Credentials>> {
        Some(token())
    }

    fn fail(&self, _: &RefreshFailure) {}
}

fn token() -> Rc<Credentials> {
    let principal = Principal::Google("sa@project.iam.gserviceaccount.com".into());
    Rc::new(Credentials {
        content: Content::GoogleToken("token".into()),
        expiration: end(),
        principal,
        identity: String::new(),
    })
}

fn end() -> SystemTime {
    SystemTime::UNIX_EPOCH + LIFETIME
}

fn world() -> Rc<World> {
    Rc::new(World::imagined(&[], || SystemTime::UNIX_EPOCH))
}

/// Has a server stand in a thread of its own for the rest of this process.
fn stand<S>(open: impl FnOnce(TcpListener) -> Result<S> + Send + 'static) -> SocketAddr {
    // As in an agent: a client that has gone is an error of the write.
    fedboot::system::process::ignore_broken_pipes();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let server = open(listener).expect("a server");
            std::future::pending::<()>().await;
            drop(server);
        });
    });
    address
}

/// Sends the bytes, and reads until the server has said all.
fn send(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket");
    // It may have heard enough.
    if stream.write_all(bytes).is_ok() {
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
}

/// The AWS endpoint.
pub fn credentials_endpoint(bytes: &[u8]) {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    let address = ADDRESS.get_or_init(|| {
        stand(|listener| {
            let temporary = tempfile::TempDir::new().expect("a directory");
            let world = world();
            let endpoint = CredentialsEndpoint::open(
                world.clone(),
                EndpointPlan {
                    listeners: (listener, None),
                    secret: SECRET.into(),
                    is_in_front: false,
                    directory: private_file::beside(&temporary.path().join("any"), 0o600, &world)?,
                    token_file: "token".into(),
                    mode: 0o600,
                    status: Box::new(|| "{}".into()),
                },
            )?;
            let keys = Keys {
                access_key_id: "ASIA".into(),
                secret_access_key: "secret".into(),
                session_token: "token".into(),
            };
            let principal = Principal::Role { arn: "arn".into(), session_name: "me".into() };
            let credentials =
                Credentials { content: Content::Keys(keys), expiration: end(), principal, identity: String::new() };
            drop(endpoint.deliver(Some(&credentials)));
            Ok(endpoint)
        })
    });
    send(*address, bytes);
}

/// Google's metadata server.
pub fn metadata_server(bytes: &[u8]) {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    let address = ADDRESS.get_or_init(|| {
        stand(|listener| {
            let about = About {
                // A pool of this name ended the agent once.
                email: "my--pool.global.7.workload.id.goog".into(),
                scopes: vec!["a".into()],
                project_id: Some("project".into()),
                project_number: Some(7),
                universe: "googleapis.com".into(),
                hostname: "host".into(),
            };
            MetadataServer::open((listener, None), about, Guests::Any, Rc::new(Always), world())
        })
    });
    send(*address, bytes);
}
