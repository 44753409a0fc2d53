//! AWS → Google: everything up to an access token, and where it would be handed out.

use std::rc::Rc;
use std::time::Duration;

use crate::agent::survey::shadows_of_google;
use crate::commands::doctor::exchange::{self, length, silent};
use crate::commands::doctor::findings::{Finding, Report};
use crate::commands::doctor::network::{Probed, Server, clock, milliseconds, probe_all};
use crate::commands::doctor::place::Place;
use crate::commands::doctor::{command, delivery, network, options as given};
use crate::config::direction::Direction;
use crate::config::option_table::Cloud;
use crate::config::options::Options;
use crate::config::to_google::{ProofChoice, ToGoogleConfig};
use crate::error::Error;
use crate::federation::TokenIssuer;
use crate::federation::aws_to_google::AwsToGoogle;
use crate::model::request::TokenRequest;
use crate::system::http::Http;
use crate::system::world::World;

/// Looks at all of it.
pub async fn examine(report: &mut Report, options: &Options, world: &Rc<World>, is_offline: bool, place: &Place) {
    let way = Direction::AwsToGoogle.described(options, world);
    report.add(&place.finding(Some(Direction::AwsToGoogle), &way));
    report.extend(given::findings(options, world, &std::collections::HashMap::new(), Cloud::Google));
    report.add(&Finding::ok("direction", way));
    let config = match ToGoogleConfig::resolve(options, world, false) {
        Ok(config) => config,
        Err(error) => {
            report.add(&Finding::error("options", &named(error, options, world)));
            skip(report, &["network", "identity", "exchange", "delivery"], "as it is not known what is meant");
            return;
        }
    };
    if is_offline {
        skip(report, &["network", "identity", "exchange"], "as --offline says");
    } else {
        let way = AwsToGoogle::new(config.exchange.clone(), world.clone(), silent());
        let probed = probe_all(servers(&config, &way, world).await, world).await;
        report.extend(probed.iter().flatten().flat_map(Probed::findings));
        report.extend(clock(probed.iter().flatten()));
        let reachable = probed.each_ref().map(|one| one.as_ref().is_none_or(Probed::is_reachable));
        exchange(report, &config, &way, reachable, world).await;
    }
    report.extend(delivery::of_google(&config.delivery, world));
    let (shadows, warnings) = shadows_of_google(&config, world);
    report.extend(command::what_is_lost(&shadows, world, &["GOOGLE_APPLICATION_CREDENTIALS"]));
    report.extend(warnings.iter().map(|warning| Finding::warning_with_remedy("command", warning)));
    if config.delivery.metadata_port.is_some() {
        report.extend(command::proxies(world));
    }
}

