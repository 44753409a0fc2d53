//! Google's metadata server: [its paths](https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys),
//! [queries](https://cloud.google.com/compute/docs/metadata/querying-metadata) and
//! [identity tokens](https://cloud.google.com/compute/docs/instances/verifying-instance-identity).
//!
//! Plain HTTP. Every request but `GET /` bears `Metadata-Flavor: Google`, every reply too; a request with
//! `X-Forwarded-For` is refused.

use std::time::{Duration, SystemTime};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::clock::{shifted, unix};
use crate::google::tokens::{self, CLOUD_PLATFORM};
use crate::jwt::key::PUBLISHED;
use crate::reply::Reply;
use crate::settings::Settings;
use crate::settings::account::ServiceAccount;
use crate::state::State;
use crate::state::access_token::Holder;
use crate::state::log::Request;

const ISSUER: &str = "https://accounts.google.com";

pub(crate) fn answer(state: &State, request: &Request, skew: i64) -> Reply {
    respond(state, request, skew)
        .header("metadata-flavor", "Google")
        .header("server", "Metadata Server for VM")
        .header("x-xss-protection", "0")
        .header("x-frame-options", "SAMEORIGIN")
}

fn respond(state: &State, request: &Request, skew: i64) -> Reply {
    if request.header("x-forwarded-for").is_some() {
        return refused(403, "X-Forwarded-For is not accepted");
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return refused(405, "only GET is answered here");
    }
    if request.path == "/" {
        return text("computeMetadata/\n", "the root");
    }
    let flavored = request.header("metadata-flavor") == Some("Google")
        || request.header("x-google-metadata-request") == Some("True");
    if !flavored {
        return refused(403, "Missing Metadata-Flavor:Google header.");
    }
    let Some(path) = request.path.strip_prefix("/computeMetadata/v1") else {
        return refused(404, "no such path");
    };
    let parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let settings = state.settings();
    if let ["instance", "service-accounts", name, what @ ("identity" | "token")] = parts[..] {
        let account = settings.service_account.as_ref();
        let Some(account) = account.filter(|a| name == "default" || name == a.email) else {
            return refused(404, "no such service account");
        };
        return match what {
            "identity" => identity(&settings, account, request, skew),
            _ => token(state, &settings, account, request),
        };
    }
    lookup(&settings, &parts, request)
}

fn identity(settings: &Settings, account: &ServiceAccount, request: &Request, skew: i64) -> Reply {
    let Some(audience) = request.param("audience").filter(|a| !a.is_empty()) else {
        return refused(400, "non-empty audience parameter required");
    };
    let full = match request.param("format") {
        None | Some("standard" | "") => false,
        Some("full") => true,
        Some(_) => return refused(400, "format is standard or full"),
    };
    // The instance's details and the address are only in the full format.
    let mut claims = claims(settings, account, audience, full, skew);
    if full {
        let mut engine = json!({
            "instance_creation_timestamp": 1_792_000_000,
            "instance_id": settings.instance_id.to_string(),
            "instance_name": settings.instance_name,
            "project_id": settings.project_id,
            "project_number": settings.project_number,
            "zone": settings.zone,
        });
        if request.param("licenses").is_some_and(|l| l.eq_ignore_ascii_case("true")) {
            engine["license_id"] = json!(["5926592092274602096"]);
        }
        claims["google"] = json!({"compute_engine": engine});
    }
    let token = PUBLISHED.sign(&claims);
    Reply::new(200, "text/html", token, format!("identity for {audience}, {claims}"))
}

/// The claims Google puts into an account's ID token.
pub(crate) fn claims(
    settings: &Settings,
    account: &ServiceAccount,
    audience: &str,
    with_email: bool,
    skew: i64,
) -> Value {
    let now = unix(shifted(SystemTime::now(), skew));
    let mut claims = json!({
        "iss": ISSUER,
        "aud": audience,
        "azp": account.unique_id,
        "sub": account.unique_id,
        "iat": now,
        "exp": now + settings.id_token_lifetime.as_secs() as i64,
    });
    if with_email {
        claims["email"] = json!(account.email);
        claims["email_verified"] = json!(true);
    }
    claims
}

