//! AWS's Security Token Service:
//! [AssumeRoleWithWebIdentity](https://docs.aws.amazonaws.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html),
//! [GetCallerIdentity](https://docs.aws.amazonaws.com/STS/latest/APIReference/API_GetCallerIdentity.html),
//! [common errors](https://docs.aws.amazonaws.com/STS/latest/APIReference/CommonErrors.html).
//!
//! A form POST in, XML out. A web identity token in a URL is refused: URLs end up in logs.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::clock::{random_bytes, random_text, rfc3339, shifted, unix, uuid, whole_second};
use crate::jwt::{self, Disbelief};
use crate::log::Request;
use crate::reply::Reply;
use crate::settings::{Role, Settings};
use crate::sigv4::{self, Refusal};
use crate::state::{Issued, State};
use crate::trust;
use crate::xml::{self, Dialect, Element, Text};

const VERSION: &str = "2011-06-15";
const LONGEST: u64 = 43_200;

pub(crate) fn answer(state: &State, request: &Request, skew: i64) -> Reply {
    let settings = state.settings();
    let result = match request.action.as_str() {
        _ if in_query(request) => {
            Err(("ValidationError", "A web identity token belongs in the body, not in the URL".into()))
        }
        _ if request.path != "/" => Err(("UnknownOperationException", String::new())),
        "" => Err(("MissingAction", "The request must contain the parameter Action".into())),
        action if request.param("Version") != Some(VERSION) => Err((
            "InvalidAction",
            format!(
                "Could not find operation {action} for version {}",
                request.param("Version").unwrap_or("NO_VERSION_SPECIFIED")
            ),
        )),
        "AssumeRoleWithWebIdentity" => with_web_identity(state, &settings, request, skew),
        "GetCallerIdentity" => caller_identity(state, request),
        action => Err(("InvalidAction", format!("Could not find operation {action} for version {VERSION}"))),
    };
    match result {
        Ok((name, result, verdict)) => success(&settings.dialect, name, result, verdict),
        Err((code, message)) => error(&settings.dialect, code, Some(message), None),
    }
}

type Answer = Result<(&'static str, Vec<Element>, String), Refusal>;

fn in_query(request: &Request) -> bool {
    form_urlencoded::parse(request.query.as_bytes()).any(|(name, _)| name == "WebIdentityToken")
}

fn with_web_identity(state: &State, settings: &Settings, request: &Request, skew: i64) -> Answer {
    let asked = Asked::read(settings, request)?;
    let claims = believed(asked.token)?;

    let context = trust::context(&claims, asked.session_name);
    let denied = |why: String| {
        let message = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
        // The reason is for the log alone: AWS keeps it to itself.
        ("AccessDenied", format!("{message}\u{0}{why}"))
    };
    let role = settings.roles.iter().find(|role| role.arn == asked.role_arn);
    let role = role.ok_or_else(|| denied("there is no such role".into()))?;
    trust::admits(&role.trust_policy, &context).map_err(denied)?;
    let duration = asked.duration.unwrap_or(3600);
    if duration > role.max_duration.as_secs() {
        return Err((
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.".into(),
        ));
    }

    let issued = issue(settings, role, &asked, &claims, duration);
    let dialect = &settings.dialect;
    let printed = rfc3339(shifted(issued.expires_at, skew), dialect.nanoseconds);
    let mut result = vec![
        Element::text("Audience", context["accounts.google.com:aud"].as_str()),
        Element::new(
            "AssumedRoleUser",
            vec![
                Element::text("AssumedRoleId", issued.assumed_role_id.as_str()),
                Element::text("Arn", issued.assumed_role_arn.as_str()),
            ],
        ),
        Element::text("Provider", trust::PROVIDER),
        Element::new(
            "Credentials",
            vec![
                Element::text("AccessKeyId", issued.access_key_id.as_str()),
                Element::text("SecretAccessKey", issued.secret_access_key.as_str()),
                Element::text("SessionToken", issued.session_token.as_str()),
                Element::text("Expiration", printed),
            ],
        ),
        Element::text("SubjectFromWebIdentityToken", issued.subject.as_str()),
    ];
    if let Some(percent) = asked.packed_policy_size {
        result.insert(2, Element::text("PackedPolicySize", percent.to_string()));
    }
    let verdict = format!("issued {} to {}", issued.access_key_id, issued.assumed_role_arn);
    state.issue(issued);
    Ok(("AssumeRoleWithWebIdentity", result, verdict))
}

fn caller_identity(state: &State, request: &Request) -> Answer {
    let caller = sigv4::signer(state, request)?;
    let verdict = format!("it is {}", caller.assumed_role_arn);
    let result = vec![
        Element::text("Arn", caller.assumed_role_arn),
        Element::text("UserId", caller.assumed_role_id),
        Element::text("Account", caller.account),
    ];
    Ok(("GetCallerIdentity", result, verdict))
}

/// The parameters of `AssumeRoleWithWebIdentity`, each within its bounds.
struct Asked<'a> {
    role_arn: &'a str,
    session_name: &'a str,
    token: &'a str,
    duration: Option<u64>,
    policy: Option<&'a str>,
    policy_arns: Vec<String>,
    packed_policy_size: Option<usize>,
}

