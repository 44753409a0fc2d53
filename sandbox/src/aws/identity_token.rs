//! A token of AWS about its caller, for services elsewhere:
//! [its claims](https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::aws::imds::INSTANCE;
use crate::aws::sigv4::{Answer, signer};
use crate::aws::xml::Element;
use crate::clock::{rfc3339, shifted, unix, uuid};
use crate::jwt::issuers;
use crate::settings::Settings;
use crate::state::State;
use crate::state::log::Request;

use crate::aws::form::{ALGORITHM, AUDIENCE, Form};

const USUAL: u64 = 300;

pub(crate) fn answer(state: &State, settings: &Settings, request: &Request, skew: i64) -> Answer {
    if request.header("host") == Some("sts.amazonaws.com") {
        // The global endpoint does not have it.
        return Err(("InvalidAction", "Could not find operation GetWebIdentityToken for version 2011-06-15".into()));
    }
    let caller = signer(state, request, skew)?;
    let mut form = Form::of(request);
    let audiences = form.list("Audience", "", 10, &AUDIENCE);
    if audiences.is_empty() {
        form.refuse("null", "Audience", "Member must not be null");
    }
    let algorithm = form.required("SigningAlgorithm", &ALGORITHM);
    let tags: BTreeMap<&str, &str> = form.tags().into_iter().collect();
    let duration = form.duration(60, 3600)?.unwrap_or(USUAL);
    form.finish()?;
    let Some(key) = issuers::AWS_KEYS.iter().find(|key| algorithm.parse() == Ok(key.algorithm)) else {
        return Err(("ValidationError", format!("Invalid signing algorithm: {algorithm}")));
    };
    if !settings.outbound_federation {
        let message = "Outbound web identity federation is not enabled for this account.";
        return Err(("OutboundWebIdentityFederationDisabledException", message.into()));
    }
    if SystemTime::now() + Duration::from_secs(duration) > caller.expires_at {
        let message = "The requested token duration would extend the session beyond its original expiration time.";
        return Err(("SessionDurationEscalationException", message.into()));
    }
    let now = shifted(SystemTime::now(), skew);
    let end = shifted(now, duration as i64);
    let mut details = json!({
        "aws_account": caller.account,
        "source_region": settings.region,
        "original_session_exp": rfc3339(caller.expires_at, false),
    });
    for (name, tags) in [("principal_tags", json!(caller.session_tags)), ("request_tags", json!(tags))] {
        if tags.as_object().is_some_and(|tags| !tags.is_empty()) {
            details[name] = tags;
        }
    }
    if let Some(identity) = &caller.source_identity {
        details["source_identity"] = json!(identity);
    }
    if caller.session_name == INSTANCE {
        let arn = format!("arn:aws:ec2:{}:{}:instance/{INSTANCE}", settings.region, caller.account);
        details["ec2_source_instance_arn"] = json!(arn);
    }
    let audience = if let [one] = audiences[..] { json!(one) } else { json!(audiences) };
    let claims = json!({
        "iss": issuers::of_account(&caller.account),
        "aud": audience,
        "sub": caller.role_arn,
        "iat": unix(now),
        "exp": unix(end),
        "jti": uuid(),
        "https://sts.amazonaws.com/": details,
    });
    let result = vec![
        Element::text("WebIdentityToken", key.sign(&claims)),
        Element::text("Expiration", rfc3339(end, settings.dialect.nanoseconds)),
    ];
    Ok((result, format!("a token for {}: {claims}", caller.assumed_role_arn)))
}
