//! A loopback server that answers the SDKs' container-credentials request from memory.
//!
//! `GET` of `AWS_CONTAINER_CREDENTIALS_FULL_URI` → `{"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}`:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>.
//!
//! Who may ask knows a secret. As on ECS it is the end of the URL's path, so no client needs an authorization variable;
//! `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` is named all the same, as some clients ask no URL without it, but what
//! stands in that file is no secret. Where the URL would stand in a container's log, it is the file that holds the
//! secret, for the `Authorization` header.
//!
//! It answers the last good credentials as long as they live: an SDK whose endpoint fails fails its request at once. Once
//! they have ended it waits for a refresh that is due; it is as soon as the agent runs again that was frozen meanwhile.
//! `…/status` says how things stand.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue};
use hyper::{Method, Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::sync::Notify;

use crate::delivery::Delivery;
use crate::delivery::loopback::{self, Listeners, Loopback, Reply, Respond};
use crate::error::Result;
use crate::model::BoxFuture;
use crate::model::client::Client;
use crate::model::credentials::{Credentials, RefreshFailure};
use crate::model::environment::Environment;
use crate::system::log::timestamp;
use crate::system::private_file::{self, Directory, HeldFile, Writer};
use crate::system::world::World;
use crate::timing::schedule;

const PATH: &str = "/v1/credentials";
const STATUS: &str = "/status";
/// What stands in the token file where it is no secret.
const NO_SECRET: &str = "fedboot";
/// How long a client waits for credentials that are due: SDKs give an endpoint a second or two.
const PATIENCE: Duration = Duration::from_secs(1);

/// The server; it stands as long as this does.
pub struct CredentialsEndpoint {
    state: Rc<State>,
    server: Loopback,
    token_file: PathBuf,
    content: SecretString,
    is_in_front: bool,
    held: Arc<Mutex<HeldFile>>,
    writer: Writer,
}

struct State {
    world: Rc<World>,
    secret: SecretString,
    answer: RefCell<Option<Answer>>,
    /// Why the last try has failed, and when the next one is.
    failure: RefCell<Option<RefreshFailure>>,
    changed: Notify,
    status: Box<dyn Fn() -> String>,
}

struct Answer {
    body: Bytes,
    expiration: SystemTime,
}

/// How an endpoint is to stand.
pub struct EndpointPlan {
    /// The sockets that it listens on.
    pub listeners: Listeners,
    /// What clients have to know.
    pub secret: SecretString,
    /// Whether the URL may not hold the secret, so that the token file does.
    pub is_in_front: bool,
    /// Where the token file stands.
    pub directory: Arc<Directory>,
    /// Its name, one of fedboot's own.
    pub token_file: String,
    /// Its permissions.
    pub mode: u32,
    /// Makes the answer to `…/status`.
    pub status: Box<dyn Fn() -> String>,
}

impl CredentialsEndpoint {
    /// Starts to serve.
    ///
    /// # Errors
    /// What could not be written.
    pub fn open(world: Rc<World>, plan: EndpointPlan) -> Result<Self> {
        let EndpointPlan { listeners, secret, is_in_front, directory, token_file, mode, status } = plan;
        // No line end: some SDKs send the file's content as it stands.
        let content = if is_in_front { secret.clone() } else { NO_SECRET.into() };
        let held = private_file::hold_new(&directory, &token_file, mode, content.expose_secret().as_bytes())?;
        let token_file = held.path();
        let state = Rc::new(State {
            world: world.clone(),
            secret,
            answer: RefCell::default(),
            failure: RefCell::default(),
            changed: Notify::new(),
            status,
        });
        let server = Loopback::open(listeners, world, state.clone())?;
        let (held, writer) = (Arc::new(Mutex::new(held)), Writer::default());
        Ok(Self { state, server, token_file, content, is_in_front, held, writer })
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
            self.state.failure.take();
            self.state.changed.notify_waiters();
        }
        let (held, content) = (self.held.clone(), self.content.clone());
        let restore = move || {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            held.restore(content.expose_secret().as_bytes())
        };
        Box::pin(self.writer.run(restore))
    }

    fn fail<'a>(&'a self, failure: &'a RefreshFailure) -> BoxFuture<'a, Result<()>> {
        self.state.failure.replace(Some(failure.clone()));
        self.state.changed.notify_waiters();
        Box::pin(async { Ok(()) })
    }

    fn is_intact(&self) -> BoxFuture<'_, bool> {
        let held = self.held.clone();
        Box::pin(self.writer.check(move || held.lock().unwrap_or_else(PoisonError::into_inner).is_there()))
    }

    fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        let mut uri = format!("http://{}{PATH}", self.server.address);
        if !self.is_in_front {
            uri = uri + "/" + self.state.secret.expose_secret();
        }
        environment.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri);
        environment.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &self.token_file);
        environment
    }
}

