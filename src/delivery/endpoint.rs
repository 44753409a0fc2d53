//! A loopback server that answers the SDKs' container-credentials request from memory.
//!
//! `GET` of `AWS_CONTAINER_CREDENTIALS_FULL_URI` with `Authorization: TOKEN` →
//! `{"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}`:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>.
//!
//! It answers the last good credentials as long as they live: an SDK whose endpoint fails fails its request at once.
//! `GET /status` with the same token says how things stand.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue};
use hyper::{Method, Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::loopback::{self, Loopback, Reply, Respond};
use super::place;
use crate::error::Result;
use crate::flow::{BoxFuture, Credentials, Delivery, Environment};
use crate::log::timestamp;
use crate::world::{self, World};

const PATH: &str = "/v1/credentials";
const STATUS_PATH: &str = "/status";

/// The server; it stands as long as this does.
pub struct CredentialsEndpoint {
    state: Rc<State>,
    server: Loopback,
    token_file: PathBuf,
    /// Says that the token file is in use.
    _token_file_held: place::Held,
    mode: u32,
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
        let token = world::random_name::<32>();
        // No line end: some SDKs send the file's content as it stands.
        let (token_file, held) =
            place::create_held(credentials_file, place::TOKEN_SUFFIX, mode, token.as_bytes(), &world)?;
        let state = Rc::new(State { world: world.clone(), token: token.into(), answer: RefCell::new(None), status });
        let server = Loopback::open("credentials endpoint", 0, world, state.clone())?;
        Ok(Self { state, server, token_file, _token_file_held: held, mode })
    }
}

impl Drop for CredentialsEndpoint {
    fn drop(&mut self) {
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
        environment.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{}{PATH}", self.server.address));
        environment.set("AWS_CONTAINER_AUTHORIZATION_TOKEN", self.state.token.expose_secret());
        environment.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &self.token_file);
        environment
    }
}

impl Respond for State {
    fn respond(&self, request: &Request<Incoming>) -> Reply<'_> {
        Reply::Now(self.answer(request))
    }
}

impl State {
    fn answer(&self, request: &Request<Incoming>) -> loopback::Answer {
        if !loopback::is_local(request) {
            return refusal(StatusCode::FORBIDDEN, "Forbidden", "this server is for programs on this machine");
        }
        let path = request.uri().path();
        if request.method() != Method::GET || ![PATH, STATUS_PATH].contains(&path) {
            return refusal(StatusCode::NOT_FOUND, "NotFound", "there is only GET /v1/credentials and GET /status");
        }
        let token = request.headers().get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
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

/// An error as the SDKs read it.
fn refusal(status: StatusCode, code: &str, message: &str) -> loopback::Answer {
    reply(status, serde_json::json!({"code": code, "message": message}).to_string().into())
}

fn reply(status: StatusCode, body: Bytes) -> loopback::Answer {
    let mut answer = loopback::answer(status, "application/json", body);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