impl<'a> Asked<'a> {
    fn read(settings: &Settings, request: &'a Request) -> Result<Self, Refusal> {
        let mut wrong = Vec::new();
        let mut required = |name: &str, field: &str, least: usize, most: usize| {
            let value = request.param(name);
            let constraint = match value.map(|v| v.chars().count()) {
                None => "Member must not be null".into(),
                Some(n) if n < least => {
                    format!("Member must have length greater than or equal to {least}")
                }
                Some(n) if n > most => {
                    format!("Member must have length less than or equal to {most}")
                }
                Some(_) => return value.unwrap_or_default(),
            };
            let shown = match (value, name) {
                (None, _) => "null".into(),
                (_, "WebIdentityToken") => "'***'".into(),
                (Some(value), _) => format!("'{value}'"),
            };
            wrong.push(format!("Value {shown} at '{field}' failed to satisfy constraint: {constraint}"));
            ""
        };
        let role_arn = required("RoleArn", "roleArn", 20, 2048);
        let session_name = required("RoleSessionName", "roleSessionName", 2, 64);
        let token = required("WebIdentityToken", "webIdentityToken", 4, 20_000);
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !session_name.chars().all(allowed) {
            wrong.push(format!(
                "Value '{session_name}' at 'roleSessionName' failed to satisfy constraint: Member must satisfy \
                 regular expression pattern: [\\w+=,.@-]*"
            ));
        }
        let mut duration = None;
        if let Some(text) = request.param("DurationSeconds") {
            let value: u64 = text.parse().map_err(|_| {
                let message = format!("Malformed input at 'DurationSeconds': '{text}'");
                ("MalformedInput", message)
            })?;
            let least = settings.min_duration.as_secs();
            let bound = if value < least {
                Some(format!("greater than or equal to {least}"))
            } else if value > LONGEST {
                Some(format!("less than or equal to {LONGEST}"))
            } else {
                None
            };
            if let Some(bound) = bound {
                wrong.push(format!(
                    "Value '{value}' at 'durationSeconds' failed to satisfy constraint: Member must have value {bound}"
                ));
            }
            duration = Some(value);
        }
        if !wrong.is_empty() {
            let errors = if wrong.len() == 1 { "error" } else { "errors" };
            let message = format!("{} validation {errors} detected: {}", wrong.len(), wrong.join("; "));
            return Err(("ValidationError", message));
        }
        let known = settings.roles.iter().any(|role| role.arn == role_arn);
        if !known && !is_role_arn(role_arn) {
            return Err(("ValidationError", "Request ARN is invalid".into()));
        }
        let (policy, policy_arns) = (request.param("Policy"), policy_arns(request));
        let packed_policy_size = packed_policy_size(policy, &policy_arns)?;
        Ok(Self { role_arn, session_name, token, duration, policy, policy_arns, packed_policy_size })
    }
}

fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, iam, _, account, resource] = parts[..] else {
        return false;
    };
    arn == "arn"
        && !partition.is_empty()
        && iam == "iam"
        && account.bytes().all(|b| b.is_ascii_digit())
        && resource.strip_prefix("role/").is_some_and(|name| !name.is_empty())
}

fn policy_arns(request: &Request) -> Vec<String> {
    let member = |n| request.param(&format!("PolicyArns.member.{n}.arn"));
    (1..).map_while(member).map(str::to_string).collect()
}

/// The session policy in percent of what AWS takes.
fn packed_policy_size(policy: Option<&str>, arns: &[String]) -> Result<Option<usize>, Refusal> {
    if let Some(policy) = policy {
        let read: Option<Value> = serde_json::from_str(policy).ok();
        if read.is_none_or(|policy| policy["Statement"].is_null()) {
            return Err(("MalformedPolicyDocument", "Syntax errors in policy.".into()));
        }
    }
    if policy.is_none() && arns.is_empty() {
        return Ok(None);
    }
    let length = policy.map_or(0, str::len) + arns.iter().map(String::len).sum::<usize>();
    let percent = (length * 100).div_ceil(2048);
    if percent > 100 {
        let message = format!("Packed size of session tags consumes {percent}% of allotted space.");
        return Err(("PackedPolicyTooLarge", message));
    }
    Ok(Some(percent))
}

/// The claims of a token that Google signed and that still holds.
fn believed(token: &str) -> Result<Value, Refusal> {
    let invalid = |message: &str| ("InvalidIdentityToken", message.to_string());
    let claims = jwt::published().verify(token).map_err(|disbelief| match disbelief {
        Disbelief::Malformed(why) => invalid(&format!("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)\u{0}{why}")),
        Disbelief::UnknownKey(kid) => invalid(&format!("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements\u{0}no key \"{kid}\"")),
        Disbelief::BadSignature => invalid("Provided Token is not a Login With Google token\u{0}the signature is wrong"),
    })?;
    let issuer = claims["iss"].as_str().unwrap_or("");
    if issuer.trim_start_matches("https://") != trust::PROVIDER {
        return Err(invalid(&format!("No OpenIDConnect provider found in your account for {issuer}")));
    }
    for claim in ["aud", "sub"] {
        if !claims[claim].is_string() {
            return Err(invalid(&format!("Missing a required claim: {claim}")));
        }
    }
    let expires = claims["exp"].as_i64().ok_or_else(|| invalid("Missing a required claim: exp"))?;
    let now = unix(SystemTime::now());
    if expires <= now {
        let message =
            format!("Token expired: current date/time {now} must be before the expiration date/time{expires}");
        return Err(("ExpiredTokenException", message));
    }
    Ok(claims)
}