fn token(state: &State, settings: &Settings, account: &ServiceAccount, request: &Request) -> Reply {
    let scopes: Vec<String> = match request.param("scopes").filter(|s| !s.is_empty()) {
        Some(scopes) => scopes.split(',').map(str::to_string).collect(),
        None => vec![CLOUD_PLATFORM.into()],
    };
    let lifetime = settings.access_token_lifetime;
    let verdict = format!("access token for {}", scopes.join(" "));
    let value = tokens::mint(state, "ya29.c.", Holder::Account(account.clone()), scopes, lifetime);
    let seconds = lifetime.saturating_sub(Duration::from_secs(1)).as_secs();
    let body = json!({"access_token": value, "expires_in": seconds, "token_type": "Bearer"});
    Reply::new(200, "application/json", body.to_string(), verdict)
}

/// Everything that is stored rather than minted.
fn tree(settings: &Settings) -> Value {
    let number = settings.project_number;
    let account = settings.service_account.as_ref();
    let mut accounts = Map::new();
    if let Some(account) = account {
        let entry = json!({"aliases": ["default"], "email": account.email, "scopes": [CLOUD_PLATFORM]});
        accounts.insert("default".into(), entry.clone());
        accounts.insert(account.email.clone(), entry);
    }
    let hostname = format!("{}.{}.c.{}.internal", settings.instance_name, settings.zone, settings.project_id);
    json!({
        "instance": {
            "attributes": settings.attributes,
            "hostname": hostname,
            "id": settings.instance_id,
            "machine-type": format!("projects/{number}/machineTypes/n1-standard-1"),
            "name": settings.instance_name,
            "service-accounts": accounts,
            "zone": format!("projects/{number}/zones/{}", settings.zone),
        },
        "project": {
            "attributes": settings.project_attributes,
            "numeric-project-id": number,
            "project-id": settings.project_id,
        },
        "universe": {"universe-domain": "googleapis.com"},
    })
}

fn lookup(settings: &Settings, parts: &[&str], request: &Request) -> Reply {
    let tree = tree(settings);
    let mut node = &tree;
    for part in parts {
        match node.get(part) {
            Some(child) => node = child,
            None => return refused(404, "no such key"),
        }
    }
    let recursive = request.param("recursive").is_some_and(|r| r.eq_ignore_ascii_case("true"));
    let as_json = |value: &Value| Reply::new(200, "application/json", value.to_string(), "found");
    match node {
        Value::Object(_) if recursive => as_json(&camel_case(node, parts.last() == Some(&"attributes"))),
        Value::Object(_) if !request.path.ends_with('/') => {
            let host = request.header("host").unwrap_or("metadata.google.internal");
            Reply::new(301, "text/html", "<H1>301 Moved</H1>\n", "moved to the directory")
                .header("location", format!("http://{host}{}/", request.path))
        }
        Value::Object(children) => {
            // These two are minted, so the tree does not hold them.
            let minted: &[&str] = match parts {
                ["instance", "service-accounts", _] => &["identity", "token"],
                _ => &[],
            };
            let mut lines: Vec<String> = children
                .iter()
                .map(|(name, value)| format!("{name}{}", if value.is_object() { "/" } else { "" }))
                .chain(minted.iter().map(|name| name.to_string()))
                .collect();
            lines.sort();
            text(lines.iter().map(|line| format!("{line}\n")).collect::<String>(), "a directory")
        }
        leaf if request.param("alt") == Some("json") => as_json(leaf),
        Value::String(value) => text(value.as_str(), "found"),
        Value::Array(values) => {
            let lines = values.iter().filter_map(Value::as_str);
            text(lines.map(|line| format!("{line}\n")).collect::<String>(), "found")
        }
        other => text(other.to_string(), "found"),
    }
}

/// Directories are written in JSON with camelCase names, all but what the user named.
fn camel_case(node: &Value, named_by_user: bool) -> Value {
    let Value::Object(children) = node else {
        return node.clone();
    };
    let children = children.iter().map(|(name, value)| {
        let mut words = name.split('-');
        let camel = words.next().unwrap_or("").to_string()
            + &words.map(|w| w[..1].to_uppercase() + &w[1..]).collect::<String>();
        let keep = named_by_user || name.contains('@');
        let name_out = if keep { name.clone() } else { camel };
        (name_out, camel_case(value, name == "attributes"))
    });
    Value::Object(children.collect())
}

fn text(body: impl Into<Vec<u8>>, verdict: &str) -> Reply {
    Reply::new(200, "application/text", body, verdict)
}

fn refused(status: u16, why: &str) -> Reply {
    let page = format!(
        "<!DOCTYPE html>\n<html lang=en>\n<title>Error {status}</title>\n<p><b>{status}.</b> <ins>That's an \
         error.</ins>\n<p>{why} <ins>That's all we know.</ins>\n"
    );
    Reply::new(status, "text/html; charset=UTF-8", page, format!("refused: {why}"))
}
