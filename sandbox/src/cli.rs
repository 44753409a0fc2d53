//! argv → what to start.

use std::ffi::OsString;
use std::time::Duration;

use fedboot_sandbox::{AwsPlace, Builder, Fault, Port, Role, Sandbox, ServiceAccount};
use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;

const HELP: &str = "\
Two clouds on loopback that verify what they are sent: a Google metadata server, STS and IAM Credentials; an AWS STS,
IMDS, and the endpoints of ECS and EKS Pod Identity.

fedboot-sandbox [OPTIONS] -- COMMAND [ARG…]   run COMMAND between them, end as it ends
fedboot-sandbox [OPTIONS]                     print `export` lines and stay in the foreground

  --service-account EMAIL        default service account of the instance
  --no-service-account           an instance without one
  --impersonable EMAIL           an account for which it may mint tokens; repeatable
  --role ARN                     a role that trusts these accounts for sts.amazonaws.com; repeatable
  --trust-policy FILE            the trust policy (JSON) of the --role before it
  --trusted-role ARN             the --role before it trusts this role instead: AssumeRole, for role chaining
  --external-id ID               what the --trusted-role before it must say
  --aws SOURCE                   COMMAND runs on AWS and asks Google; its credentials are in the environment, in a
                                 profile, or come from web-identity (IRSA), ecs, pod-identity or imds
  --real-addresses               ecs, pod-identity, imds: on 169.254.… and port 80, as on AWS; for a network namespace
                                 in which lo has these addresses
  --hop-limit N                  IMDS's answer to PUT gets that far; with 1 it never arrives, as in a container (2)
  --imdsv1                       IMDS answers without a token, too
  --no-outbound-federation       AWS STS refuses GetWebIdentityToken
  --provider-account ID          the AWS account that Google's provider takes (123456789012)
  --attribute-condition CEL      what the providers insist on: \"attribute.aws_role == '…'\"
  --signed-target-resource       x-goog-cloud-target-resource must be signed, which Google does not insist on
  --workload-identity-user WHO   principal://… or principalSet://… that may speak for the service account, instead of
                                 the role; repeatable
  --access-token-cap SECONDS     what Google's access tokens live at most, whatever was asked for
  --lifetime-extension           12 hours may be asked for instead of one
  --attribute NAME=VALUE         instance metadata attribute; repeatable
  --project-attribute NAME=VALUE project metadata attribute; repeatable
  --region REGION                AWS_REGION for COMMAND
  --credential-lifetime SECONDS  what AWS sessions last, whatever was asked for
  --min-duration SECONDS         the shortest DurationSeconds that STS accepts (900)
  --round-trip MS                puts STS that far away
  --fault SERVICE:EFFECT…        metadata|jwks|iam_credentials|sts|imds|container|google_sts, with one of pass,
                                 delay=MS, status=N, error=CODE, cut_body, close, hang, redirect=URL, garbage,
                                 captive, drip=MS, clock_skew=SECONDS, wrong_certificate; then ,times=N ,always
                                 ,every=N ,delay=MS ,on=ACTION; every=2 hits every second request; repeatable
  --refuse-first SERVICE=SECONDS refuses connections at first
  --request-log FILE             each request as a line of JSON
  --port NAME=NUMBER             fixed port: metadata, google, google-tls, google-sts, google-sts-tls, sts, sts-tls,
                                 imds, container, control
  --quiet                        says nothing
  --help, --version
";

/// Whom a role trusts.
enum Trust {
    Accounts,
    Policy(String),
    Role { arn: String, external_id: Option<String> },
}

pub struct Options {
    pub builder: Builder,
    pub command: Vec<OsString>,
    pub aws: Option<AwsPlace>,
    pub round_trip: Option<Duration>,
    pub quiet: bool,
}

pub enum Asked {
    Start(Box<Options>),
    Print(String),
}

pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    // Everything after the first `--` belongs to the command, whatever it looks like.
    let mut own: Vec<OsString> = arguments.into_iter().collect();
    let command = match own.iter().position(|argument| argument == "--") {
        Some(at) => {
            let command = own.split_off(at + 1);
            own.pop();
            if command.is_empty() {
                return Err("a command is wanted after --".into());
            }
            command
        }
        None => Vec::new(),
    };
    let mut parser = lexopt::Parser::from_iter(own);
    let mut builder = Sandbox::builder();
    let (mut account, mut impersonable) = (None, Vec::new());
    let mut roles: Vec<(String, Trust)> = Vec::new();
    let (mut round_trip, mut quiet) = (None, false);
    let (mut aws, mut real_addresses) = (None, false);
    while let Some(argument) = parser.next().map_err(|e| e.to_string())? {
        let name = match argument {
            Long(name) => name.to_string(),
            Short('h') => "help".into(),
            Short('V') => "version".into(),
            Short(other) => return Err(format!("no option -{other}; see --help")),
            Value(value) => {
                let value = value.display();
                return Err(format!("\"{value}\" stands alone; a command goes after --"));
            }
        };
        let mut text = || -> Result<String, String> {
            let value = parser.value().map_err(|e| e.to_string())?;
            value.string().map_err(|e| format!("--{name}: {e}"))
        };
        builder = match name.as_str() {
            "help" => return Ok(Asked::Print(HELP.into())),
            "version" => {
                let version = env!("CARGO_PKG_VERSION");
                return Ok(Asked::Print(format!("fedboot-sandbox {version}\n")));
            }
            "service-account" => {
                let email = ServiceAccount::new(text()?);
                account = Some(email.clone());
                builder.service_account(email)
            }
            "no-service-account" => builder.no_service_account(),
            "impersonable" => {
                let target = ServiceAccount::new(text()?);
                impersonable.push(target.clone());
                builder.impersonable(target)
            }
            "role" => {
                roles.push((text()?, Trust::Accounts));
                builder
            }
            "trust-policy" => {
                let file = text()?;
                let policy = std::fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
                *trust_of_last(&mut roles, &name)? = Trust::Policy(policy);
                builder
            }
            "trusted-role" => {
                *trust_of_last(&mut roles, &name)? = Trust::Role { arn: text()?, external_id: None };
                builder
            }
            "external-id" => {
                let Some((_, Trust::Role { external_id, .. })) = roles.last_mut() else {
                    return Err("--external-id belongs to the --trusted-role before it".into());
                };
                *external_id = Some(text()?);
                builder
            }
            "aws" => {
                let place: AwsPlace = text()?.parse()?;
                aws = Some(place);
                builder.aws(place)
            }
            "real-addresses" => {
                real_addresses = true;
                builder.real_addresses()
            }
            "imdsv1" => builder.settings(|settings| settings.imdsv1 = true),
            "hop-limit" => {
                let limit = text()?;
                let limit = limit.parse().map_err(|_| format!("--hop-limit wants a number, not \"{limit}\""))?;
                builder.settings(|settings| settings.imds_hop_limit = limit)
            }
            "no-outbound-federation" => builder.settings(|settings| settings.outbound_federation = false),
            "provider-account" => builder.provider_account(&text()?),
            "attribute-condition" => builder.attribute_condition(&text()?),
            "signed-target-resource" => builder.settings(|settings| settings.signed_target_resource = true),
            "workload-identity-user" => builder.workload_identity_user(text()?),
            "access-token-cap" => builder.access_token_cap(seconds(&name, &text()?, 1.0)?),
            "lifetime-extension" => builder.settings(|settings| settings.lifetime_extension = true),
            "attribute" => {
                let (key, value) = pair(&name, &text()?)?;
                builder.attribute(key, value)
            }
            "project-attribute" => {
                let (key, value) = pair(&name, &text()?)?;
                builder.project_attribute(key, value)
            }
            "region" => {
                let region = text()?;
                builder.settings(|settings| settings.region = region)
            }
            "credential-lifetime" => builder.credential_lifetime(seconds(&name, &text()?, 1.0)?),
            "min-duration" => builder.min_duration(seconds(&name, &text()?, 1.0)?),
            "round-trip" => {
                round_trip = Some(seconds(&name, &text()?, 1e-3)?);
                builder
            }
            "fault" => {
                let (service, fault) = Fault::parse(&text()?)?;
                builder.fault(service, fault)
            }
            "refuse-first" => {
                let (service, time) = pair(&name, &text()?)?;
                builder.refuse_first(service.parse()?, seconds(&name, &time, 1.0)?)
            }
            "request-log" => builder.request_log(text()?),
            "port" => {
                let (key, number) = pair(&name, &text()?)?;
                let number = number.parse().map_err(|_| format!("--port {key}: no port \"{number}\""))?;
                builder.port(port(&key)?, number)
            }
            "quiet" => {
                quiet = true;
                builder
            }
            _ => return Err(format!("no option --{name}; see --help")),
        };
    }
    if real_addresses && aws.is_none() {
        return Err("--real-addresses belongs to --aws".into());
    }
    let mut trusted = impersonable;
    trusted.extend(account.or(fedboot_sandbox::Settings::default().service_account));
    for (arn, trust) in roles {
        builder = builder.role(match trust {
            Trust::Accounts if aws.is_some() => Role::for_workload(arn, "system:serviceaccount:default:app"),
            Trust::Accounts => Role::trusting(arn, &trusted, "sts.amazonaws.com"),
            Trust::Policy(policy) => Role::new(arn, &policy),
            Trust::Role { arn: other, external_id } => Role::trusting_role(arn, &other, external_id.as_deref()),
        });
    }
    Ok(Asked::Start(Box::new(Options { builder, command, aws, round_trip, quiet })))
}

/// The trust of the role named last, which so far has the usual one.
fn trust_of_last<'a>(roles: &'a mut [(String, Trust)], option: &str) -> Result<&'a mut Trust, String> {
    match roles.last_mut() {
        Some((_, trust @ Trust::Accounts)) => Ok(trust),
        Some((arn, _)) => Err(format!("--{option}: what {arn} trusts is said already")),
        None => Err(format!("--{option} belongs to the --role before it")),
    }
}

fn pair(option: &str, text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("--{option} wants NAME=VALUE, not \"{text}\""))?;
    Ok((name.to_string(), value.to_string()))
}

fn seconds(option: &str, text: &str, unit: f64) -> Result<Duration, String> {
    let number: Option<f64> = text.parse().ok();
    number
        .and_then(|number| Duration::try_from_secs_f64(number * unit).ok())
        .ok_or_else(|| format!("--{option} wants a number, not \"{text}\""))
}

fn port(name: &str) -> Result<Port, String> {
    Port::ALL.into_iter().find(|port| port.name() == name).ok_or_else(|| format!("--port: no port is named \"{name}\""))
}
