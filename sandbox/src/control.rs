//! The control API: what the library can do, for tests in other languages. JSON over HTTP on loopback.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /` | where everything is: `urls`, `ca_file`, `env`, `env_remove`, `external_account`, `external_account_of_pod` |
//! | `GET /requests[?service=S][&action=A]` | the request log, oldest first |
//! | `DELETE /requests` | empties it |
//! | `GET /wait?action=A[&count=N][&timeout_ms=T]` | waits for N answered requests, then lists them; 408 if they do not come |
//! | `GET /connections` | accepted connections, failed handshakes among them |
//! | `POST /faults` | adds a fault, or a list: `{"service", "effect", …, "times", "always", "every", "on", "delay_ms"}` |
//! | `GET /faults`, `DELETE /faults[?service=S]` | what is still to come; forgets it |
//! | `POST /refuse` | `{"service", "seconds"}`: connections are refused for that long |
//! | `GET /settings`, `POST /settings` | all settings; replaces the fields that are given |
//! | `GET /issued` | AWS credentials given out, with `live` |
//! | `POST /valid` | `{"access_key_id", "secret_access_key", "session_token"}` → `{"valid"}` |
//! | `POST /tokens` | `{"audience", "claims", "forged", "pod"}` → `{"token"}`: an ID token, or a pod's token, with claims of one's own |
//! | `POST /pod-tokens` | replaces the pod's tokens in their files, which it names; Pod Identity refuses the old one |
//! | `POST /proxies` | `{"kind": "delay", "target", "round_trip_ms"}` or `{"kind": "connect", "user", "password", "resolve"}` → `{"url", "address"}` |
//! | `GET /proxies` | the CONNECT proxies with their requests |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hyper::Uri;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::clouds::Clouds;
use crate::environment;
use crate::google::keys::JWKS_PATH;
use crate::jwt::issuers::STS_AUDIENCE;
use crate::proxy::connect::ConnectProxy;
use crate::proxy::delay::DelayProxy;
use crate::reply::Reply;
use crate::server::sending::{Manner, received, sent, speak};
use crate::settings::names::{Port, Service};
use crate::state::faults::Pending;
use crate::state::issued::Issued;

#[derive(Deserialize)]
#[serde(untagged)]
enum Entries {
    Many(Vec<Pending>),
    One(Pending),
}

#[derive(Deserialize)]
struct RefuseForm {
    service: Service,
    seconds: f64,
}

#[derive(Deserialize)]
struct ValidForm {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
}

