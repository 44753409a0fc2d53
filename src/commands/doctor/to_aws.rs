//! Google → AWS: everything up to the role's credentials, and where they would go.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::agent::survey::{Region, Survey};
use crate::commands::doctor::exchange::{self, length, silent};
use crate::commands::doctor::findings::{Finding, Report};
use crate::commands::doctor::network::{Probed, Server, clock, milliseconds, probe_all};
use crate::commands::doctor::place::Place;
use crate::commands::doctor::{command, delivery, network, options as given};
use crate::config::direction::Direction;
use crate::config::option_table::Cloud;
use crate::config::options::Options;
use crate::config::roles::RoleConfig;
use crate::config::sts::StsConfig;
use crate::config::template::placeholder;
use crate::config::to_aws::{self, Source, ToAwsConfig};
use crate::error::{Error, Result, reasons};
use crate::federation::CredentialsIssuer;
use crate::federation::google_to_aws::{self, Attributes, GoogleToAws};
use crate::model::credentials::{Credentials, Principal};
use crate::model::partition;
use crate::system::world::World;

/// What AWS says where a session shall be longer than the role's may be.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
const TOO_LONG: &str = "MaxSessionDuration";

/// Looks at all of it.
pub async fn examine(report: &mut Report, options: &Options, world: &Rc<World>, is_offline: bool, mut place: Place) {
    let attributes = Attributes::default();
    let needs_attributes = !to_aws::names_a_role(options, world);
    let config = if is_offline && needs_attributes {
        None
    } else {
        let deadline = world.deadline(network::PATIENCE);
        Some(google_to_aws::configure(options, world, Some(deadline), &attributes).await)
    };
    let probed = match &config {
        Some(Ok(config)) if !is_offline => probe_all(servers(config), world).await,
        _ => [None, None, None],
    };
    if let Some(says) = probed.iter().flatten().find_map(Probed::metadata) {
        place.hear(&says);
    }
    let way = Direction::GoogleToAws.described(options, world);
    report.add(&place.finding(Some(Direction::GoogleToAws), &way));
    report.extend(given::findings(options, world, &attributes.take().unwrap_or_default(), Cloud::Aws));
    report.add(&Finding::ok("direction", way));
    let mut config = match config {
        Some(Ok(config)) => config,
        Some(Err(error)) if error.is(&reasons::NO_ROLE) && place.is_on(Cloud::Aws) => {
            let message = "nothing says what is wanted: on AWS an external-account file leads to Google, and no role of AWS's is named \
                           either";
            let remedy = "export GOOGLE_APPLICATION_CREDENTIALS=/path/to/the/file/that/gcloud/wrote.json";
            report.add(&Finding::failure("options", message).remedy(remedy));
            skip(report, &["network", "token", "exchange", "delivery"], "as it is not known what is meant");
            return;
        }
        Some(Err(error)) => {
            report.add(&Finding::error("options", &error));
            skip(report, &["network", "token", "exchange", "delivery"], "as it is not known what is meant");
            return;
        }
        None => {
            let missing =
                "no flag or variable names a role, and a metadata attribute is not asked for without a network";
            report.add(
                &Finding::warning("options", missing).remedy("export FEDBOOT_ROLE_ARN=arn:aws:iam::ACCOUNT:role/NAME"),
            );
            return;
        }
    };
    report.extend(partitions(&config));
    if is_offline {
        skip(report, &["network", "token", "exchange"], "as --offline says");
    } else {
        report.extend(probed.iter().flatten().flat_map(Probed::findings));
        report.extend(clock(probed.iter().flatten()));
        exchange(report, &mut config, &probed, world).await;
    }
    deliver(report, &config, world);
}