impl Respond for State {
    fn respond(&self, request: &Request<Incoming>, _: &Rc<Client>) -> Reply<'_> {
        if !loopback::is_local(request, &[]) {
            let message = "this server is for programs on this machine";
            return Reply::Now(refusal(StatusCode::FORBIDDEN, "Forbidden", message));
        }
        let path = request.uri().path();
        let (shown, what) = match path.strip_prefix(PATH) {
            // The secret by the header.
            Some("") => (header(request), ""),
            None if path == STATUS => (header(request), STATUS),
            Some(rest) => match (rest.strip_prefix('/').unwrap_or_default(), rest.strip_suffix(STATUS)) {
                ("", _) => (&b""[..], "?"),
                (_, Some(rest)) => (rest.trim_start_matches('/').as_bytes(), STATUS),
                (secret, None) => (secret.as_bytes(), ""),
            },
            None => (&b""[..], "?"),
        };
        if request.method() != Method::GET || what == "?" {
            return Reply::Now(refusal(
                StatusCode::NOT_FOUND,
                "NotFound",
                "there is only GET of AWS_CONTAINER_CREDENTIALS_FULL_URI",
            ));
        }
        if !bool::from(shown.ct_eq(self.secret.expose_secret().as_bytes())) {
            let message = "neither the path nor the Authorization header holds the secret";
            return Reply::Now(refusal(StatusCode::UNAUTHORIZED, "Unauthorized", message));
        }
        if what == STATUS {
            return Reply::Now(reply(StatusCode::OK, (self.status)().into()));
        }
        if self.can_answer() {
            return Reply::Now(self.answer());
        }
        // The agent has just started, or has just been woken: the refresh is under way, or is now.
        self.world.look_at_clock();
        Reply::Later(Box::pin(async {
            let answerable = async {
                loop {
                    let changed = self.changed.notified();
                    if self.can_answer() {
                        return;
                    }
                    changed.await;
                }
            };
            let _ = tokio::time::timeout(PATIENCE, answerable).await;
            self.answer()
        }))
    }
}

fn header(request: &Request<Incoming>) -> &[u8] {
    request.headers().get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes)
}

impl State {
    fn is_live(&self) -> bool {
        self.answer.borrow().as_ref().is_some_and(|answer| answer.expiration > self.world.now())
    }

    /// Whether there is nothing to wait for: they live, or the next try is too far away.
    fn can_answer(&self) -> bool {
        self.is_live() || self.has_failed(PATIENCE)
    }

    fn has_failed(&self, patience: Duration) -> bool {
        let failure = self.failure.borrow();
        failure.as_ref().is_some_and(|it| schedule::has_failed(it.at, it.next_try, self.world.now(), patience))
    }

    fn answer(&self) -> loopback::Answer {
        let (code, what) = match &*self.answer.borrow() {
            Some(answer) if answer.expiration > self.world.now() => return reply(StatusCode::OK, answer.body.clone()),
            Some(_) => ("CredentialsExpired", "the credentials have ended"),
            None => ("NoCredentials", "none could be had yet"),
        };
        let why = match &*self.failure.borrow() {
            Some(failure) if self.has_failed(Duration::ZERO) => format!("refreshing has failed: {}", failure.error),
            Some(failure) => format!("{}; the last one failed: {}", schedule::NOT_YET, failure.error),
            None => format!("{}; see fedboot's log", schedule::NOT_YET),
        };
        refusal(StatusCode::SERVICE_UNAVAILABLE, code, &format!("{what}, and {why}"))
    }
}

/// An error as the SDKs read it.
fn refusal(status: StatusCode, code: &str, message: &str) -> loopback::Answer {
    reply(status, serde_json::json!({"code": code, "message": message}).to_string().into())
}

fn reply(status: StatusCode, body: Bytes) -> loopback::Answer {
    let mut answer = loopback::answer(status, "application/json", body);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
