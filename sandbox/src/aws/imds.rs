//! The [metadata service of an EC2 instance](https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html):
//! its region, and the keys of the role that is attached to it.
//!
//! Version 2 wants a token, which a PUT gives: it must name its lifetime and must not come through a proxy. The
//! answer to the PUT lives for as many hops as the instance allows; a container is one hop further away, so with a
//! limit of 1 that answer never arrives there, while all others do.

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::aws::session;
use crate::clock::{random_text, rfc3339, shifted};
use crate::reply::Reply;
use crate::settings::Settings;
use crate::state::State;
use crate::state::log::Request;

const TOKEN: &str = "/latest/api/token";
const ROLES: &str = "/latest/meta-data/iam/security-credentials";
const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const LONGEST_TTL: u64 = 21_600;
pub(crate) const INSTANCE: &str = "i-0f1e2d3c4b5a69788";

/// What a request is called in the log.
pub(crate) fn action(path: &str) -> String {
    let path = path.trim_end_matches('/');
    match path.strip_prefix(ROLES) {
        Some("") => "imds-role".into(),
        Some(_) => "imds-credentials".into(),
        None if path == TOKEN => "imds-token".into(),
        None => path.rsplit('/').next().unwrap_or_default().into(),
    }
}

/// Whether the answer ends on its way.
pub(crate) fn is_out_of_reach(settings: &Settings, request: &Request) -> bool {
    request.method == "PUT" && request.path == TOKEN && settings.imds_hop_limit <= 1
}

pub(crate) fn answer(state: &State, request: &Request, skew: i64) -> Reply {
    let settings = state.settings();
    match (request.method.as_str(), request.path.as_str()) {
        ("PUT", TOKEN) => token(state, request),
        (_, TOKEN) => refused(405, "Method Not Allowed", "the token is asked for with PUT"),
        ("GET" | "HEAD", _) => match admitted(state, &settings, request) {
            Ok(()) => data(state, &settings, request, skew),
            Err(why) => refused(401, "Unauthorized", why),
        },
        _ => refused(405, "Method Not Allowed", "only GET is answered here"),
    }
}

fn token(state: &State, request: &Request) -> Reply {
    if request.header("x-forwarded-for").is_some() {
        return refused(403, "Forbidden", "X-Forwarded-For is not accepted");
    }
    let ttl = request.header(TTL).and_then(|ttl| ttl.parse().ok()).filter(|ttl| (1..=LONGEST_TTL).contains(ttl));
    let Some(ttl) = ttl else {
        return refused(400, "Bad Request", &format!("{TTL} from 1 to {LONGEST_TTL} is wanted"));
    };
    let token = random_text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 54) + "==";
    state.imds_tokens.lock().insert(token.clone(), SystemTime::now() + Duration::from_secs(ttl));
    Reply::new(200, "text/plain", token, format!("a token for {ttl} s")).header(TTL, ttl.to_string())
}

fn admitted(state: &State, settings: &Settings, request: &Request) -> Result<(), &'static str> {
    match request.header("x-aws-ec2-metadata-token") {
        Some(token) if state.is_imds_token(token) => Ok(()),
        Some(_) => Err("the token is unknown or has ended"),
        None if settings.imdsv1 => Ok(()),
        None => Err("a token is wanted: version 1 is off"),
    }
}

fn data(state: &State, settings: &Settings, request: &Request, skew: i64) -> Reply {
    let zone = format!("{}a", settings.region);
    let text = |text: &str| Reply::new(200, "text/plain", text, "found");
    let role = settings.instance_role.as_deref();
    let name = role.and_then(|arn| arn.rsplit('/').next());
    match request.path.trim_end_matches('/') {
        "/latest/meta-data" => text("ami-id\niam/\ninstance-id\nplacement/"),
        "/latest/meta-data/instance-id" => text(INSTANCE),
        "/latest/meta-data/placement" => text("availability-zone\nregion"),
        "/latest/meta-data/placement/availability-zone" => text(&zone),
        "/latest/meta-data/placement/region" => text(&settings.region),
        "/latest/dynamic/instance-identity/document" => {
            let account = role.and_then(|arn| arn.split(':').nth(4)).unwrap_or("123456789012");
            Reply::json(
                200,
                &json!({
                    "accountId": account,
                    "architecture": "x86_64",
                    "availabilityZone": zone,
                    "imageId": "ami-0a1b2c3d4e5f60718",
                    "instanceId": INSTANCE,
                    "instanceType": "t3.micro",
                    "pendingTime": "2026-11-01T07:00:00Z",
                    "privateIp": "10.0.1.25",
                    "region": settings.region,
                    "version": "2017-09-30",
                }),
                "found",
            )
        }
        // Without a role the directory is not there at all.
        ROLES if let Some(name) = name => text(name),
        path => match path.strip_prefix(ROLES).and_then(|rest| rest.strip_prefix('/')).zip(role) {
            Some((asked, role)) if Some(asked) == name => keys(state, settings, role, skew),
            _ => refused(404, "Not Found", "no such path, or no such role is attached"),
        },
    }
}

fn keys(state: &State, settings: &Settings, role: &str, skew: i64) -> Reply {
    let issued = session::at_place(state, settings, role, INSTANCE);
    let written = |at| rfc3339(shifted(at, skew), settings.dialect.nanoseconds);
    Reply::json(
        200,
        &json!({
            "Code": "Success",
            "LastUpdated": written(issued.issued_at),
            "Type": "AWS-HMAC",
            "AccessKeyId": issued.access_key_id,
            "SecretAccessKey": issued.secret_access_key,
            "Token": issued.session_token,
            "Expiration": written(issued.expires_at),
        }),
        format!("{} of {}", issued.access_key_id, issued.assumed_role_arn),
    )
}

/// An error as the service writes it. The reason is for the log alone.
fn refused(status: u16, title: &str, why: &str) -> Reply {
    Reply::new(status, "text/html", page(status, title), format!("refused: {why}"))
}

/// For a fault: the status is the code.
pub(crate) fn error(code: &str, status: Option<u16>) -> Reply {
    let status = status.or_else(|| code.parse().ok()).unwrap_or(500);
    Reply::new(status, "text/html", page(status, code), format!("refused: {code}"))
}

fn page(status: u16, title: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<html xmlns=\"http://www.w3.org/1999/xhtml\">\n <head>\n  \
         <title>{status} - {title}</title>\n </head>\n <body>\n  <h1>{status} - {title}</h1>\n </body>\n</html>\n"
    )
}
