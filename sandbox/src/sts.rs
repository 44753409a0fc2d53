//! AWS's Security Token Service:
//! [AssumeRoleWithWebIdentity](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html),
//! [AssumeRole](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html) by a session that it gave
//! out itself,
//! [GetCallerIdentity](https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html),
//! [common errors](https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html).
//!
//! A form POST in, XML out. A web identity token in a URL is refused: URLs end up in logs.

use std::collections::BTreeMap;
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
use crate::trust::{self, Principal};
use crate::xml::{self, Dialect, Element, Text};

const VERSION: &str = "2011-06-15";
const LONGEST: u64 = 43_200;
const LONGEST_CHAINED: u64 = 3600;

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
        "AssumeRole" => assume_role(state, &settings, request, skew),
        "GetCallerIdentity" => caller_identity(state, request),
        action => Err(("InvalidAction", format!("Could not find operation {action} for version {VERSION}"))),
    };
    match result {
        Ok((result, verdict)) => success(&settings.dialect, &request.action, result, verdict),
        Err((code, message)) => error(&settings.dialect, code, Some(message), None),
    }
}

type Answer = Result<(Vec<Element>, String), Refusal>;

fn in_query(request: &Request) -> bool {
    form_urlencoded::parse(request.query.as_bytes()).any(|(name, _)| name == "WebIdentityToken")
}

fn with_web_identity(state: &State, settings: &Settings, request: &Request, skew: i64) -> Answer {
    let mut form = Form::of(request);
    let token = form.required("WebIdentityToken", &TOKEN);
    let asked = Asked::read(settings, form, &[])?;
    let claims = believed(token)?;

    let context = trust::context(&claims, asked.session_name);
    let action = "sts:AssumeRoleWithWebIdentity";
    let denied = |why: String| {
        // The reason is for the log alone: AWS keeps it to itself.
        ("AccessDenied", format!("Not authorized to perform {action}\u{0}{why}"))
    };
    let role = asked.role(settings).map_err(denied)?;
    trust::admits(&role.trust_policy, &Principal::google(), action, &context).map_err(denied)?;

    let claim = |name: &str| claims[name].as_str().unwrap_or("").to_string();
    let session = asked.session(settings, role, asked.duration(role)?);
    let issued = Issued { subject: claim("sub"), audience: claim("aud"), ..session };
    let (user, credentials) = handed_out(settings, &issued, skew);
    let mut result = vec![Element::text("Audience", context["accounts.google.com:aud"].as_str()), user];
    result.extend(asked.packed_policy_size.map(packed));
    result.extend([
        Element::text("Provider", trust::PROVIDER),
        credentials,
        Element::text("SubjectFromWebIdentityToken", issued.subject.as_str()),
    ]);
    let verdict = format!("issued {} to {}", issued.access_key_id, issued.assumed_role_arn);
    state.issue(issued);
    Ok((result, verdict))
}

/// Role chaining: everyone who can sign here has a session of a role.
fn assume_role(state: &State, settings: &Settings, request: &Request, skew: i64) -> Answer {
    let caller = sigv4::signer(state, request)?;
    let mut form = Form::of(request);
    let external_id = form.optional("ExternalId", &EXTERNAL_ID);
    let source_identity = form.optional("SourceIdentity", &NAME);
    let tags = form.tags();
    let transitive = form.list("TransitiveTagKeys", "", 50, &TAG_KEY);
    let asked = Asked::read(settings, form, &tags)?;
    let (session_tags, transitive_tag_keys) = all_tags(&caller, &tags, &transitive)?;

    let denied = |action: &str, why: String| {
        let who = &caller.assumed_role_arn;
        let message = format!("User: {who} is not authorized to perform: {action} on resource: {}", asked.role_arn);
        ("AccessDenied", format!("{message}\u{0}{why}"))
    };
    let role = asked.role(settings).map_err(|why| denied("sts:AssumeRole", why))?;
    let inherited = caller.source_identity.as_deref();
    let mut actions = vec!["sts:AssumeRole"];
    if !session_tags.is_empty() {
        actions.push("sts:TagSession");
    }
    if source_identity.or(inherited).is_some() {
        actions.push("sts:SetSourceIdentity");
    }
    let context = trust::chained_context(&caller, asked.session_name, external_id, source_identity, &tags);
    for action in actions {
        trust::admits(&role.trust_policy, &Principal::session(&caller), action, &context)
            .map_err(|why| denied(action, why))?;
    }
    if inherited.is_some() && source_identity.is_some_and(|asked| Some(asked) != inherited) {
        return Err(denied("sts:SetSourceIdentity", "the caller's session has another, which stays".into()));
    }

    if asked.duration.is_some_and(|seconds| seconds > LONGEST_CHAINED) {
        let message =
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.";
        return Err(("ValidationError", message.into()));
    }
    let issued = Issued {
        chained_from: Some(caller.access_key_id.clone()),
        source_identity: source_identity.or(inherited).map(str::to_string),
        session_tags,
        transitive_tag_keys,
        ..asked.session(settings, role, asked.duration(role)?)
    };
    let (user, credentials) = handed_out(settings, &issued, skew);
    let mut result = vec![user, credentials];
    result.extend(asked.packed_policy_size.map(packed));
    result.extend(issued.source_identity.as_deref().map(|identity| Element::text("SourceIdentity", identity)));
    let (to, by) = (&issued.assumed_role_arn, &caller.assumed_role_arn);
    let verdict = format!("issued {} to {to} for {by}", issued.access_key_id);
    state.issue(issued);
    Ok((result, verdict))
}

