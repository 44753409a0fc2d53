//! Google's metadata server on loopback: every unmodified Google client believes that it runs on Google Cloud.
//!
//! - `/` and the directories of `/computeMetadata/v1/` answer a probe; `project/`, `universe/` and `instance/` say what is
//!   known here, as text, or with `?alt=json` or `?recursive=true` as JSON.
//! - `instance/service-accounts/default/token?scopes=A,B` → `{"access_token", "expires_in", "token_type"}`.
//! - `instance/service-accounts/default/identity?audience=A` → an ID token.
//!
//! <https://cloud.google.com/compute/docs/metadata/querying-metadata>,
//! <https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys>. Every request but that of `/` must bear
//! `Metadata-Flavor: Google`, which no browser can be made to send, and none may bear `X-Forwarded-For`.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER, SERVER};
use hyper::{Method, Request, StatusCode};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::delivery::loopback::{self, Answer, Listeners, Loopback, Reply, Respond};
use crate::delivery::{Delivery, TokenSource};
use crate::error::{Error, Kind, Result};
use crate::model::BoxFuture;
use crate::model::client::{Client, Guests};
use crate::model::credentials::{Credentials, RefreshFailure};
use crate::model::environment::Environment;
use crate::model::request::{TokenRequest, scopes_in_order};
use crate::system::http::percent_decoded;
use crate::system::world::World;

const ROOT: &str = "/computeMetadata/v1";
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");
const TEXT: &str = "application/text";
const JSON: &str = "application/json";
/// What clients with a fixed address call it, once a hosts file or a network namespace has led them here: the top level
/// `internal` is nobody's, a name without a dot is no site's, and the address is every machine's own.
const NAMES: &[&str] = &["metadata.google.internal", "metadata.google.internal.", "metadata", "169.254.169.254"];
/// Nothing here ever changes: who waits for a change is answered after this time.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What the server says beside tokens.
pub struct About {
    /// The service account's address, or the pool where there is none.
    pub email: String,
    /// Scopes of the usual access token.
    pub scopes: Vec<String>,
    /// The project's id.
    pub project_id: Option<String>,
    /// The project's number.
    pub project_number: Option<u64>,
    /// Whose Google this is.
    pub universe: String,
    /// The host name.
    pub hostname: String,
}

/// The server; it stands as long as this does.
pub struct MetadataServer {
    server: Loopback,
    source: Rc<dyn TokenSource>,
}

struct State {
    world: Rc<World>,
    source: Rc<dyn TokenSource>,
    about: About,
    /// The usual access token.
    usual: Rc<TokenRequest>,
    /// All that can be listed, by the names of paths.
    tree: Value,
    guests: Guests,
}

impl MetadataServer {
    /// Starts to serve the tokens of `source` on `listeners` to `guests`.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn open(
        listeners: Listeners,
        about: About,
        guests: Guests,
        source: Rc<dyn TokenSource>,
        world: Rc<World>,
    ) -> Result<Self> {
        let usual = Rc::new(TokenRequest::AccessToken(about.scopes.clone()));
        let state = State { world: world.clone(), source: source.clone(), tree: tree(&about), usual, guests, about };
        Ok(Self { server: Loopback::open(listeners, world, Rc::new(state))?, source })
    }

    /// Where clients find it.
    pub fn address(&self) -> String {
        self.server.address.to_string()
    }
}

impl Delivery for MetadataServer {
    /// Clients ask for what they need, and the source has it.
    fn deliver<'a>(&'a self, _: Option<&'a Credentials>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn fail<'a>(&'a self, failure: &'a RefreshFailure) -> BoxFuture<'a, Result<()>> {
        self.source.fail(failure);
        Box::pin(async { Ok(()) })
    }

    fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        for name in ["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT", "FEDBOOT_METADATA_HOST"] {
            environment.set(name, self.address());
        }
        environment
    }
}

fn tree(about: &About) -> Value {
    let account = json!({"aliases": ["default"], "email": about.email, "scopes": about.scopes});
    let mut accounts = Map::new();
    accounts.insert("default".into(), account.clone());
    accounts.insert(about.email.clone(), account);
    let mut project = Map::new();
    project.insert("attributes".into(), json!({}));
    project.extend(about.project_id.iter().map(|id| ("project-id".into(), id.as_str().into())));
    project.extend(about.project_number.map(|number| ("numeric-project-id".into(), number.into())));
    json!({
        "instance": {"attributes": {}, "hostname": about.hostname, "name": about.hostname, "service-accounts": accounts},
        "project": project,
        "universe": {"universe-domain": about.universe, "universe_domain": about.universe},
    })
}

