//! `fedboot trust-policy`: what must be granted, so that this workload, or one that is named, is let in; with `--check`,
//! whether a policy does.
//!
//! - Google → AWS: the trust policy of an AWS role on standard output, as JSON ready to paste.
//! - AWS → Google: the commands that set up the provider and let the role be the service account.
//!
//! Nothing is changed anywhere. What is said beside it goes to standard error.

mod asking;
mod aws_provider;
mod check;
mod policy_file;
mod printed;
mod subject;

use std::rc::Rc;

use fedboot_policy::{pretty, web_identity};

use crate::config::direction::{self, Direction};
use crate::config::option_table::{Cloud, Opt};
use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::config::values;
use crate::error::{Error, Result};
use crate::system::log::Severity;
use crate::system::world::World;

use printed::without_tokens;
use subject::Subject;

/// Options by which a way is meant.
const TO_AWS: &[&str] = &["check", "claims", "context", "service-account-unique-id"];

/// What is printed, and the exit code.
///
/// # Errors
/// A usage error, or why this workload's identity is not known.
pub fn run(options: &Options, world: &Rc<World>) -> Result<(String, u8)> {
    let settings = Settings::resolve(options, world)?;
    let as_json = values::as_json(options, world)?;
    let names = |name: &&str| options.value_said_to_fedboot(world, name).is_some();
    let (to_aws, to_google) = (TO_AWS.iter().any(names), names(&"aws-role"));
    let of_cloud = |cloud: Cloud| move |option: &Opt| option.cloud == cloud;
    let way = if to_aws {
        options.refuse(&of_cloud(Cloud::Google))?;
        Direction::GoogleToAws
    } else if to_google {
        options.refuse(&of_cloud(Cloud::Aws))?;
        Direction::AwsToGoogle
    } else {
        direction::of(options, world)?
    };
    if way == Direction::AwsToGoogle {
        return aws_provider::commands(options, world, &settings, as_json).map(|text| (text, 0));
    }
    let subject = Subject::resolve(options, world, &settings)?;
    if let Some(given) = options.value(world, "check") {
        return check::report(&given, &subject, options, world, as_json);
    }
    grant(&subject, world, &settings, as_json).map(|text| (text, 0))
}

/// The policy that lets the subject in, and what to know of it.
fn grant(subject: &Subject, world: &World, settings: &Settings, as_json: bool) -> Result<String> {
    let caller = web_identity::caller(&subject.claims, subject.role_arn.as_deref());
    for name in ["sub", "aud"] {
        if web_identity::claim(&subject.claims, name) == fedboot_policy::context::Found::Absent {
            return Err(Error::usage(format!("{} has no claim \"{name}\"", subject.origin)));
        }
    }
    let policy = web_identity::policy(&[web_identity::statement(&subject.claims, &caller)]);
    let say = |message: &str| settings.log.event(world.now(), Severity::Info, message, &[]);
    say(&format!("this trust policy admits {}", subject.described()));
    if web_identity::issuer(&subject.claims) == web_identity::GOOGLE {
        say("the account needs no identity provider for accounts.google.com: with one AWS refuses Google's tokens");
    } else {
        let account = if subject.role_arn.is_some() { "" } else { ", whose number goes in place of ACCOUNT" };
        say(&format!(
            "the issuer must be an OIDC provider of the role's account{account}, with the audience as client id"
        ));
    }
    say("put it into a file and run: aws iam update-assume-role-policy --role-name NAME --policy-document file://FILE");
    Ok(if as_json { format!("{}\n", without_tokens(&policy)) } else { pretty::print(&without_tokens(&policy)) })
}
