//! AWS STS: `GetWebIdentityToken`, a signed JWT that says who signed the request, for services elsewhere.
//!
//! A signed form POST to a regional STS; the account must have enabled outbound identity federation.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html>

use std::time::SystemTime;

use aws_credential_types::Credentials as AwsKeys;
use form_urlencoded::Serializer;

use crate::error::{Error, Kind, Result};
use crate::exchange::sts::client::{FORM, Question, Sts};
use crate::exchange::sts::{errors, signature};
use crate::format::jwt;
use crate::model::proof::{JWT, SubjectToken};
use crate::system::http::Http;

/// It is shown once, at once.
const SECONDS: &str = "300";
/// Google reads this one and ES256, AWS signs this one and ES384.
const ALGORITHM: &str = "RS256";

/// A token for `audience`, of whom the `keys` stand for.
///
/// # Errors
/// What came back instead.
pub async fn token(
    http: &Http,
    sts: &Sts,
    region: &str,
    keys: &AwsKeys,
    audience: &str,
    now: SystemTime,
) -> Result<SubjectToken> {
    let step = "get a web identity token of AWS";
    let body = Serializer::new(String::new())
        .append_pair("Action", "GetWebIdentityToken")
        .append_pair("Version", "2011-06-15")
        .append_pair("Audience.member.1", audience)
        .append_pair("DurationSeconds", SECONDS)
        .append_pair("SigningAlgorithm", ALGORITHM)
        .finish();
    let url = sts.url();
    let signed = signature::sign(keys, region, &url, &[("content-type", FORM)], &body, now)
        .map_err(|problem| Error::new(Kind::Fatal, step, sts.shown(), problem))?;
    let advice = |status, code: &str| match code {
        "OutboundWebIdentityFederationDisabledException" | "OutboundWebIdentityFederationDisabled" => {
            "switch it on for the account: aws iam enable-outbound-web-identity-federation".into()
        }
        "AccessDenied" => "a policy of this identity must allow sts:GetWebIdentityToken".into(),
        _ => errors::any_advice(status, code),
    };
    let connection = sts.connect(http).await;
    let headers = signature::headers(&signed);
    let question = Question { step: step.into(), headers: &headers, body, advice: &advice };
    let answer = sts.ask(http, connection, question).await?;
    let [token] = answer.words(["WebIdentityToken"])?;
    let proof = jwt::decode(token).map_err(|why| {
        Error::new(Kind::Transient, step, sts.shown(), format!("answered 200, but its WebIdentityToken {why}"))
    })?;
    Ok(SubjectToken { token: proof.token, token_type: JWT.into(), claims: Some(proof.claims) })
}