/// The answer that is asked for most.
#[derive(Serialize)]
struct TokenAnswer<'a> {
    access_token: &'a str,
    expires_in: u64,
    token_type: &'static str,
}

/// What is asked for in a query, decoded.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Request<Incoming>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn is_true(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

impl Respond for State {
    fn respond(&self, request: &Request<Incoming>, client: &Rc<Client>) -> Reply<'_> {
        let headers = request.headers();
        if !loopback::is_local(request, NAMES) || headers.contains_key(FORWARDED) {
            return Reply::Now(text(StatusCode::FORBIDDEN, "this server is for programs on this machine".into()));
        }
        if let Err(why) = self.guests.admit(client) {
            return Reply::Now(text(StatusCode::FORBIDDEN, format!("fedboot: {why}")));
        }
        if request.method() != Method::GET {
            return Reply::Now(text(StatusCode::METHOD_NOT_ALLOWED, "there is only GET".into()));
        }
        let path = request.uri().path();
        if path == "/" {
            return Reply::Now(text(StatusCode::OK, "computeMetadata/\n".into()));
        }
        if headers.get(FLAVOR).is_none_or(|flavor| flavor != "Google") {
            return Reply::Now(text(StatusCode::FORBIDDEN, "the header Metadata-Flavor: Google is missing".into()));
        }
        let path = if path.contains('%') { percent_decoded(path).into() } else { Cow::Borrowed(path) };
        let Some(path) = path.strip_prefix(ROOT) else {
            return Reply::Now(match path.trim_end_matches('/') {
                "/computeMetadata" => text(StatusCode::OK, "v1/\n".into()),
                _ => not_found(),
            });
        };
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        match names[..] {
            ["instance", "service-accounts", account, what @ ("token" | "identity")] => {
                self.token(account, what, &Query::of(request), client)
            }
            _ => self.look_up(&names, &Query::of(request)),
        }
    }
}

impl State {
    fn look_up(&self, names: &[&str], query: &Query) -> Reply<'_> {
        let mut value = &self.tree;
        for name in names {
            match value.get(*name) {
                Some(inner) => value = inner,
                None => return Reply::Now(not_found()),
            }
        }
        let recursive = query.is_true("recursive");
        let as_json = query.text("alt").map_or(recursive && value.is_object(), |alt| alt == "json");
        let answer = if as_json {
            let value = if recursive { in_camel_case(value) } else { listed(value) };
            loopback::answer(StatusCode::OK, JSON, value.to_string().into())
        } else {
            text(StatusCode::OK, plain(value, recursive, ""))
        };
        let answer = with_flavor(answer);
        if !query.is_true("wait_for_change") {
            return Reply::Now(answer);
        }
        let asked = query.text("timeout_sec").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        Reply::AtLeisure(Box::pin(async move {
            self.world.sleep(asked.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)).await;
            answer
        }))
    }

    fn token(&self, account: &str, what: &str, query: &Query, client: &Rc<Client>) -> Reply<'_> {
        if account != "default" && account != self.about.email {
            return Reply::Now(not_found());
        }
        let request = match (what, query.text("audience")) {
            ("token", _) => {
                let scopes = query.text("scopes").unwrap_or_default().split([',', ' ']).map(str::to_owned);
                let scopes = scopes_in_order(scopes);
                if scopes.is_empty() { self.usual.clone() } else { TokenRequest::AccessToken(scopes).into() }
            }
            (_, Some(audience)) => TokenRequest::IdToken(audience.into()).into(),
            (_, None) => {
                return Reply::Now(text(StatusCode::BAD_REQUEST, "non-empty audience parameter required".into()));
            }
        };
        if let Some(credentials) = self.source.ready(&request) {
            return Reply::Now(self.handed_out(&request, &credentials));
        }
        let client = client.clone();
        Reply::Later(Box::pin(async move {
            match self.source.token(&request, &client).await {
                Ok(credentials) => self.handed_out(&request, &credentials),
                Err(error) => refused(&error),
            }
        }))
    }

    fn handed_out(&self, request: &TokenRequest, credentials: &Credentials) -> Answer {
        let token = credentials.token().map(ExposeSecret::expose_secret).unwrap_or_default();
        let TokenRequest::AccessToken(_) = request else { return text(StatusCode::OK, token.to_owned()) };
        let left = credentials.expiration.duration_since(self.world.now()).unwrap_or_default();
        let answer = TokenAnswer { access_token: token, expires_in: left.as_secs(), token_type: "Bearer" };
        with_flavor(loopback::answer(StatusCode::OK, JSON, serde_json::to_vec(&answer).unwrap_or_default().into()))
    }
}

