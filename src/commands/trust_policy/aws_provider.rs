//! AWS → Google: the commands that have a workload identity pool take a role's word, and let it be a service account.
//!
//! - [Mapping and condition](https://cloud.google.com/iam/docs/workload-identity-federation-with-other-clouds#mappings-and-conditions):
//!   Google sees `arn:PARTITION:sts::ACCOUNT:assumed-role/NAME/SESSION`. A subject has at most 127 bytes, which a session's
//!   name can exceed, so it is the role.
//! - [`create-aws`](https://cloud.google.com/sdk/gcloud/reference/iam/workload-identity-pools/providers/create-aws),
//!   [`update-aws`](https://cloud.google.com/sdk/gcloud/reference/iam/workload-identity-pools/providers/update-aws),
//!   [`add-iam-policy-binding`](https://cloud.google.com/sdk/gcloud/reference/iam/service-accounts/add-iam-policy-binding).

use std::rc::Rc;

use serde_json::{Value, json};

use crate::commands::trust_policy::asking;
use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::config::to_google::{ProofChoice, ToGoogleConfig};
use crate::error::{Error, Result};
use crate::federation::aws_to_google::{AwsToGoogle, aws_role};
use crate::model::{BoxFuture, provider};
use crate::system::http::Http;
use crate::system::input::InputValue;
use crate::system::log::Severity;
use crate::system::shown;
use crate::system::world::World;

/// The role without its session; whoever has no role is who it is.
const ROLE: &str = "assertion.arn.contains('assumed-role') ? assertion.arn.extract('{account_arn}assumed-role/') + \
                    'assumed-role/' + assertion.arn.extract('assumed-role/{role_name}/') : assertion.arn";
/// The longest subject that Google takes.
const LONGEST_SUBJECT: usize = 127;

/// The commands, a line each.
///
/// # Errors
/// A usage error, or why this workload's role is not known.
pub(super) fn commands(options: &Options, world: &Rc<World>, settings: &Settings, as_json: bool) -> Result<String> {
    let named = options.text(world, "aws-role")?;
    let config = ToGoogleConfig::resolve(options, world, false)?;
    let exchange = config.exchange;
    let Some(provider) = provider::provider_in(&exchange.audience).map(str::to_owned) else {
        return Err(Error::usage("the provider's name is none of a workload identity pool").advice(
            "name it with --workload-identity-provider projects/NUMBER/locations/global/workloadIdentityPools/…",
        ));
    };
    if !matches!(exchange.proof, ProofChoice::SignedRequest(_)) {
        return Err(Error::usage("this workload proves itself with a token, and its provider is one for OIDC").advice(
            "its mapping is google.subject=assertion.sub, its issuer the token's; create-aws is for signed requests",
        ));
    }
    let pool = exchange.pool().to_owned();
    let account = exchange.service_account.as_ref().map(|(_, email)| email.clone());
    // A file was written for a provider that is there.
    let verb = if options.value(world, "workload-identity-provider").is_some() { "create-aws" } else { "update-aws" };
    let arn = if let Some(given) = named {
        assumed(&given)?
    } else {
        let way = AwsToGoogle::new(exchange, world.clone(), settings.log);
        let http = Http::new(world).with_deadline(Some(world.deadline(settings.timeout)));
        let question = |http| -> BoxFuture<'_, Result<Value>> {
            let way = &way;
            Box::pin(async move { way.caller_arn(http).await.map(Value::from) })
        };
        let arn = asking::ask(world, settings, &http, &question)?;
        aws_role(arn.as_str().unwrap_or_default()).to_owned()
    };
    let aws_account = arn.split(':').nth(4).unwrap_or_default();
    let mapping = [("google.subject", ROLE), ("attribute.aws_role", ROLE)];
    let condition = format!("attribute.aws_role == '{arn}'");
    let member = provider::member_of_role(&pool, &arn);
    let pairs: Vec<String> = mapping.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let set_up = |verb: &str| {
        format!(
            "gcloud iam workload-identity-pools providers {verb} {provider} --account-id={aws_account} \
             --attribute-mapping=\"{}\" --attribute-condition=\"{condition}\"",
            pairs.join(",")
        )
    };
    let binding = account.map(|email| {
        format!(
            "gcloud iam service-accounts add-iam-policy-binding {email} --role=roles/iam.workloadIdentityUser \
             --member=\"{member}\""
        )
    });
    let say = |message: &str| settings.log.event(world.now(), Severity::Info, message, &[]);
    say(&format!("these commands let {arn} in, and no other identity of the account {aws_account}"));
    let other = if verb == "create-aws" {
        "if the provider is there already, write update-aws"
    } else {
        "if the provider is not there yet, write create-aws"
    };
    say(&format!("{other} in place of {verb}; update-aws replaces the mapping and the condition that it has"));
    if binding.is_none() {
        say(&format!("no service account is named: give the roles that the workload needs to the member {member}"));
    }
    if arn.len() > LONGEST_SUBJECT {
        say(&format!("the subject has {} bytes, and Google takes {LONGEST_SUBJECT}", arn.len()));
    }
    if as_json {
        let mapping: serde_json::Map<_, _> = mapping.iter().map(|(name, it)| ((*name).into(), (*it).into())).collect();
        let json = json!({
            "provider": set_up(verb),
            "binding": binding,
            "aws_role": arn,
            "attribute_mapping": mapping,
            "attribute_condition": condition,
            "member": member,
        });
        return Ok(format!("{json}\n"));
    }
    Ok([Some(set_up(verb)), binding].into_iter().flatten().map(|line| line + "\n").collect())
}

/// The role as Google sees it, of a role's ARN or of that of a session.
fn assumed(given: &InputValue) -> Result<String> {
    let text = given.text()?.trim();
    let bad = |why: &str| {
        given.bad(why).advice("write arn:aws:iam::123456789012:role/NAME, as aws iam get-role --role-name NAME says")
    };
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, service, "", account, resource] = parts[..] else {
        return Err(bad("is no ARN of a role"));
    };
    if !shown::is_arn(text) || account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad("has no account of twelve digits, or holds what no ARN of a role does"));
    }
    let name = match (service, resource.split_once('/')) {
        // A path belongs to a role, and not to its sessions.
        ("iam", Some(("role", path))) => path.rsplit('/').next(),
        ("sts", Some(("assumed-role", rest))) => rest.split('/').next(),
        ("iam", Some(("instance-profile", _))) => {
            return Err(bad("is an instance profile: the role in it is what AWS gives out"));
        }
        _ => None,
    };
    match name.filter(|name| !name.is_empty()) {
        Some(name) => Ok(format!("arn:{partition}:sts::{account}:assumed-role/{name}")),
        None => Err(bad("is no ARN of a role")),
    }
}
