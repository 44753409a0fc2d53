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
use std::time::Duration;

use hyper::{Method, Uri};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::aws::place;
use crate::clouds::Clouds;
use crate::fault::{Fault, Service};
use crate::reply::Reply;
use crate::server::Port;

/// A fault with its service, as JSON has it.
#[derive(Serialize, Deserialize)]
struct Entry {
    service: Service,
    #[serde(flatten)]
    fault: Fault,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entries {
    Many(Vec<Entry>),
    One(Entry),
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
    #[serde(default = "usual_audience")]
    audience: String,
    #[serde(default)]
    claims: Value,
    #[serde(default)]
    forged: bool,
    #[serde(default)]
    pod: bool,
}

fn usual_audience() -> String {
    "sts.amazonaws.com".into()
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

pub(crate) async fn answer(clouds: &Clouds, method: &Method, uri: &Uri, body: &[u8]) -> Reply {
    let query: BTreeMap<String, String> =
        form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).into_owned().collect();
    match act(clouds, method.as_str(), uri.path(), &query, body).await {
        Ok(value) => Reply::json(200, &value, ""),
        Err((status, why)) => Reply::json(status, &json!({"error": why}), ""),
    }
}

type Outcome = Result<Value, (u16, String)>;

async fn act(clouds: &Clouds, method: &str, path: &str, query: &BTreeMap<String, String>, body: &[u8]) -> Outcome {
    let state = &clouds.state;
    let service = match query.get("service") {
        Some(name) => Some(name.parse::<Service>().map_err(bad)?),
        None => None,
    };
    let action = query.get("action");
    match (method, path) {
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
            let action = action.ok_or_else(|| bad("action is wanted"))?;
            let number = |name: &str, default: u64| match query.get(name) {
                None => Ok(default),
                Some(text) => text.parse().map_err(|_| bad(format!("{name} is a number"))),
            };
            let count = number("count", 1)? as usize;
            let deadline = tokio::time::Instant::now() + Duration::from_millis(number("timeout_ms", 10_000)?);
            loop {
                let found = state.log.of(action);
                if found.len() >= count {
                    return Ok(json!(found));
                }
                if tokio::time::Instant::now() >= deadline {
                    let seen = found.len();
                    return Err((408, format!("{seen} of {count} {action} requests came in time")));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
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
            Ok(faults(clouds))
        }
        ("GET", "/faults") => Ok(faults(clouds)),
        ("DELETE", "/faults") => {
            state.faults.clear(service);
            Ok(faults(clouds))
        }
        ("POST", "/refuse") => {
            let form: RefuseForm = form(body)?;
            let duration = seconds(form.seconds)?;
            tokio::task::block_in_place(|| clouds.refuse(form.service, duration));
            Ok(json!({}))
        }
        ("GET", "/settings") => Ok(json!(state.settings())),
        ("POST", "/settings") => {
            let changes: Value = form(body)?;
            state.change(|now| now.merged(&changes)).map_err(bad)?;
            Ok(json!(state.settings()))
        }
        ("GET", "/issued") => {
            let with_live = |issued: crate::state::Issued| {
                let mut value = json!(issued);
                value["live"] = json!(issued.is_live());
                value
            };
            Ok(state.issued().into_iter().map(with_live).collect())
        }
        ("POST", "/valid") => {
            let form: ValidForm = form(body)?;
            let found = state.find_issued(&form.access_key_id).is_some_and(|known| {
                known.is_live()
                    && known.secret_access_key == form.secret_access_key
                    && known.session_token == form.session_token
            });
            Ok(json!({"valid": found}))
        }
        ("POST", "/tokens") => {
            let form: TokenForm = form(body)?;
            let mint = if form.pod { Clouds::mint_for_pod } else { Clouds::mint };
            Ok(json!({"token": mint(clouds, &form.audience, &form.claims, form.forged)}))
        }
        ("POST", "/pod-tokens") => {
            state.pod.rotate(&state.settings()).map_err(bad)?;
            Ok(json!({
                "sts": state.pod.sts_token_file(),
                "pod_identity": state.pod.identity_token_file(),
                "google": state.pod.google_token_file(),
            }))
        }
        ("POST", "/proxies") => proxy(clouds, form(body)?),
        ("GET", "/proxies") => {
            let proxies = clouds.connect_proxies.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let one = |p: &crate::ConnectProxy| json!({"url": p.url(), "requests": p.requests()});
            Ok(proxies.iter().map(one).collect())
        }
        _ => Err((404, format!("{method} {path} is not in the control API"))),
    }
}

fn proxy(clouds: &Clouds, form: ProxyForm) -> Outcome {
    match form {
        ProxyForm::Delay { target, round_trip_ms } => {
            let round_trip = seconds(round_trip_ms / 1e3)?;
            let proxy = clouds.delay_proxy(&target, round_trip).map_err(bad)?;
            let reply = json!({"url": proxy.url(), "address": proxy.address()});
            clouds.keep(proxy);
            Ok(reply)
        }
        ProxyForm::Connect { user, password, resolve } => {
            let password = password.unwrap_or_default();
            let credentials = user.as_deref().map(|user| (user, password.as_str()));
            let proxy = clouds.connect_proxy(credentials, resolve).map_err(bad)?;
            let reply = json!({"url": proxy.url(), "address": proxy.address()});
            clouds.keep_connect(proxy);
            Ok(reply)
        }
    }
}

fn overview(clouds: &Clouds) -> Value {
    json!({
        "urls": {
            "metadata": clouds.url(Port::Metadata),
            "sts": clouds.url(Port::StsTls),
            "sts_http": clouds.url(Port::Sts),
            "iam_credentials": clouds.url(Port::GoogleTls),
            "iam_credentials_http": clouds.url(Port::Google),
            "jwks": format!("{}{}", clouds.url(Port::Google), crate::google::keys::JWKS_PATH),
            "google_sts": clouds.url(Port::GoogleStsTls),
            "google_sts_http": clouds.url(Port::GoogleSts),
            "imds": clouds.url(Port::Imds),
            "container": clouds.url(Port::Container),
            "control": clouds.url(Port::Control),
        },
        "ca_file": clouds.ca_file(),
        "env": clouds.env().into_iter().collect::<BTreeMap<_, _>>(),
        "env_remove": clouds.env_remove(),
        "external_account": place::external_account(clouds),
        "external_account_of_pod": place::external_account_of_pod(clouds),
    })
}

fn faults(clouds: &Clouds) -> Value {
    let entry = |(service, fault)| json!(Entry { service, fault });
    clouds.state.faults.list().into_iter().map(entry).collect()
}

fn form<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(|e| bad(format!("body: {e}")))
}

fn seconds(seconds: f64) -> Result<Duration, (u16, String)> {
    Duration::try_from_secs_f64(seconds).map_err(bad)
}

fn bad(why: impl std::fmt::Display) -> (u16, String) {
    (400, why.to_string())
}