fn issue(settings: &Settings, role: &Role, asked: &Asked<'_>, claims: &Value, duration: u64) -> Issued {
    let issued_at = SystemTime::now();
    let lifetime = settings.credential_lifetime.unwrap_or(Duration::from_secs(duration));
    let end = issued_at + lifetime;
    let session_name = asked.session_name;
    let mut session_token = format!("IQoJb3JpZ2luX2VjEN//+w=={}", BASE64.encode(random_bytes::<400>()));
    if settings.dialect.text == Text::Entities {
        session_token.push('&');
    }
    let claim = |name: &str| claims[name].as_str().unwrap_or("").to_string();
    Issued {
        access_key_id: format!("ASIA{}", random_text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        secret_access_key: format!(
            "{}+/",
            BASE64.encode(random_bytes::<28>()).replace('=', "").chars().take(38).collect::<String>()
        ),
        session_token,
        role_arn: role.arn.clone(),
        session_name: session_name.to_string(),
        assumed_role_arn: format!(
            "arn:{}:sts::{}:assumed-role/{}/{session_name}",
            role.partition(),
            role.account(),
            role.name()
        ),
        assumed_role_id: format!("{}:{session_name}", role.id()),
        account: role.account().to_string(),
        subject: claim("sub"),
        audience: claim("aud"),
        duration_seconds: duration,
        session_policy: asked.policy.map(str::to_string),
        policy_arns: asked.policy_arns.clone(),
        issued_at,
        expires_at: if settings.dialect.nanoseconds { end } else { whole_second(end) },
    }
}

fn success(dialect: &Dialect, action: &'static str, result: Vec<Element>, verdict: String) -> Reply {
    let (response, result_name) = match action {
        "GetCallerIdentity" => ("GetCallerIdentityResponse", "GetCallerIdentityResult"),
        _ => ("AssumeRoleWithWebIdentityResponse", "AssumeRoleWithWebIdentityResult"),
    };
    let request_id = uuid();
    let metadata = vec![Element::text("RequestId", request_id.as_str())];
    let root =
        Element::new(response, vec![Element::new(result_name, result), Element::new("ResponseMetadata", metadata)]);
    reply(200, root.render(dialect), request_id, verdict)
}

/// An AWS error with the status, and if none is given the message, that usually goes with its code.
pub(crate) fn error(dialect: &Dialect, code: &str, message: Option<String>, status: Option<u16>) -> Reply {
    let (usual_status, usual_message) = usual(code);
    let message = message.unwrap_or_else(|| usual_message.into());
    // What follows the NUL is for the log.
    let (message, why) = message.split_once('\u{0}').unwrap_or((&message, ""));
    let status = status.unwrap_or(usual_status);
    let request_id = uuid();
    let body = xml::error(code, message, status, &request_id).render(dialect);
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    reply(status, body, request_id, format!("refused: {code}: {message}{why}"))
}

fn usual(code: &str) -> (u16, &'static str) {
    match code {
        "AccessDenied" => (403, "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
        "ExpiredTokenException" => (400, "Token expired"),
        "ExpiredToken" => (403, "The security token included in the request is expired"),
        "IDPCommunicationError" => (400, "Error communicating with the identity provider"),
        "IDPRejectedClaim" => (403, "The identity provider reported that authentication failed"),
        "InternalFailure" => {
            (500, "The request processing has failed because of an unknown error, exception or failure.")
        }
        "InvalidClientTokenId" => (403, "The security token included in the request is invalid."),
        "InvalidIdentityToken" => {
            (400, "No OpenIDConnect provider found in your account for https://accounts.google.com")
        }
        "MalformedPolicyDocument" => (400, "Syntax errors in policy."),
        "MissingAuthenticationToken" => (403, "Request is missing Authentication Token"),
        "PackedPolicyTooLarge" => (400, "Packed size of session tags consumes 120% of allotted space."),
        "RegionDisabledException" => (
            403,
            "STS is not activated in this region for account:123456789012. Your account administrator can activate STS in this region using the IAM Console.",
        ),
        "RequestLimitExceeded" => (503, "Request limit exceeded."),
        "ServiceUnavailable" => (503, "The request has failed due to a temporary failure of the server."),
        "SignatureDoesNotMatch" => {
            (403, "The request signature we calculated does not match the signature you provided.")
        }
        "Throttling" | "ThrottlingException" => (400, "Rate exceeded"),
        "UnknownOperationException" => (404, ""),
        "ValidationError" => (400, "1 validation error detected"),
        _ => (400, "This fault was asked for"),
    }
}

fn reply(status: u16, body: String, request_id: String, verdict: String) -> Reply {
    Reply::new(status, "text/xml", body, verdict).header("x-amzn-requestid", request_id)
}
