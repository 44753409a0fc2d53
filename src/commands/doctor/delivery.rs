//! Where credentials would go, and who may read them there.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use crate::commands::doctor::findings::Finding;
use crate::config::delivery::{DeliveryConfig, GoogleDeliveryConfig};
use crate::error::Result;
use crate::model::client::Guests;
use crate::system::private_file::{self, CredentialsPath, Rehearsal};
use crate::system::shown;
use crate::system::world::{self, World};

/// The credentials file that would be chosen, and findings about it and all others.
pub fn of_aws(config: &DeliveryConfig, world: &World) -> (Option<PathBuf>, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut chosen_file = None;
    if config.is_only_environment() {
        findings.push(Finding::ok(
            "delivery",
            "keys in COMMAND's environment alone: whoever may read that may read them, and nothing refreshes them",
        ));
    } else {
        let usual = world.home.as_ref().map(|home| home.join(".aws/credentials"));
        let named: Vec<PathBuf> =
            config.credentials_file.clone().or(usual).into_iter().chain(config.token_file.clone()).collect();
        let tried = private_file::rehearse_with(&named, world, || -> Result<(CredentialsPath, Rehearsal)> {
            let chosen = private_file::choose(config.credentials_file.as_deref(), config.mode, world)?;
            let rehearsal = private_file::rehearse(&chosen.file, config.mode)?;
            Ok((chosen, rehearsal))
        });
        match tried {
            Ok((CredentialsPath { file, warning }, rehearsal)) => {
                findings.extend(warning.map(|warning| {
                    Finding::warning("delivery", warning)
                        .remedy("set HOME to a directory that may be written, or mount a volume there")
                }));
                findings.push(written("the credentials file", &file, &rehearsal));
                chosen_file = Some(file);
            }
            Err(error) => {
                let error = error.or_advice("name another --credentials-file, in a directory that may be written");
                findings.push(Finding::error("delivery", &error));
            }
        }
        if let Some(file) = &config.token_file {
            match private_file::rehearse(file, config.mode) {
                Ok(rehearsal) => findings.push(written("the web identity token file", file, &rehearsal)),
                Err(error) => findings.push(Finding::error("delivery", &error)),
            }
        }
    }
    if config.has_server() {
        findings.push(match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
            Ok(_) => Finding::ok("delivery", "the credentials endpoint, on 127.0.0.1: who knows its secret path may ask, which COMMAND's environment holds"),
            Err(error) => Finding::failure("delivery", format!("the credentials endpoint cannot be on 127.0.0.1: {}", world::plain(&error)))
                .remedy("bring the loopback interface up: ip link set lo up"),
        });
    }
    (chosen_file, findings)
}

/// The same for Google's tokens.
pub fn of_google(config: &GoogleDeliveryConfig, world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(port) = config.metadata_port {
        let who = match config.guests(world.user, false) {
            Guests::Any => "every process of this machine's network may ask".to_owned(),
            Guests::Users(users) | Guests::UsersIfKnowable(users) => {
                let users: Vec<String> = users.iter().map(ToString::to_string).collect();
                format!("processes of user {} may ask", users.join(" and "))
            }
        };
        let address = if port == 0 { "127.0.0.1, at any free port".to_owned() } else { format!("127.0.0.1:{port}") };
        findings.push(match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => Finding::ok("delivery", format!("the metadata server, on {address}: {who}")),
            Err(error) => Finding::failure(
                "delivery",
                format!("the metadata server cannot be on {address}: {}", world::plain(&error)),
            )
            .remedy("is another agent running? Name another --metadata-port"),
        });
    }
    if let Some(named) = &config.access_token_file {
        let tried = private_file::rehearse_with(named.as_slice(), world, || {
            let file = match named {
                Some(file) => file.clone(),
                None => private_file::cache_directory(world)?.join(format!("{}token", private_file::PREFIX)),
            };
            private_file::rehearse(&file, config.mode).map(|rehearsal| (file, rehearsal))
        });
        findings.push(match tried {
            Ok((file, rehearsal)) => written("the access token file", &file, &rehearsal),
            Err(error) => Finding::error("delivery", &error),
        });
    }
    findings
}

/// Who may read a file that could be written.
fn written(what: &str, file: &std::path::Path, rehearsal: &Rehearsal) -> Finding {
    let Rehearsal { directory, directory_access, access, is_in_place } = rehearsal;
    let (owner, mode) = access;
    let mut readers = format!("user {owner} and root");
    if mode & 0o040 != 0 {
        readers += " and its group";
    }
    if mode & 0o004 != 0 {
        readers = "everybody".into();
    }
    let path = shown::path(file);
    let (directory_owner, directory_mode) = directory_access;
    let message = format!(
        "{what} {path} with mode {:04o}: {readers} may read it (its directory {} is of user {directory_owner}, mode {:04o})",
        mode & 0o7777,
        shown::path(directory),
        directory_mode & 0o7777
    );
    let finding = if *is_in_place {
        Finding::warning(
            "delivery",
            format!("{message}; it cannot be replaced and is written in place, where a reader may see it half-written"),
        )
        .remedy("mount the directory, not the file")
    } else {
        Finding::ok("delivery", message)
    };
    finding.field("file", path).field("mode", format!("{:04o}", mode & 0o7777)).field("owner", *owner)
}
