//! A token file that the platform keeps fresh, for a role: EKS's IAM roles for service accounts and their like.
//! `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`, `AWS_ROLE_SESSION_NAME`:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html>.
//!
//! The file is read anew each time: the kubelet replaces it.

use crate::error::{Error, Kind, Result, reasons};
use crate::format::jwt;
use crate::identity::aws::source::{Answer, Source};
use crate::model::aws_identity::{AwsBaseIdentity, AwsIdentity, AwsRole};
use crate::model::proof::{Claims, Proof};
use crate::model::role;
use crate::system::input::InputFile;
use crate::system::world::World;

pub(super) async fn ask(world: &World) -> Result<Answer> {
    let Some(file) = InputFile::of_variable(world, "AWS_WEB_IDENTITY_TOKEN_FILE") else {
        return Ok(Answer::NotHere("AWS_WEB_IDENTITY_TOKEN_FILE is not set".into()));
    };
    let Some(arn) = world.text_variable("AWS_ROLE_ARN") else {
        return Err(Error::usage("AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not")
            .reason(&reasons::WEB_IDENTITY_FILE)
            .advice("annotate the Kubernetes service account with eks.amazonaws.com/role-arn"));
    };
    role::check_role_arn("AWS_ROLE_ARN", &arn)?;
    let session_name = world.text_variable("AWS_ROLE_SESSION_NAME");
    if !session_name.iter().all(|name| role::is_session_name(name)) {
        return Err(Error::usage("AWS_ROLE_SESSION_NAME is no session name").advice("use letters, digits and _+=,.@-"));
    }
    let role = AwsRole { arn, session_name, external_id: None };
    let start = start(&file, role).await?;
    Ok(Answer::Found(AwsIdentity { source: Source::WebIdentity.name(), name: None, start, roles: Vec::new() }))
}

/// The token in `file`, which is for `role`.
pub(super) async fn start(file: &InputFile, role: AwsRole) -> Result<AwsBaseIdentity> {
    let failed = |problem: String| {
        Error::new(Kind::Fatal, "read the web identity token", file.shown(), problem)
            .reason(&reasons::WEB_IDENTITY_FILE)
            .advice("AWS_WEB_IDENTITY_TOKEN_FILE or web_identity_token_file must name a file that holds one token")
    };
    let bytes = file.load().await.map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    // Not every provider's tokens are JWTs; what stands in them is for STS to read.
    let is_opaque =
        |token: &str| (4..=20_000).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    let opaque = || Proof { token: text.trim().into(), claims: Claims::default() };
    let proof =
        jwt::decode(&text).or_else(|why| is_opaque(text.trim()).then(opaque).ok_or_else(|| failed(why.to_owned())))?;
    Ok(AwsBaseIdentity::WebIdentity(Box::new(proof), role))
}
