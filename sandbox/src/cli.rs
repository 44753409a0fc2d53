//! argv → what to start.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};
use fedboot_sandbox::{AwsPlace, Builder, Fault, Port, Role, Sandbox, Service, ServiceAccount};

/// Two clouds on loopback that verify what they are sent: a Google metadata server, STS and IAM Credentials; an AWS
/// STS, IMDS, and the endpoints of ECS and EKS Pod Identity. Runs COMMAND between them and ends as it ends; without
/// one, prints the environment as a shell script and stays in the foreground.
#[derive(Parser)]
#[command(name = "fedboot-sandbox", version, args_override_self = true)]
#[command(override_usage = "fedboot-sandbox [OPTIONS] [-- COMMAND [ARG…]]")]
pub struct Options {
    /// Default service account of the instance
    #[arg(long, value_name = "EMAIL")]
    service_account: Option<ServiceAccount>,
    /// An instance without one
    #[arg(long)]
    no_service_account: bool,
    /// An account for which it may mint tokens; repeatable
    #[arg(long, value_name = "EMAIL")]
    impersonable: Vec<ServiceAccount>,
    /// A role that trusts these accounts for sts.amazonaws.com; repeatable
    #[arg(long, value_name = "ARN")]
    role: Vec<String>,
    /// The trust policy (JSON) of the --role before it
    #[arg(long, value_name = "FILE")]
    trust_policy: Vec<String>,
    /// The --role before it trusts this role instead: AssumeRole, for role chaining
    #[arg(long, value_name = "ARN")]
    trusted_role: Vec<String>,
    /// What the --trusted-role before it must say
    #[arg(long, value_name = "ID")]
    external_id: Vec<String>,
    /// COMMAND runs on AWS and asks Google: environment, profile, web-identity (IRSA), ecs, pod-identity, imds
    #[arg(long, value_name = "SOURCE")]
    pub aws: Option<AwsPlace>,
    /// ecs, pod-identity, imds: on 169.254.… and port 80, for a network namespace in which lo has these addresses
    #[arg(long, requires = "aws")]
    real_addresses: bool,
    /// IMDS's answer to PUT gets that far (2); with 1 it never arrives, as in a container
    #[arg(long, value_name = "N")]
    hop_limit: Option<u32>,
    /// IMDS answers without a token, too
    #[arg(long)]
    imdsv1: bool,
    /// AWS STS refuses GetWebIdentityToken
    #[arg(long)]
    no_outbound_federation: bool,
    /// The AWS account that Google's provider takes (123456789012)
    #[arg(long, value_name = "ID")]
    provider_account: Option<String>,
    /// What the providers insist on: "attribute.aws_role == '…'"
    #[arg(long, value_name = "CEL")]
    attribute_condition: Option<String>,
    /// x-goog-cloud-target-resource must be signed, which Google does not insist on
    #[arg(long)]
    signed_target_resource: bool,
    /// principal://… or principalSet://… that may speak for the service account, not the role; repeatable
    #[arg(long, value_name = "WHO")]
    workload_identity_user: Vec<String>,
    /// What Google's access tokens live at most, whatever was asked for
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    access_token_cap: Option<Duration>,
    /// 12 hours may be asked for instead of one
    #[arg(long)]
    lifetime_extension: bool,
    /// Instance metadata attribute; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    attribute: Vec<(String, String)>,
    /// Project metadata attribute; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    project_attribute: Vec<(String, String)>,
    /// AWS_REGION for COMMAND
    #[arg(long)]
    region: Option<String>,
    /// What AWS sessions last, whatever was asked for
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    credential_lifetime: Option<Duration>,
    /// The shortest DurationSeconds that STS accepts (900)
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    min_duration: Option<Duration>,
    /// Puts STS that far away
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub round_trip: Option<Duration>,
    /// What goes wrong, see below; repeatable
    #[arg(long, value_name = "SERVICE:EFFECT…", value_parser = fault)]
    fault: Vec<(Service, Fault)>,
    /// Refuses connections at first
    #[arg(long, value_name = "SERVICE=SECONDS", value_parser = late)]
    refuse_first: Vec<(Service, Duration)>,
    /// Each request as a line of JSON
    #[arg(long, value_name = "FILE")]
    request_log: Option<String>,
    /// metadata, google, google-tls, google-sts, google-sts-tls, sts, sts-tls, imds, container, control
    #[arg(long, value_name = "NAME=NUMBER", value_parser = port)]
    port: Vec<(Port, u16)>,
    /// Says nothing
    #[arg(long)]
    pub quiet: bool,
    #[arg(last = true, hide = true)]
    pub command: Vec<OsString>,
}

const FAULTS: &str = "\
--fault metadata|jwks|iam_credentials|sts|imds|container|google_sts, then one of :pass, :delay=MS, :status=N,
:error=CODE, :cut_body, :close, :hang, :redirect=URL, :garbage, :captive, :drip=MS, :clock_skew=SECONDS,
:wrong_certificate; then ,times=N ,always ,every=N ,delay=MS ,on=ACTION. every=2 hits every second request.";

pub enum Asked {
    Start(Box<(Options, Builder)>),
    Print(String),
}

