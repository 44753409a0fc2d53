//! Role ARNs and session names with placeholders, so that one image serves every team: `{service_account}` and its
//! like, filled from the token's claims or the metadata server.

use crate::error::{Error, Result};
use crate::model::fact::Fact;
use crate::system::{input, shown};

/// The placeholders as a message lists them.
const KNOWN: &str =
    "{service_account}, {service_account_email}, {project}, {hostname}, {instance_name}, {attribute:NAME}";

const NAMES: &[&str] = &["service_account", "service_account_email", "project", "hostname", "instance_name"];

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Placeholder(Fact),
}

impl Template {
    /// Parses `text`, which was said by `origin`.
    ///
    /// # Errors
    /// A usage error that names an unknown placeholder or a brace without its twin.
    pub fn parse(origin: &str, text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let unbalanced = || Error::usage(format!("{origin} has a brace without its twin"));
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(['{', '}']) {
            let is_open = rest.get(before.len()..).is_some_and(|rest| rest.starts_with('{'));
            let (name, behind) = after.split_once('}').filter(|_| is_open).ok_or_else(unbalanced)?;
            if !before.is_empty() {
                parts.push(Part::Literal(before.into()));
            }
            parts.push(Part::Placeholder(fact(origin, name)?));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.into()));
        }
        Ok(Self(parts))
    }

    /// The facts it needs.
    pub fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.0.iter().filter_map(|part| match part {
            Part::Placeholder(fact) => Some(fact),
            Part::Literal(_) => None,
        })
    }

    /// The text, if it has no placeholder.
    pub fn literal(&self) -> Option<String> {
        self.facts().next().is_none().then(|| self.expand(|_| String::new()))
    }

    /// The text with `value` in each placeholder's place.
    pub fn expand(&self, value: impl Fn(&Fact) -> String) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text.clone(),
                Part::Placeholder(fact) => value(fact),
            })
            .collect()
    }
}

/// The placeholder that stands for `fact`.
pub fn placeholder(fact: &Fact) -> String {
    match fact {
        Fact::ServiceAccount => "{service_account}".into(),
        Fact::ServiceAccountEmail => "{service_account_email}".into(),
        Fact::Project => "{project}".into(),
        Fact::Hostname => "{hostname}".into(),
        Fact::InstanceName => "{instance_name}".into(),
        Fact::Attribute(name) => format!("{{attribute:{name}}}"),
    }
}

fn fact(origin: &str, name: &str) -> Result<Fact> {
    Ok(match name {
        "service_account" => Fact::ServiceAccount,
        "service_account_email" => Fact::ServiceAccountEmail,
        "project" => Fact::Project,
        "hostname" => Fact::Hostname,
        "instance_name" => Fact::InstanceName,
        _ => match name.strip_prefix("attribute:") {
            Some(attribute) if is_attribute(attribute) => Fact::Attribute(attribute.into()),
            _ => {
                let meant = input::closest(NAMES.iter().copied(), name);
                let meant = meant.map(|name| format!("did you mean {{{name}}}? ")).unwrap_or_default();
                return Err(Error::usage(format!("{origin} has an unknown placeholder"))
                    .advice(format!("{meant}the placeholders are {KNOWN}")));
            }
        },
    })
}

/// <https://cloud.google.com/compute/docs/metadata/setting-custom-metadata#limitations>
fn is_attribute(name: &str) -> bool {
    let is_ordinary = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    (1..=128).contains(&name.len()) && is_ordinary && !shown::is_opaque(name)
}