fn skip(report: &mut Report, checks: &[&'static str], why: &str) {
    report.extend(checks.iter().map(|check| Finding::skipped(check, why)));
}

/// The error with who has named the file that it is about, if it is about that.
fn named(error: Error, options: &Options, world: &World) -> Error {
    let given = options.value(world, "external-account");
    let Some((origin, file)) = given.map(|given| (given.origin().to_owned(), given.file(world))) else { return error };
    let is_about = error.problem.starts_with(&file.shown());
    if is_about { Error { problem: format!("{origin} names {}", error.problem), ..error } } else { error }
}

/// Whether the proof is made with AWS keys.
fn signs(config: &ToGoogleConfig) -> bool {
    matches!(config.exchange.proof, ProofChoice::SignedRequest(_) | ProofChoice::WebIdentityToken(_))
}

/// Who is asked: AWS's STS only where something is needed of it.
async fn servers(config: &ToGoogleConfig, way: &AwsToGoogle, world: &World) -> [Option<Server>; 3] {
    let is_token = matches!(config.exchange.proof, ProofChoice::WebIdentityToken(_));
    let assumes = config.exchange.aws.role_arn.is_some() || world.variable("AWS_WEB_IDENTITY_TOKEN_FILE").is_some();
    let sts = if is_token || signs(config) && assumes {
        let http = Http::new(world).with_deadline(Some(world.deadline(network::PATIENCE)));
        way.signer().sts_endpoint(&http).await.ok()
    } else {
        None
    };
    let account = config.exchange.service_account.as_ref();
    [
        sts.map(|endpoint| Server::new("AWS STS", endpoint)),
        Some(Server::new("Google STS", config.exchange.sts.0.clone())),
        account.map(|(endpoint, _)| Server::new("IAM Credentials", endpoint.clone())),
    ]
}

/// Who this is on AWS, and what Google gives for it.
async fn exchange(
    report: &mut Report,
    config: &ToGoogleConfig,
    way: &AwsToGoogle,
    [sts, google, account]: [bool; 3],
    world: &World,
) {
    if !sts {
        skip(report, &["identity", "exchange"], "as AWS STS cannot be reached");
        return;
    }
    if !is_somebody(report, config, way, world).await {
        skip(report, &["exchange"], "as there is nothing to show to Google");
        return;
    }
    if !google {
        skip(report, &["exchange"], "as Google STS cannot be reached");
        return;
    }
    let has_account = config.exchange.service_account.is_some();
    let (deadline, http) = exchange::step(world);
    let request = TokenRequest::AccessToken(config.exchange.scopes.clone());
    if has_account {
        let started = world.monotonic();
        match exchange::within(world, deadline, &|| Box::pin(way.federate(&http))).await {
            Ok(_) => {
                let took = milliseconds(started.elapsed());
                report.add(&Finding::ok(
                    "exchange",
                    format!("Google STS takes the proof for {}, in {took}", config.exchange.pool()),
                ));
            }
            Err(error) => {
                report.add(&Finding::error("exchange", &error));
                skip(report, &["exchange"], "as there is no token to be the service account with");
                return;
            }
        }
        if !account {
            skip(report, &["exchange"], "as IAM Credentials cannot be reached");
            return;
        }
    }
    let started = world.monotonic();
    let (deadline, http) = exchange::step(world);
    report.add(&match exchange::within(world, deadline, &|| way.mint(&http, &request)).await {
        Ok(credentials) => {
            let left = credentials.expiration.duration_since(world.now()).unwrap_or_default();
            let (who, took) = (config.exchange.principal(), milliseconds(started.elapsed()));
            Finding::ok("exchange", format!("Google gives an access token of {who} for {}, in {took}", length(left)))
                .field("principal", who)
        }
        Err(error) => Finding::error("exchange", &error),
    });
}

/// Whether there is a proof of who this is, and whose.
async fn is_somebody(report: &mut Report, config: &ToGoogleConfig, way: &AwsToGoogle, world: &World) -> bool {
    if signs(config) {
        let started = world.monotonic();
        let (deadline, http) = exchange::step(world);
        let finding = match exchange::within(world, deadline, &|| Box::pin(way.caller(&http))).await {
            Ok(arn) => identity(way, arn.as_deref(), started.elapsed()),
            Err(error) => Finding::error("identity", &error),
        };
        report.add(&finding);
        if report.has_failed_in("identity") {
            return false;
        }
        report.extend(long_term_keys(way, world));
    }
    if matches!(config.exchange.proof, ProofChoice::SignedRequest(_)) {
        return true;
    }
    let (deadline, http) = exchange::step(world);
    let finding = match exchange::within(world, deadline, &|| Box::pin(way.claims(&http))).await {
        Ok(claims) => {
            let what = match &config.exchange.proof {
                ProofChoice::File(file, ..) => format!("the subject token in {}", file.shown()),
                ProofChoice::Url(..) => "the subject token of \"credential_source.url\"".into(),
                _ => "AWS's web identity token".into(),
            };
            let remedy = "have whoever hands it out renew it before it ends (a projected token: expirationSeconds)";
            exchange::token(&what, &claims.unwrap_or_default(), world.now(), remedy)
        }
        Err(error) => Finding::error("token", &error),
    };
    report.add(&finding);
    !report.has_failed_in("token")
}

/// Who signs, and where that was found.
fn identity(way: &AwsToGoogle, arn: Option<&str>, took: Duration) -> Finding {
    let (source, is_of_node) = way.signer().source();
    let who = arn.unwrap_or("an identity of which AWS STS says no more");
    let message = format!("on AWS this is {who}, found in {source}, in {}", milliseconds(took));
    let finding = if is_of_node {
        Finding::warning("identity", format!("{message}: this container has no role of its own and acts as its node's, as every other one there"))
            .remedy("give the task a task role (taskRoleArn), or the pod an association or an annotation; if the node's is meant:")
            .remedy("export FEDBOOT_IDENTITY=imds")
    } else {
        Finding::ok("identity", message)
    };
    finding.field("source", source).field("arn", arn)
}

/// Keys that last until somebody takes them away, where the workload might have a role.
fn long_term_keys(way: &AwsToGoogle, world: &World) -> Option<Finding> {
    let is_user =
        way.signer().source().0 == "environment" && world.text_variable("AWS_ACCESS_KEY_ID")?.starts_with("AKIA");
    is_user.then(|| {
        Finding::warning("identity", "AWS_ACCESS_KEY_ID is a user's key, which lasts until somebody takes it away, and it is found before any role")
            .remedy("give the workload a role, and take the keys away: unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY")
    })
}