/// Clients try again after a 503 and show any other text to their users.
fn refused(error: &Error) -> Answer {
    let message = format!("fedboot: {error}");
    if error.kind != Kind::Transient {
        return text(StatusCode::FORBIDDEN, message);
    }
    let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, message);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// Short: a client of Node takes the body of this for a value.
fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "Not Found".into())
}

fn text(status: StatusCode, body: String) -> Answer {
    with_flavor(loopback::answer(status, TEXT, Bytes::from(body)))
}

fn with_flavor(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(FLAVOR, HeaderValue::from_static("Google"));
    answer.headers_mut().insert(SERVER, HeaderValue::from_static("fedboot"));
    answer
}

/// A value as text: a directory as the names in it, a list a line each.
fn plain(value: &Value, recursive: bool, prefix: &str) -> String {
    match value {
        Value::Object(object) if recursive => object
            .iter()
            .map(|(name, inner)| match inner {
                Value::Object(_) => plain(inner, true, &format!("{prefix}{name}/")),
                leaf => format!("{prefix}{name} {}\n", plain(leaf, false, "").trim_end().replace('\n', " ")),
            })
            .collect(),
        Value::Object(_) => plain(&listed(value), recursive, prefix),
        Value::Array(list) => list.iter().filter_map(Value::as_str).fold(String::new(), |all, line| all + line + "\n"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A directory's names; anything else as it is.
fn listed(value: &Value) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(name, inner)| Value::from(format!("{name}{}", if inner.is_object() { "/" } else { "" })))
            .collect(),
        leaf => leaf.clone(),
    }
}

/// The names as the server's JSON has them: `service-accounts` is `serviceAccounts`; addresses stay as they are.
fn in_camel_case(value: &Value) -> Value {
    let Value::Object(object) = value else { return value.clone() };
    let renamed = object.iter().filter(|(name, _)| *name != "universe_domain").map(|(name, inner)| {
        let mut words = name.split('-');
        let name = if name.contains(['@', '/']) {
            name.clone()
        } else {
            let first = words.next().unwrap_or_default().to_owned();
            words.fold(first, |all, word| {
                let mut letters = word.chars();
                let capital = letters.next().map(|letter| letter.to_ascii_uppercase());
                all + &capital.into_iter().chain(letters).collect::<String>()
            })
        };
        (name, in_camel_case(inner))
    });
    Value::Object(renamed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let about = About {
            email: "s-a@my-project.iam.gserviceaccount.com".into(),
            scopes: vec!["a".into(), "b".into()],
            project_id: Some("my-project".into()),
            project_number: Some(7),
            universe: "googleapis.com".into(),
            hostname: "h".into(),
        };
        let tree = tree(&about);
        let account = &tree["instance"]["service-accounts"]["default"];
        assert_eq!(
            in_camel_case(account).to_string(),
            format!(r#"{{"aliases":["default"],"email":"{}","scopes":["a","b"]}}"#, about.email)
        );
        assert_eq!(plain(&account["scopes"], false, ""), "a\nb\n");
        assert_eq!(plain(&tree, false, ""), "instance/\nproject/\nuniverse/\n");
        assert_eq!(plain(&tree["project"]["numeric-project-id"], false, ""), "7");
        let all = in_camel_case(&tree);
        assert_eq!(all["project"]["numericProjectId"], 7);
        assert!(all["instance"]["serviceAccounts"].get(&about.email).is_some());
        assert_eq!(listed(&tree["universe"])[0], "universe-domain");
        assert_eq!(
            plain(&tree["universe"], true, ""),
            "universe-domain googleapis.com\nuniverse_domain googleapis.com\n"
        );
    }

    /// Whatever a pool or an account is called.
    #[test]
    fn names_of_any_kind() {
        for name in ["my--pool", "-", "--", "", "a-", "-a", "a-\u{e4}b", "\u{df}-\u{fb01}", "a-\u{1f600}", "a/b", "@"] {
            let tree = json!({name: {name: name}});
            assert!(in_camel_case(&tree).is_object(), "{name}");
            assert!(plain(&tree, true, "").ends_with('\n') || name.is_empty(), "{name}");
        }
    }
}