pub fn read(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<Asked> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let end = arguments.iter().position(|argument| argument == "--");
    ensure!(end.is_none_or(|end| end + 1 < arguments.len()), "a command is wanted after --");
    let matches = match Options::command().after_help(FAULTS).try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(asked) if matches!(asked.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Asked::Print(asked.to_string()));
        }
        Err(why) => {
            let why = why.to_string();
            let parts = why.trim_start_matches("error: ").split("\n\n").filter(|part| !part.starts_with("Usage"));
            bail!("{}", parts.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" "));
        }
    };
    let options = Options::from_arg_matches(&matches)?;
    let builder = options.builder(&matches)?;
    Ok(Asked::Start(Box::new((options, builder))))
}

impl Options {
    fn builder(&self, matches: &ArgMatches) -> anyhow::Result<Builder> {
        let mut builder = Sandbox::builder().settings(|settings| {
            let account = self.service_account.clone().or(settings.service_account.take());
            settings.service_account = account.filter(|_| !self.no_service_account);
            settings.impersonable.clone_from(&self.impersonable);
            settings.imds_hop_limit = self.hop_limit.unwrap_or(settings.imds_hop_limit);
            settings.imdsv1 = self.imdsv1;
            settings.outbound_federation = !self.no_outbound_federation;
            settings.signed_target_resource = self.signed_target_resource;
            settings.access_token_cap = self.access_token_cap;
            settings.lifetime_extension = self.lifetime_extension;
            settings.attributes.extend(self.attribute.iter().cloned());
            settings.project_attributes.extend(self.project_attribute.iter().cloned());
            settings.region = self.region.clone().unwrap_or(std::mem::take(&mut settings.region));
            settings.credential_lifetime = self.credential_lifetime;
            settings.min_duration = self.min_duration.unwrap_or(settings.min_duration);
        });
        if self.real_addresses {
            builder = builder.real_addresses();
        }
        let builder = self.roles(matches)?.into_iter().fold(builder, Builder::role);
        let builder = self.aws.into_iter().fold(builder, Builder::aws);
        let builder = self.provider_account.iter().fold(builder, |builder, id| builder.provider_account(id));
        let builder = self.attribute_condition.iter().fold(builder, |builder, cel| builder.attribute_condition(cel));
        let builder = self.request_log.iter().fold(builder, Builder::request_log);
        let builder = self.workload_identity_user.iter().fold(builder, Builder::workload_identity_user);
        let builder = self.fault.iter().cloned().fold(builder, |builder, (of, fault)| builder.fault(of, fault));
        let builder = self.refuse_first.iter().fold(builder, |builder, (of, time)| builder.refuse_first(*of, *time));
        Ok(self.port.iter().fold(builder, |builder, (port, number)| builder.port(*port, *number)))
    }

    /// The roles, each with what was said of its trust until the next one.
    fn roles(&self, matches: &ArgMatches) -> anyhow::Result<Vec<Role>> {
        let mut said = Vec::new();
        for name in ["role", "trust_policy", "trusted_role", "external_id"] {
            let values = matches.get_many::<String>(name).into_iter().flatten();
            let places = matches.indices_of(name).into_iter().flatten();
            said.extend(places.zip(values).map(|(place, value)| (place, name, value.as_str())));
        }
        said.sort_unstable();
        let mut trusted = self.impersonable.clone();
        trusted.extend(self.service_account.clone().or(fedboot_sandbox::Settings::default().service_account));
        let mut roles: Vec<Role> = Vec::new();
        let mut before = "";
        for (at, (_, name, value)) in said.iter().enumerate() {
            let next = said.get(at + 1).filter(|(_, name, _)| *name == "external_id").map(|(.., id)| *id);
            match (*name, before, roles.last_mut()) {
                ("role", ..) if self.aws.is_some() => {
                    roles.push(Role::for_workload(*value, "system:serviceaccount:default:app"));
                }
                ("role", ..) => roles.push(Role::trusting(*value, &trusted, "sts.amazonaws.com")),
                ("trust_policy", "role", Some(role)) => {
                    let policy = std::fs::read_to_string(value).with_context(|| value.to_string())?;
                    *role = Role::new(role.arn.as_str(), &policy);
                }
                ("trusted_role", "role", Some(role)) => *role = Role::trusting_role(role.arn.as_str(), value, next),
                ("external_id", "trusted_role", _) => {}
                _ => bail!("--{} belongs to the option before it, once; see --help", name.replace('_', "-")),
            }
            before = name;
        }
        Ok(roles)
    }
}

fn pair(text: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = text.split_once('=').context("NAME=VALUE is wanted")?;
    Ok((name.to_string(), value.to_string()))
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

fn milliseconds(text: &str) -> anyhow::Result<Duration> {
    Ok(seconds(text)? / 1000)
}

fn fault(text: &str) -> Result<(Service, Fault), String> {
    Fault::parse(text).map_err(|why| format!("{why:#}"))
}

fn late(text: &str) -> anyhow::Result<(Service, Duration)> {
    let (service, time) = pair(text)?;
    Ok((service.parse()?, seconds(&time)?))
}

fn port(text: &str) -> anyhow::Result<(Port, u16)> {
    let (port, number) = pair(text)?;
    Ok((port.parse()?, number.parse()?))
}