fn caller_identity(state: &State, request: &Request) -> Answer {
    let caller = sigv4::signer(state, request)?;
    let verdict = format!("it is {}", caller.assumed_role_arn);
    let result = vec![
        Element::text("Arn", caller.assumed_role_arn),
        Element::text("UserId", caller.assumed_role_id),
        Element::text("Account", caller.account),
    ];
    Ok((result, verdict))
}

/// The `AssumedRoleUser` and the `Credentials` of a reply.
fn handed_out(settings: &Settings, issued: &Issued, skew: i64) -> (Element, Element) {
    let printed = rfc3339(shifted(issued.expires_at, skew), settings.dialect.nanoseconds);
    let user = Element::new(
        "AssumedRoleUser",
        vec![
            Element::text("AssumedRoleId", issued.assumed_role_id.as_str()),
            Element::text("Arn", issued.assumed_role_arn.as_str()),
        ],
    );
    let credentials = Element::new(
        "Credentials",
        vec![
            Element::text("AccessKeyId", issued.access_key_id.as_str()),
            Element::text("SecretAccessKey", issued.secret_access_key.as_str()),
            Element::text("SessionToken", issued.session_token.as_str()),
            Element::text("Expiration", printed),
        ],
    );
    (user, credentials)
}

fn packed(percent: usize) -> Element {
    Element::text("PackedPolicySize", percent.to_string())
}

/// The tags of a chained session, and which of them the next one inherits.
fn all_tags(
    caller: &Issued,
    tags: &[(&str, &str)],
    transitive: &[&str],
) -> Result<(BTreeMap<String, String>, Vec<String>), Refusal> {
    let invalid = |message: &str| Err(("InvalidParameterValue", message.to_string()));
    let among = |key: &str, keys: &[&str]| keys.iter().any(|other| other.eq_ignore_ascii_case(key));
    let keys: Vec<&str> = tags.iter().map(|(key, _)| *key).collect();
    let inherited: Vec<&str> = caller.transitive_tag_keys.iter().map(String::as_str).collect();
    if keys.iter().enumerate().any(|(at, key)| among(key, &keys[..at])) {
        return invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.");
    }
    if keys.iter().any(|key| among(key, &inherited)) {
        return invalid(
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from \
             the calling session.",
        );
    }
    if !transitive.iter().all(|key| among(key, &keys)) {
        return invalid("The specified transitive tag key must be included in the requested tags.");
    }
    let before = caller.session_tags.iter().filter(|(key, _)| among(key, &inherited));
    let before = before.map(|(key, value)| (key.clone(), value.clone()));
    let own = tags.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    let transitive_keys = inherited.iter().chain(transitive).map(|key| key.to_string());
    Ok((before.chain(own).collect(), transitive_keys.collect()))
}

/// How long a parameter may be, and what it may be made of.
struct Rule {
    least: usize,
    most: usize,
    pattern: &'static str,
    allowed: fn(char) -> bool,
}

