//! AWS STS: `GetWebIdentityToken`, a signed JWT that says who signed the request, for services elsewhere.
//!
//! A signed form POST to a regional STS; the account must have enabled outbound identity federation.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html>

use std::time::SystemTime;

use aws_credential_types::Credentials as AwsKeys;
use form_urlencoded::Serializer;

use crate::error::{Error, Kind, Paste, Result, reasons};
use crate::exchange::sts::client::{FORM, Question, Sts};
use crate::exchange::sts::errors::{self, Refusal};
use crate::exchange::sts::signature;
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
    let explain = |error: Error, refusal: &Refusal<'_>| match refusal.code {
        "OutboundWebIdentityFederationDisabledException" | "OutboundWebIdentityFederationDisabled" => error
            .because(&reasons::NO_OUTBOUND, &[])
            .paste(Paste::Command("aws iam enable-outbound-web-identity-federation".into())),
        "AccessDenied" => error.because(&reasons::TOKEN_REFUSED, &[]).paste(Paste::Policy(
            r#"{"Effect": "Allow", "Action": "sts:GetWebIdentityToken", "Resource": "*"}"#.into(),
        )),
        _ => errors::explain_any(error, refusal),
    };
    let connection = sts.connect(http).await;
    let headers = signature::headers(&signed);
    let question = Question { step: step.into(), headers: &headers, body, explain: &explain };
    let answer = sts.ask(http, connection, question).await?;
    let [token] = answer.words(["WebIdentityToken"])?;
    let proof = jwt::decode(token).map_err(|why| {
        Error::new(Kind::Transient, step, sts.shown(), format!("answered 200, but its WebIdentityToken {why}"))
    })?;
    Ok(SubjectToken { token: proof.token, token_type: JWT.into(), claims: Some(proof.claims) })
}
