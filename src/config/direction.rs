//! Which direction: Google → AWS or AWS → Google.

use crate::config::external_account;
use crate::config::option_table::Cloud;
use crate::config::options::Options;
use crate::error::{Error, Result, reasons};
use crate::system::world::World;

/// Which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A Google identity becomes AWS credentials.
    GoogleToAws,
    /// An AWS identity becomes Google credentials.
    AwsToGoogle,
}

/// Which way is meant: by an option of one of them, else by the file that Google's own clients would read, else to AWS.
///
/// # Errors
/// A usage error where both ways are named, or an option of the other one.
pub fn of(options: &Options, world: &World) -> Result<Direction> {
    let names = |name: &str| options.value_said_to_fedboot(world, name).is_some();
    let to_google = names("external-account") || names("workload-identity-provider");
    let way = match (to_google, names("role-arn")) {
        (true, true) => {
            let both = "--role-arn is for AWS, --external-account and --workload-identity-provider are for Google";
            return Err(Error::usage(both)
                .reason(&reasons::BOTH_WAYS)
                .advice("name one of them; --assume-role-arn names an AWS role on the way to Google"));
        }
        (true, false) => Direction::AwsToGoogle,
        (false, false) if leads_to_google(options, world) => Direction::AwsToGoogle,
        _ => Direction::GoogleToAws,
    };
    match way {
        Direction::GoogleToAws => options.refuse(&|option| option.cloud == Cloud::Google)?,
        Direction::AwsToGoogle => options.refuse(&|option| option.cloud == Cloud::Aws)?,
    }
    Ok(way)
}

impl Direction {
    /// The way, and what says so, for people.
    pub fn described(self, options: &Options, world: &World) -> String {
        let (way, names): (_, &[&str]) = match self {
            Self::GoogleToAws => ("Google → AWS", &["role-arn"]),
            Self::AwsToGoogle => ("AWS → Google", &["external-account", "workload-identity-provider"]),
        };
        match names.iter().find_map(|name| options.value(world, name)) {
            Some(given) => format!("{way}, by {}", given.origin()),
            None => format!("{way}, as nothing says otherwise"),
        }
    }
}

/// Whether the variables are those of a workload on AWS that Google's clients would use.
fn leads_to_google(options: &Options, world: &World) -> bool {
    let Some(file) = options.value(world, "external-account") else { return false };
    // EKS names a role for the pod's own identity beside a token file; whoever names one for fedboot names no such file.
    let role = options.value(world, "role-arn").is_some() && world.variable("AWS_WEB_IDENTITY_TOKEN_FILE").is_none();
    let is_to_aws = role || options.value(world, "google-token-file").is_some();
    // On AWS another kind of file is a mistake, which is then told; elsewhere it may be somebody else's.
    let is_on_aws = ON_AWS.iter().any(|name| world.variable(name).is_some());
    let kind = || external_account::type_of(file.file(world).path());
    !is_to_aws && (is_on_aws || kind().as_deref() == Some("external_account"))
}

/// What only AWS's own platforms set.
const ON_AWS: &[&str] = &[
    "AWS_EXECUTION_ENV",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];