const ANY: fn(char) -> bool = |_| true;
const ROLE_ARN: Rule = Rule { least: 20, most: 2048, pattern: "", allowed: ANY };
const TOKEN: Rule = Rule { least: 4, most: 20_000, pattern: "", allowed: ANY };
const NAME: Rule = Rule {
    least: 2,
    most: 64,
    pattern: r"[\w+=,.@-]*",
    allowed: |c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c),
};
const EXTERNAL_ID: Rule = Rule {
    least: 2,
    most: 1224,
    pattern: r"[\w+=,.@:\/-]*",
    allowed: |c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c),
};
const TAG_KEY: Rule = Rule { least: 1, most: 128, pattern: r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", allowed: in_tags };
const TAG_VALUE: Rule = Rule { least: 0, most: 256, pattern: r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", allowed: in_tags };

fn in_tags(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
}

/// Reads parameters and collects what is wrong with them: AWS says all of it at once.
struct Form<'a> {
    request: &'a Request,
    wrong: Vec<String>,
}

impl<'a> Form<'a> {
    fn of(request: &'a Request) -> Self {
        Self { request, wrong: Vec::new() }
    }

    /// Empty if it is wrong, which nobody sees: [`Self::finish`] refuses the whole.
    fn required(&mut self, name: &str, rule: &Rule) -> &'a str {
        if self.request.param(name).is_none() {
            self.refuse("null", name, "Member must not be null");
        }
        self.optional(name, rule).unwrap_or_default()
    }

    fn optional(&mut self, name: &str, rule: &Rule) -> Option<&'a str> {
        let value = self.request.param(name)?;
        let length = value.chars().count();
        let constraint = if length < rule.least {
            format!("Member must have length greater than or equal to {}", rule.least)
        } else if length > rule.most {
            format!("Member must have length less than or equal to {}", rule.most)
        } else if !value.chars().all(rule.allowed) {
            format!("Member must satisfy regular expression pattern: {}", rule.pattern)
        } else {
            return Some(value);
        };
        let shown = if name == "WebIdentityToken" { "***" } else { value };
        self.refuse(&format!("'{shown}'"), name, &constraint);
        None
    }

    /// `NAME.member.N`, or a part of each member.
    fn list(&mut self, name: &str, part: &str, most: usize, rule: &Rule) -> Vec<&'a str> {
        let names = (1..).map(|n| format!("{name}.member.{n}{part}"));
        let found: Vec<String> = names.take_while(|name| self.request.param(name).is_some()).collect();
        if found.len() > most {
            let shown = format!("'[{} members]'", found.len());
            self.refuse(&shown, name, &format!("Member must have length less than or equal to {most}"));
        }
        found.iter().map(|name| self.required(name, rule)).collect()
    }

    fn tags(&mut self) -> Vec<(&'a str, &'a str)> {
        let keys = self.list("Tags", ".Key", 50, &TAG_KEY);
        (1..).zip(keys).map(|(n, key)| (key, self.required(&format!("Tags.member.{n}.Value"), &TAG_VALUE))).collect()
    }

    fn refuse(&mut self, shown: &str, name: &str, constraint: &str) {
        // AWS writes `tags.1.member.key` for `Tags.member.1.Key`.
        let mut parts: Vec<&str> = name.split('.').collect();
        if parts.len() > 2 {
            parts.swap(1, 2);
        }
        let small = |part: &str| format!("{}{}", part[..1].to_ascii_lowercase(), &part[1..]);
        let field = parts.into_iter().map(small).collect::<Vec<_>>().join(".");
        self.wrong.push(format!("Value {shown} at '{field}' failed to satisfy constraint: {constraint}"));
    }

    fn finish(self) -> Result<(), Refusal> {
        if self.wrong.is_empty() {
            return Ok(());
        }
        let errors = if self.wrong.len() == 1 { "error" } else { "errors" };
        let message = format!("{} validation {errors} detected: {}", self.wrong.len(), self.wrong.join("; "));
        Err(("ValidationError", message))
    }
}

/// The parameters that every way to assume a role has, each within its bounds.
struct Asked<'a> {
    role_arn: &'a str,
    session_name: &'a str,
    duration: Option<u64>,
    policy: Option<&'a str>,
    policy_arns: Vec<&'a str>,
    packed_policy_size: Option<usize>,
}

