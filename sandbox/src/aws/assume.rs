//! The ways to a session of a role: a token of an identity provider, or another session.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use fedboot_policy::context::Found;
use fedboot_policy::web_identity;
use serde_json::Value;

use crate::aws::session;
use crate::aws::sigv4::{Answer, Refusal, signer};
use crate::aws::trust;
use crate::aws::xml::Element;
use crate::clock::{rfc3339, shifted, unix};
use crate::jwt::issuers;
use crate::jwt::issuers::STS_AUDIENCE;
use crate::jwt::key::Disbelief;
use crate::settings::Settings;
use crate::settings::role::Role;
use crate::state::State;
use crate::state::issued::Issued;
use crate::state::log::Request;

use crate::aws::form::{EXTERNAL_ID, Form, NAME, ROLE_ARN, TAG_KEY, TOKEN};

const LONGEST: u64 = 43_200;
const LONGEST_CHAINED: u64 = 3600;

pub(crate) fn with_web_identity(state: &State, settings: &Settings, request: &Request, skew: i64) -> Answer {
    let mut form = Form::of(request);
    let token = form.required("WebIdentityToken", &TOKEN);
    let asked = Asked::read(settings, form, &[])?;
    let claims = believed(token)?;

    let context = trust::context(&claims, asked.session_name);
    let action = web_identity::ACTION;
    let denied = |why: String| {
        // The reason is for the log alone: AWS keeps it to itself.
        ("AccessDenied", format!("Not authorized to perform {action}\u{0}{why}"))
    };
    let role = asked.role(settings).map_err(denied)?;
    let principal = web_identity::caller(&claims, Some(&role.arn));
    trust::admits(role, &principal, action, &context).map_err(denied)?;

    let subject = claims["sub"].as_str().unwrap_or("").to_string();
    let audience = issuers::audience(&claims).unwrap_or("").to_string();
    let session = asked.session(settings, role, asked.duration(role)?);
    let issued = Issued { subject, audience, ..session };
    let (user, credentials) = handed_out(settings, &issued, skew);
    let compared = match web_identity::claim(&claims, "aud") {
        Found::Values(values) => values.concat(),
        Found::Absent | Found::Unknown => String::new(),
    };
    let mut result = vec![Element::text("Audience", compared), user];
    result.extend(asked.packed_policy_size.map(packed));
    result.extend([
        Element::text("Provider", principal.name()),
        credentials,
        Element::text("SubjectFromWebIdentityToken", issued.subject.as_str()),
    ]);
    let verdict = format!("issued {} to {}", issued.access_key_id, issued.assumed_role_arn);
    state.issued.lock().push(issued);
    Ok((result, verdict))
}

/// Role chaining: everyone who can sign here has a session of a role.
pub(crate) fn assume_role(state: &State, settings: &Settings, request: &Request, skew: i64) -> Answer {
    let caller = signer(state, request, skew)?;
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
        trust::admits(role, &trust::session(&caller), action, &context).map_err(|why| denied(action, why))?;
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
    state.issued.lock().push(issued);
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
        let duration = form.duration(settings.min_duration.as_secs(), LONGEST)?;
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
        Issued {
            session_policy: self.policy.map(str::to_string),
            policy_arns: self.policy_arns.iter().map(|arn| arn.to_string()).collect(),
            ..session::start(settings, role, self.session_name, Duration::from_secs(duration))
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

/// The claims of a token that a known provider signed and that still holds.
fn believed(token: &str) -> Result<Value, Refusal> {
    let invalid = |message: &str| ("InvalidIdentityToken", message.to_string());
    let unknown = |issuer: &str| invalid(&format!("No OpenIDConnect provider found in your account for {issuer}"));
    let claims = issuers::verify(token).map_err(|disbelief| match disbelief {
        Disbelief::Malformed(why) => invalid(&format!("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)\u{0}{why}")),
        Disbelief::UnknownIssuer(issuer) => unknown(&issuer),
        Disbelief::UnknownKey(kid) => invalid(&format!("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements\u{0}no key \"{kid}\"")),
        Disbelief::BadSignature => invalid("Provided Token is not a Login With Google token\u{0}the signature is wrong"),
    })?;
    let issuer = claims["iss"].as_str().unwrap_or("");
    if issuer != issuers::EKS && issuers::name(issuer) != issuers::GOOGLE {
        // The tokens that AWS itself signs are for others.
        return Err(unknown(issuer));
    }
    let missing = |claim: &str| invalid(&format!("Missing a required claim: {claim}"));
    let audience = issuers::audience(&claims).ok_or_else(|| missing("aud"))?;
    claims["sub"].as_str().ok_or_else(|| missing("sub"))?;
    if issuer == issuers::EKS && audience != STS_AUDIENCE {
        return Err(invalid("Incorrect token audience"));
    }
    let expires = claims["exp"].as_i64().ok_or_else(|| missing("exp"))?;
    let now = unix(SystemTime::now());
    if expires <= now {
        let message =
            format!("Token expired: current date/time {now} must be before the expiration date/time{expires}");
        return Err(("ExpiredTokenException", message));
    }
    Ok(claims)
}
