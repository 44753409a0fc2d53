//! Role ARNs and session names with placeholders, so that one image serves every team: `{service_account}` and its
//! like, filled from the token's claims or the metadata server.

use crate::error::{Error, Result};
use crate::flow::Fact;

/// The placeholders as a message lists them.
const KNOWN: &str =
    "{service_account}, {service_account_email}, {project}, {hostname}, {instance_name}, {attribute:NAME}";

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Placeholder(Fact),
}

impl Template {
    /// Parses `text`, the value of `option`.
    ///
    /// # Errors
    /// A usage error that names an unknown placeholder or a brace without its twin.
    pub fn parse(option: &str, text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let unbalanced = || Error::usage(format!("--{option} {text:?} has a brace without its twin"));
            let after = rest[open..].strip_prefix('{').ok_or_else(unbalanced)?;
            let close = after.find('}').ok_or_else(unbalanced)?;
            if open > 0 {
                parts.push(Part::Literal(rest[..open].into()));
            }
            parts.push(Part::Placeholder(fact(option, &after[..close])?));
            rest = &after[close + 1..];
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

fn fact(option: &str, name: &str) -> Result<Fact> {
    Ok(match name {
        "service_account" => Fact::ServiceAccount,
        "service_account_email" => Fact::ServiceAccountEmail,
        "project" => Fact::Project,
        "hostname" => Fact::Hostname,
        "instance_name" => Fact::InstanceName,
        _ => match name.strip_prefix("attribute:") {
            Some(attribute) if !attribute.is_empty() => Fact::Attribute(attribute.into()),
            _ => {
                return Err(Error::usage(format!("--{option} has the unknown placeholder {{{name}}}"))
                    .advice(format!("the placeholders are {KNOWN}")));
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands() {
        let template = Template::parse("role-arn", "arn:{project}:{attribute:team}{hostname}").expect("a template");
        assert_eq!(template.facts().count(), 3);
        assert_eq!(template.literal(), None);
        assert_eq!(
            template.expand(|fact| placeholder(fact).to_uppercase()),
            "arn:{PROJECT}:{ATTRIBUTE:TEAM}{HOSTNAME}"
        );
        assert_eq!(Template::parse("role-arn", "plain").expect("a template").literal().as_deref(), Some("plain"));
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, part) in [
            ("{nope}", "{nope}"),
            ("{attribute:}", "{attribute:}"),
            ("a{project", "twin"),
            ("a}b", "twin"),
            ("{}", "{}"),
        ] {
            let error = Template::parse("role-arn", text).expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