fn skip(report: &mut Report, checks: &[&'static str], why: &str) {
    report.extend(checks.iter().map(|check| Finding::skipped(check, why)));
}

/// Who is asked.
fn servers(config: &ToAwsConfig) -> [Option<Server>; 3] {
    let metadata = !matches!(config.source, Source::TokenFile(_));
    let account = match &config.source {
        Source::Impersonate(endpoint, _) => Some(Server::new("IAM Credentials", endpoint.clone())),
        _ => None,
    };
    [
        metadata.then(|| Server::metadata(config.metadata.clone())),
        config.sts_endpoint().ok().map(|endpoint| Server::new("AWS STS", endpoint)),
        account,
    ]
}

/// A role of another partition than the STS that is asked.
fn partitions(config: &ToAwsConfig) -> Option<Finding> {
    let StsConfig::Regional { .. } = config.sts else { return None };
    let region = config.region();
    let wrong = config.roles.iter().find_map(|role| {
        let arn = role.role_arn.expand(placeholder);
        partition::other_partition(&arn, &region).map(|other| (arn, other))
    });
    let (arn, other) = wrong?;
    let message = format!("the region {region} is in the partition {other}, {arn} is not: AWS will refuse");
    Some(Finding::failure("options", message).remedy("name a region of the role's partition with --region"))
}

/// Token and credentials of each role.
async fn exchange(report: &mut Report, config: &mut ToAwsConfig, probed: &[Option<Probed>; 3], world: &Rc<World>) {
    let [metadata, sts, account] = probed.each_ref().map(|one| one.as_ref().is_none_or(Probed::is_reachable));
    if !metadata || !account {
        let missing = if metadata { "IAM Credentials" } else { "the metadata server" };
        skip(report, &["token", "exchange"], &format!("as {missing} cannot be reached"));
        return;
    }
    if !proves(report, config, world).await {
        skip(report, &["exchange"], "as there is no token to exchange");
        return;
    }
    if !sts {
        skip(report, &["exchange"], "as AWS STS cannot be reached");
        return;
    }
    for number in 0..config.roles.len() {
        let started = world.monotonic();
        let finding = match issue(config, number, world).await {
            Ok(credentials) => issued(&credentials, started.elapsed(), world),
            Err(error) if is_too_long(&error) => too_long(config, number, &error, world).await,
            Err(error) => Finding::error("exchange", &error),
        };
        report.add(&finding);
    }
}

/// Whether there is a token that has not ended.
async fn proves(report: &mut Report, config: &ToAwsConfig, world: &Rc<World>) -> bool {
    let Some(role) = config.roles.first() else { return false };
    let claims = match way(config, role, world) {
        Ok(way) => {
            let (deadline, http) = exchange::step(world);
            exchange::within(world, deadline, &|| Box::pin(way.prove(&http))).await
        }
        Err(error) => Err(error),
    };
    let finding = match claims {
        Ok(claims) => {
            let what = match &config.source {
                Source::TokenFile(file) => format!("the ID token in {}", file.shown()),
                Source::Metadata => "the metadata server's ID token".into(),
                Source::Impersonate(_, email) => format!("the ID token of {email}"),
            };
            let remedy = "have whoever writes that file write it anew before its token ends (a projected token: \
                          expirationSeconds), or leave --google-token-file away";
            exchange::token(&what, &claims, world.now(), remedy)
        }
        Err(error) => Finding::error("token", &error),
    };
    report.add(&finding);
    !report.has_failed_in("token")
}

fn way(config: &ToAwsConfig, role: &RoleConfig, world: &Rc<World>) -> Result<GoogleToAws> {
    GoogleToAws::new(config, role, world.clone(), &silent())
}

/// Credentials for role number `number`.
async fn issue(config: &ToAwsConfig, number: usize, world: &Rc<World>) -> Result<Credentials> {
    let role = config.roles.get(number).ok_or_else(|| Error::usage("there is no such role"))?;
    let way = way(config, role, world)?;
    let deadline = world.deadline(exchange::PATIENCE);
    exchange::within(world, deadline, &|| way.issue(Some(deadline))).await
}

fn issued(credentials: &Credentials, took: Duration, world: &World) -> Finding {
    let left = credentials.expiration.duration_since(world.now()).unwrap_or_default();
    let Principal::Role { arn, session_name } = &credentials.principal else {
        return Finding::ok("exchange", "there are credentials");
    };
    let message = format!("AWS gives {arn} as {session_name} for {}, in {}", length(left), milliseconds(took));
    Finding::ok("exchange", message).field("role", arn.as_str()).field("session", session_name.as_str())
}

fn is_too_long(error: &Error) -> bool {
    [&error.problem, &error.answer].into_iter().any(|said| said.contains(TOO_LONG))
}

/// How long the role's sessions may be, found by trying: nothing else that this workload may ask says so.
async fn too_long(config: &mut ToAwsConfig, number: usize, error: &Error, world: &Rc<World>) -> Finding {
    let wanted = config.duration;
    // In hours; a role's longest session is one at least.
    let (mut fits, mut is_more) = (0, wanted.as_secs().div_ceil(3600));
    while is_more.saturating_sub(fits) > 1 {
        let middle = fits.midpoint(is_more);
        config.duration = Duration::from_secs(middle.saturating_mul(3600));
        match issue(config, number, world).await {
            Ok(_) => fits = middle,
            Err(error) if is_too_long(&error) => is_more = middle,
            Err(_) => break,
        }
    }
    config.duration = wanted;
    if fits == 0 {
        return Finding::error("exchange", error);
    }
    let arn = config.roles.get(number).map(|role| role.role_arn.expand(placeholder)).unwrap_or_default();
    let name = arn.rsplit('/').next().unwrap_or_default();
    let message = format!(
        "--duration asks for {}, and the longest session of {arn} is {fits} h, as trying shows",
        length(wanted)
    );
    Finding::failure("exchange", message)
        .remedy(format!("ask for less (--duration {fits}h), or let the role's sessions last longer:"))
        .remedy(format!("aws iam update-role --role-name {name} --max-session-duration {}", wanted.as_secs()))
        .field("longest_seconds", fits.saturating_mul(3600))
}

/// Where credentials would go, and what would be found before them.
fn deliver(report: &mut Report, config: &ToAwsConfig, world: &World) {
    let (file, findings) = delivery::of_aws(&config.delivery, world);
    report.extend(findings);
    let region = Region { name: config.region(), is_said: config.region.is_some() };
    let file = file.unwrap_or_else(|| PathBuf::from("/"));
    let survey = Survey::of(&config.delivery, region, &file, Duration::ZERO, world);
    report.extend(command::what_is_lost(&survey.shadows, world, &[]));
    report.extend(survey.warnings.iter().map(|warning| Finding::warning_with_remedy("command", warning)));
    match survey.plan.foretell() {
        Ok(warnings) => {
            report.extend(warnings.iter().map(|warning| Finding::warning_with_remedy("delivery", warning)));
        }
        Err(error) => report.add(&Finding::error("delivery", &error)),
    }
    report.extend(command::proxies(world));
    report.extend(command::leftovers_of_google(world));
}