#[derive(Deserialize)]
struct TokenForm {
    audience: Option<String>,
    #[serde(default)]
    claims: Value,
    #[serde(default)]
    forged: bool,
    #[serde(default)]
    pod: bool,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum ProxyForm {
    Delay {
        target: String,
        round_trip_ms: f64,
    },
    Connect {
        user: Option<String>,
        password: Option<String>,
        #[serde(default)]
        resolve: bool,
    },
}

/// Serves one connection.
pub(crate) async fn serve(clouds: Arc<Clouds>, stream: TcpStream) {
    let answer = async |request: hyper::Request<Incoming>| {
        let (parts, body) = request.into_parts();
        let body = received(body).await?;
        let reply = match act(&clouds, parts.method.as_str(), &parts.uri, &body).await {
            Ok(value) => Reply::json(200, &value, ""),
            Err(Wrong(status, why)) => Reply::json(status, &json!({"error": why}), ""),
        };
        Ok(sent(reply, Manner::Whole))
    };
    speak(stream, answer).await;
}

/// A status, and why.
struct Wrong(u16, String);

impl<E: Into<anyhow::Error>> From<E> for Wrong {
    fn from(why: E) -> Self {
        Self(400, format!("{:#}", why.into()))
    }
}

type Outcome = Result<Value, Wrong>;

async fn act(clouds: &Clouds, method: &str, uri: &Uri, body: &[u8]) -> Outcome {
    let query = form_urlencoded::parse(uri.query().unwrap_or("").as_bytes());
    let query: BTreeMap<String, String> = query.into_owned().collect();
    let state = &clouds.state;
    let service: Option<Service> = query.get("service").map(|name| name.parse()).transpose()?;
    let action = query.get("action");
    match (method, uri.path()) {
        ("GET", "/") => Ok(overview(clouds)),
        ("GET", "/requests") => {
            let mut requests = state.log.requests();
            requests.retain(|r| service.is_none_or(|s| s == r.service) && action.is_none_or(|a| *a == r.action));
            Ok(json!(requests))
        }
        ("DELETE", "/requests") => {
            state.log.forget();
            Ok(json!({}))
        }
        ("GET", "/wait") => {
            let action = action.context("action is wanted")?;
            let number = |name: &str, default: u64| {
                query.get(name).map_or(Ok(default), |text| text.parse()).with_context(|| format!("{name} is a number"))
            };
            let count = number("count", 1)? as usize;
            let timeout = Duration::from_millis(number("timeout_ms", 10_000)?);
            let found = tokio::task::block_in_place(|| state.log.wait_for(count, action, timeout));
            let seen = found.len();
            if seen < count {
                return Err(Wrong(408, format!("{seen} of {count} {action} requests came in time")));
            }
            Ok(json!(found))
        }
        ("GET", "/connections") => Ok(json!(state.log.connections())),
        ("POST", "/faults") => {
            let entries = match form(body)? {
                Entries::Many(many) => many,
                Entries::One(one) => vec![one],
            };
            for entry in entries {
                state.faults.add(entry.service, entry.fault);
            }
            Ok(json!(state.faults.list()))
        }
        ("GET", "/faults") => Ok(json!(state.faults.list())),
        ("DELETE", "/faults") => {
            state.faults.clear(service);
            Ok(json!(state.faults.list()))
        }
        ("POST", "/refuse") => {
            let form: RefuseForm = form(body)?;
            let duration = Duration::try_from_secs_f64(form.seconds)?;
            tokio::task::block_in_place(|| clouds.refuse(form.service, duration));
            Ok(json!({}))
        }
        ("GET", "/settings") => Ok(json!(state.settings())),
        ("POST", "/settings") => {
            let changes: Value = form(body)?;
            state.change(|now| now.merged(&changes))?;
            Ok(json!(state.settings()))
        }
        ("GET", "/issued") => {
            let with_live = |issued: &Issued| {
                let mut value = json!(issued);
                value["live"] = json!(issued.is_live());
                value
            };
            Ok(state.issued.lock().iter().map(with_live).collect())
        }
        ("POST", "/valid") => {
            let form: ValidForm = form(body)?;
            let valid = state.is_valid(&form.access_key_id, &form.secret_access_key, &form.session_token);
            Ok(json!({"valid": valid}))
        }
        ("POST", "/tokens") => {
            let form: TokenForm = form(body)?;
            let audience = form.audience.as_deref().unwrap_or(STS_AUDIENCE);
            Ok(json!({"token": clouds.mint(form.pod, audience, &form.claims, form.forged)}))
        }
        ("POST", "/pod-tokens") => {
            state.pod.rotate(&state.settings())?;
            Ok(json!({
                "sts": state.pod.sts_token_file(),
                "pod_identity": state.pod.identity_token_file(),
                "google": state.pod.google_token_file(),
            }))
        }
        ("POST", "/proxies") => proxy(clouds, form(body)?),
        ("GET", "/proxies") => {
            let one = |proxy: &ConnectProxy| json!({"url": proxy.url(), "requests": proxy.requests()});
            Ok(clouds.connect_proxies.lock().iter().map(one).collect())
        }
        (_, path) => Err(Wrong(404, format!("{method} {path} is not in the control API"))),
    }
}

fn proxy(clouds: &Clouds, form: ProxyForm) -> Outcome {
    match form {
        ProxyForm::Delay { target, round_trip_ms } => {
            let round_trip = Duration::try_from_secs_f64(round_trip_ms / 1e3)?;
            let proxy = DelayProxy::start(&clouds.runtime, &target, round_trip)?;
            let reply = json!({"url": proxy.url(), "address": proxy.address()});
            clouds.delay_proxies.lock().push(proxy);
            Ok(reply)
        }
        ProxyForm::Connect { user, password, resolve } => {
            let password = password.unwrap_or_default();
            let credentials = user.as_deref().map(|user| (user, password.as_str()));
            let proxy = clouds.connect_proxy(credentials, resolve)?;
            let reply = json!({"url": proxy.url(), "address": proxy.address()});
            clouds.connect_proxies.lock().push(proxy);
            Ok(reply)
        }
    }
}

fn overview(clouds: &Clouds) -> Value {
    let state = &clouds.state;
    let url = |port| state.addresses.url(port);
    json!({
        "urls": {
            "metadata": url(Port::Metadata),
            "sts": url(Port::StsTls),
            "sts_http": url(Port::Sts),
            "iam_credentials": url(Port::GoogleTls),
            "iam_credentials_http": url(Port::Google),
            "jwks": format!("{}{}", url(Port::Google), JWKS_PATH),
            "google_sts": url(Port::GoogleStsTls),
            "google_sts_http": url(Port::GoogleSts),
            "imds": url(Port::Imds),
            "container": url(Port::Container),
            "control": url(Port::Control),
        },
        "ca_file": environment::ca_file(state),
        "env": environment::env(state, state.place).into_iter().collect::<BTreeMap<_, _>>(),
        "env_remove": environment::env_remove(state, state.place),
        "external_account": environment::external_account(state),
        "external_account_of_pod": environment::external_account_of_pod(state),
    })
}

fn form<T: for<'de> Deserialize<'de>>(body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body).context("body")
}
