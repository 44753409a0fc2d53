//! Keys in variables: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, and `AWS_SESSION_TOKEN` (of old
//! `AWS_SECURITY_TOKEN`) where they are temporary.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-static-credentials.html>
//!
//! They are read once, at the start: nobody can change the variables of a running process, so temporary keys end
//! with their session.

use aws_credential_types::Credentials as AwsKeys;

use crate::error::{Error, Result, reasons};
use crate::identity::aws::source::{Answer, Source, of_keys};
use crate::system::world::World;

pub(super) fn ask(world: &World) -> Result<Answer> {
    // Blanks are no key.
    let read = |name: &str| world.text_variable(name).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
    match (read("AWS_ACCESS_KEY_ID"), read("AWS_SECRET_ACCESS_KEY")) {
        (Some(id), Some(secret)) => {
            let keys = AwsKeys::new(
                id,
                secret,
                read("AWS_SESSION_TOKEN").or_else(|| read("AWS_SECURITY_TOKEN")),
                None,
                "fedboot",
            );
            Ok(Answer::Found(of_keys(Source::Environment, keys, None)))
        }
        (None, None) => Ok(Answer::NotHere("AWS_ACCESS_KEY_ID is not set".into())),
        (id, _) => {
            let (set, other) = match id {
                Some(_) => ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
                None => ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
            };
            Err(Error::usage(format!("{set} is set and {other} is not"))
                .reason(&reasons::HALF_KEYS)
                .advice("set both, or none"))
        }
    }
}