impl<'a> Asked<'a> {
    /// Reads the rest of a form. `tags` take room from the session policy.
    fn read(settings: &Settings, mut form: Form<'a>, tags: &[(&str, &str)]) -> Result<Self, Refusal> {
        let role_arn = form.required("RoleArn", &ROLE_ARN);
        let session_name = form.required("RoleSessionName", &NAME);
        let policy_arns = form.list("PolicyArns", ".arn", 10, &ROLE_ARN);
        let policy = form.request.param("Policy");
        let mut duration = None;
        if let Some(text) = form.request.param("DurationSeconds") {
            let value: u64 = text.parse().map_err(|_| {
                let message = format!("Malformed input at 'DurationSeconds': '{text}'");
                ("MalformedInput", message)
            })?;
            let least = settings.min_duration.as_secs();
            let mut refuse = |bound: &str| {
                form.refuse(&format!("'{value}'"), "DurationSeconds", &format!("Member must have value {bound}"));
            };
            if value < least {
                refuse(&format!("greater than or equal to {least}"));
            } else if value > LONGEST {
                refuse(&format!("less than or equal to {LONGEST}"));
            }
            duration = Some(value);
        }
        form.finish()?;
        let known = settings.roles.iter().any(|role| role.arn == role_arn);
        if !known && !is_role_arn(role_arn) {
            return Err(("ValidationError", "Request ARN is invalid".into()));
        }
        let packed_policy_size = packed_policy_size(policy, &policy_arns, tags)?;
        Ok(Self { role_arn, session_name, duration, policy, policy_arns, packed_policy_size })
    }

    fn role<'s>(&self, settings: &'s Settings) -> Result<&'s Role, String> {
        let role = settings.roles.iter().find(|role| role.arn == self.role_arn);
        role.ok_or_else(|| "there is no such role".into())
    }

    fn duration(&self, role: &Role) -> Result<u64, Refusal> {
        let duration = self.duration.unwrap_or(3600);
        if duration > role.max_duration.as_secs() {
            let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
            return Err(("ValidationError", message.into()));
        }
        Ok(duration)
    }

    /// New credentials, before it is said who asked for them.
    fn session(&self, settings: &Settings, role: &Role, duration: u64) -> Issued {
        let issued_at = SystemTime::now();
        let lifetime = settings.credential_lifetime.unwrap_or(Duration::from_secs(duration));
        let end = issued_at + lifetime;
        let session_name = self.session_name;
        let mut session_token = format!("IQoJb3JpZ2luX2VjEN//+w=={}", BASE64.encode(random_bytes::<400>()));
        if settings.dialect.text == Text::Entities {
            session_token.push('&');
        }
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
            subject: String::new(),
            audience: String::new(),
            chained_from: None,
            source_identity: None,
            session_tags: BTreeMap::new(),
            transitive_tag_keys: Vec::new(),
            duration_seconds: duration,
            session_policy: self.policy.map(str::to_string),
            policy_arns: self.policy_arns.iter().map(|arn| arn.to_string()).collect(),
            issued_at,
            expires_at: if settings.dialect.nanoseconds { end } else { whole_second(end) },
        }
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

/// The session policy and tags in percent of what AWS takes.
fn packed_policy_size(policy: Option<&str>, arns: &[&str], tags: &[(&str, &str)]) -> Result<Option<usize>, Refusal> {
    if let Some(policy) = policy {
        let read: Option<Value> = serde_json::from_str(policy).ok();
        if read.is_none_or(|policy| policy["Statement"].is_null()) {
            return Err(("MalformedPolicyDocument", "Syntax errors in policy.".into()));
        }
    }
    if policy.is_none() && arns.is_empty() && tags.is_empty() {
        return Ok(None);
    }
    let parts = policy.iter().chain(arns).chain(tags.iter().flat_map(|(key, value)| [key, value]));
    let percent = (parts.map(|part| part.len()).sum::<usize>() * 100).div_ceil(2048);
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

fn success(dialect: &Dialect, action: &str, result: Vec<Element>, verdict: String) -> Reply {
    let request_id = uuid();
    let metadata = vec![Element::text("RequestId", request_id.as_str())];
    let parts = vec![Element::new(format!("{action}Result"), result), Element::new("ResponseMetadata", metadata)];
    let root = Element::new(format!("{action}Response"), parts);
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
