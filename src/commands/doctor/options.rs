//! Which options count, and who says so. A value is shown once it was recognised as what it should be; a secret never.

use std::collections::HashMap;

use crate::commands::doctor::findings::Finding;
use crate::config::option_table::{Cloud, Group, OPTIONS, Opt, RUN};
use crate::config::options::Options;
use crate::config::template::{Template, placeholder};
use crate::config::to_aws;
use crate::config::values::parse_duration;
use crate::exchange::sts::hosts;
use crate::model::partition;
use crate::model::provider::provider_in;
use crate::system::input::InputValue;
use crate::system::shown;
use crate::system::world::World;

/// What people call things, with letters and digits.
const NAMES: &[&str] = &["role-session-name", "audience", "aws-profile", "project", "scope"];
/// What only those may know who trust.
const SECRETS: &[&str] = &["external-id", "source-identity", "session-tag", "require"];

/// A finding for each option that is given, and one for all others, on the way to `cloud`.
pub fn findings(options: &Options, world: &World, attributes: &HashMap<String, String>, cloud: Cloud) -> Vec<Finding> {
    let counts = |option: &&Opt| {
        let is_of_way = [cloud, Cloud::Either].contains(&option.cloud);
        option.verbs & RUN != 0 && is_of_way && option.group != Group::Logging
    };
    let mut findings = Vec::new();
    let mut by_default = Vec::new();
    for option in OPTIONS.iter().filter(counts) {
        let given = given(option, options, world, attributes);
        if given.is_empty() && !["", "required"].contains(&option.default) {
            by_default.push(format!("--{} ({})", option.name, option.default));
        }
        for value in given {
            let text = value_shown(option, &value, world);
            findings.push(
                Finding::ok("options", format!("--{} is {text}, by {}", option.name, value.origin()))
                    .field("option", option.name)
                    .field("value", text)
                    .field("origin", value.origin()),
            );
        }
    }
    if !by_default.is_empty() {
        findings.push(Finding::ok("options", format!("by default: {}", by_default.join(", "))));
    }
    findings
}

/// The values of an option: by flag, variable, or attribute.
fn given(option: &Opt, options: &Options, world: &World, attributes: &HashMap<String, String>) -> Vec<InputValue> {
    let given = if option.repeatable {
        options.texts(world, option.name).unwrap_or_default()
    } else {
        options.value(world, option.name).into_iter().collect()
    };
    if given.is_empty() { to_aws::attribute(option.name, attributes).into_iter().collect() } else { given }
}

/// A value as it may be shown.
fn value_shown(option: &Opt, value: &InputValue, world: &World) -> String {
    if SECRETS.contains(&option.name) {
        return "given and not shown".into();
    }
    let Ok(text) = value.text() else { return "a value that is not UTF-8".into() };
    let is_shown = match option.value {
        "FILE" => return value.clone().file(world).shown(),
        "URL" => return shown::url(text),
        "[PROFILE=]ARN" | "ARN" => is_arn(text),
        "EMAIL" => shown::is_email(text),
        "TIME" => parse_duration(value).is_ok(),
        "REGION" => hosts::regional_url(partition::region_of(text).0, false, false).is_ok(),
        "USER[:GID]" | "MODE" | "PORT" | "UID,…|any" => {
            text.bytes().all(|b| b.is_ascii_digit() || b",:".contains(&b))
        }
        "" => ["1", "true", "yes", "on", "0", "false", "no", "off"].contains(&text.to_lowercase().as_str()),
        _ if option.name == "workload-identity-provider" => is_provider(text),
        _ if NAMES.contains(&option.name) => return name_shown(text),
        _ => text.split(',').all(|word| is_word_of(option, word.trim())),
    };
    if is_shown { text.into() } else { shown::value(text) }
}

/// A provider by its name, with or without the service's before it.
fn is_provider(text: &str) -> bool {
    let path = text.trim_start_matches("https:").trim_start_matches("//iam.googleapis.com/");
    provider_in(&format!("//iam.googleapis.com/{path}")).is_some()
}

/// A name, in which facts may be asked for.
fn name_shown(text: &str) -> String {
    match Template::parse("", text) {
        Ok(template) if template.literal().is_none() => {
            let rest = template.expand(|_| String::new());
            if rest.is_empty() || shown::name(&rest) == rest { text.into() } else { shown::value(text) }
        }
        _ => shown::name(text),
    }
}

fn is_arn(text: &str) -> bool {
    let arn = match text.split_once('=') {
        Some((profile, arn)) if !profile.contains(':') && shown::name(profile) == profile => arn,
        _ => text,
    };
    let facts_apart = |template: Template| template.expand(|fact| placeholder(fact).replace(['{', '}', ':'], ""));
    Template::parse("", arn).is_ok_and(|template| shown::is_arn(&facts_apart(template)))
}

/// Whether the help of an option knows this word.
fn is_word_of(option: &Opt, word: &str) -> bool {
    let is_end = |c: char| !c.is_ascii_lowercase() && c != '-';
    let known = option.help.split(is_end).chain(option.value.split(is_end)).chain(option.default.split(is_end));
    word.len() > 2 && known.into_iter().any(|known| known == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::option_table;

    #[test]
    fn values() {
        let world = World::imagined(&[], || unreachable!());
        for (name, value, shown) in [
            ("role-arn", "arn:aws:iam::123456789012:role/a", "arn:aws:iam::123456789012:role/a"),
            ("role-arn", "p=arn:aws:iam::1:role/{service_account}", "p=arn:aws:iam::1:role/{service_account}"),
            ("role-arn", "hunter2", "a value of 7 characters"),
            ("role-session-name", "job-{hostname}", "job-{hostname}"),
            ("region", "eu-west-1", "eu-west-1"),
            ("region", "hunter2", "a value of 7 characters"),
            ("duration", "12h", "12h"),
            ("duration", "hunter2", "a value of 7 characters"),
            ("delivery", "file, endpoint", "file, endpoint"),
            ("delivery", "hunter2", "a value of 7 characters"),
            ("identity", "web-identity", "web-identity"),
            ("on-failure", "run", "run"),
            ("on-failure", "hunter2", "a value of 7 characters"),
            ("external-id", "hunter2", "given and not shown"),
            ("file-mode", "0640", "0640"),
            ("no-refresh", "true", "true"),
            ("no-refresh", "hunter2", "a value of 7 characters"),
            ("sts-endpoint", "https://u:hunter2@host/", "https://host/"),
            ("impersonate-service-account", "a@b.iam.gserviceaccount.com", "a@b.iam.gserviceaccount.com"),
        ] {
            let option = option_table::option(name).expect(name);
            assert_eq!(value_shown(option, &InputValue::new("x", value), &world), shown, "{name} {value}");
        }
    }
}
