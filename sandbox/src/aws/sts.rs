//! AWS's Security Token Service:
//! [AssumeRoleWithWebIdentity](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html),
//! [AssumeRole](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html) by a session that was given
//! out here,
//! [GetCallerIdentity](https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html),
//! [GetWebIdentityToken](https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html),
//! [common errors](https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html).
//!
//! A form POST in, XML out. A web identity token in a URL is refused: URLs end up in logs.

use crate::aws::sigv4::{Answer, signer};
use crate::aws::xml::{self, Element};
use crate::aws::{assume, identity_token};
use crate::clock::uuid;
use crate::reply::Reply;
use crate::settings::dialect::Dialect;
use crate::state::State;
use crate::state::log::Request;

const VERSION: &str = "2011-06-15";
/// Codes with the status and message that usually go with them.
const USUAL: &str = "
AccessDenied 403 Not authorized to perform sts:AssumeRoleWithWebIdentity
ExpiredTokenException 400 Token expired
ExpiredToken 403 The security token included in the request is expired
IDPCommunicationError 400 Error communicating with the identity provider
IDPRejectedClaim 403 The identity provider reported that authentication failed
InternalFailure 500 The request processing has failed because of an unknown error, exception or failure.
InvalidClientTokenId 403 The security token included in the request is invalid.
InvalidIdentityToken 400 No OpenIDConnect provider found in your account for https://accounts.google.com
JWTPayloadSizeExceededException 400 The requested token payload size exceeds the maximum allowed size.
MalformedPolicyDocument 400 Syntax errors in policy.
MissingAuthenticationToken 403 Request is missing Authentication Token
OutboundWebIdentityFederationDisabledException 403 Outbound web identity federation is not enabled for this account.
PackedPolicyTooLarge 400 Packed size of session tags consumes 120% of allotted space.
RegionDisabledException 403 STS is not activated in this region for account:123456789012. Your account administrator can activate STS in this region using the IAM Console.
RequestLimitExceeded 503 Request limit exceeded.
ServiceUnavailable 503 The request has failed due to a temporary failure of the server.
SessionDurationEscalationException 403 The requested token duration would extend the session beyond its original expiration time.
SignatureDoesNotMatch 403 The request signature we calculated does not match the signature you provided.
Throttling 400 Rate exceeded
ThrottlingException 400 Rate exceeded
UnknownOperationException 404
ValidationError 400 1 validation error detected
";

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
        "AssumeRoleWithWebIdentity" => assume::with_web_identity(state, &settings, request, skew),
        "AssumeRole" => assume::assume_role(state, &settings, request, skew),
        "GetCallerIdentity" => caller_identity(state, request, skew),
        "GetWebIdentityToken" => identity_token::answer(state, &settings, request, skew),
        action => Err(("InvalidAction", format!("Could not find operation {action} for version {VERSION}"))),
    };
    match result {
        Ok((result, verdict)) => success(&settings.dialect, &request.action, result, verdict),
        Err((code, message)) => error(&settings.dialect, code, Some(message), None),
    }
}

fn in_query(request: &Request) -> bool {
    form_urlencoded::parse(request.query.as_bytes()).any(|(name, _)| name == "WebIdentityToken")
}

fn caller_identity(state: &State, request: &Request, skew: i64) -> Answer {
    let caller = signer(state, request, skew)?;
    let verdict = format!("it is {}", caller.assumed_role_arn);
    let result = vec![
        Element::text("Arn", caller.assumed_role_arn),
        Element::text("UserId", caller.assumed_role_id),
        Element::text("Account", caller.account),
    ];
    Ok((result, verdict))
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
    let row = USUAL.lines().find_map(|row| row.strip_prefix(code)?.strip_prefix(' '));
    let known = row.map(|row| row.split_once(' ').unwrap_or((row, "")));
    let known = known.and_then(|(status, message)| Some((status.parse().ok()?, message)));
    known.unwrap_or((400, "This fault was asked for"))
}

fn reply(status: u16, body: String, request_id: String, verdict: String) -> Reply {
    Reply::new(status, "text/xml", body, verdict).header("x-amzn-requestid", request_id)
}
