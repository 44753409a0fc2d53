//! Which roles, for which profiles, on which terms: the part of the configuration that may be said more than once.

use std::path::Path;

use crate::cli::Options;
use crate::delivery_choice::{DeliveryChoice, check_profile};
use crate::error::{Error, Result};
use crate::exchange::assume_role::Terms;
use crate::exchange::sts_hosts;
use crate::template::Template;
use crate::world::{self, World};

/// One role, and perhaps another one that is assumed with its credentials.
#[derive(Debug, PartialEq, Eq)]
pub struct RoleChoice {
    /// The profile of a further role.
    pub profile: Option<String>,
    /// The role.
    pub role_arn: Template,
    /// The second role.
    pub then_role_arn: Option<Template>,
    /// Whether the command waits for it.
    pub required: bool,
}

/// `arn:…` or `PROFILE=arn:…`. The names of roles may hold `=` too.
fn profile_and_arn(option: &str, text: &str) -> Result<(Option<String>, Template)> {
    let (profile, arn) = match text.split_once('=') {
        Some((profile, arn)) if !profile.contains(':') => (Some(check_profile(option, profile)?), arn),
        _ => (None, text),
    };
    let arn = Template::parse(option, arn)?;
    if let Some(arn) = arn.literal() {
        sts_hosts::check_role_arn(option, &arn)?;
    }
    Ok((profile, arn))
}

/// The roles with what belongs to each. A first one with a profile has its credentials delivered there.
///
/// # Errors
/// A usage error that names the option and what is wrong with it.
pub fn roles(
    arns: &[String],
    options: &Options,
    world: &World,
    delivery: &mut DeliveryChoice,
) -> Result<Vec<RoleChoice>> {
    let mut required: Vec<_> = options.text(world, "require")?.into_iter().collect();
    required = required.iter().flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).collect();
    let mut roles: Vec<RoleChoice> = Vec::new();
    for text in arns {
        let (profile, role_arn) = profile_and_arn("role-arn", text)?;
        let first = roles.is_empty();
        if let (true, Some(profile)) = (first, &profile) {
            delivery.name_profile(profile)?;
        }
        if !first && profile.is_none() {
            return Err(Error::usage(format!("--role-arn {text:?} is a further role and needs a profile"))
                .advice(format!("write --role-arn PROFILE={text}")));
        }
        let taken = [&delivery.profile, &delivery.keys_section].into_iter().flatten().filter(|_| !first);
        if let Some(name) = profile.iter().find(|name| {
            taken.clone().any(|taken| taken == *name) || roles.iter().any(|role| role.profile.as_ref() == Some(name))
        }) {
            return Err(Error::usage(format!("--role-arn: the profile {name} would stand for two roles")));
        }
        let required = first || profile.iter().any(|name| required.contains(name));
        roles.push(RoleChoice { profile, role_arn, then_role_arn: None, required });
    }
    if roles.is_empty() {
        return Err(Error::usage("no role to assume").advice(
            "name one with --role-arn, FEDBOOT_ROLE_ARN or AWS_ROLE_ARN, or with the metadata attribute \
             fedboot-role-arn of the instance or the project",
        ));
    }
    let known = |name: &String| roles.iter().any(|role| role.profile.as_ref() == Some(name));
    if let Some(name) = required.iter().find(|name| !known(name)) {
        return Err(Error::usage(format!("--require {name}: no --role-arn is for that profile")));
    }
    for text in options.texts(world, "then-role-arn")? {
        let (profile, arn) = profile_and_arn("then-role-arn", &text)?;
        let of = match &profile {
            None => roles.first_mut(),
            Some(_) => roles.iter_mut().find(|role| role.profile == profile),
        };
        match of {
            Some(role) if role.then_role_arn.is_none() => role.then_role_arn = Some(arn),
            Some(_) => return Err(Error::usage(format!("--then-role-arn {text:?}: its first role has one already"))),
            None => return Err(Error::usage(format!("--then-role-arn {text:?}: no --role-arn is for that profile"))),
        }
    }
    Ok(roles)
}

/// The policy without the white space that AWS would count.
///
/// # Errors
/// A usage error that says what is wrong with it.
pub fn session_policy(file: &Path) -> Result<String> {
    /// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
    const LONGEST: usize = 2048;
    let bad = |why: &str| {
        Error::usage(format!("--session-policy {} {why}", file.display()))
            .advice("it must name a file that holds an IAM policy in JSON")
    };
    let bytes = world::read_file(file).map_err(|error| bad(&format!("cannot be read: {}", world::plain(&error))))?;
    let policy: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| bad(&format!("is no JSON ({error})")))?;
    if policy.get("Statement").is_none() {
        return Err(bad("has no Statement"));
    }
    // By itself and not by the map, which would sort what people may compare.
    let policy = compact(&bytes);
    if policy.len() > LONGEST {
        return Err(Error::usage(format!("--session-policy {} has {} characters", file.display(), policy.len()))
            .advice(format!("AWS takes {LONGEST}: shorten it, or name a managed policy with --policy-arn")));
    }
    Ok(policy)
}

/// JSON without the white space between its tokens.
fn compact(json: &[u8]) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let kept = json.iter().copied().filter(|byte| {
        if quoted {
            quoted = *byte != b'"' || escaped;
            escaped = *byte == b'\\' && !escaped;
            return true;
        }
        quoted = *byte == b'"';
        !byte.is_ascii_whitespace()
    });
    String::from_utf8_lossy(&kept.collect::<Vec<_>>()).into_owned()
}

/// What is said when a second role is assumed.
///
/// # Errors
/// A usage error that names a malformed tag.
pub fn terms(options: &Options, world: &World) -> Result<Terms> {
    let mut tags = Vec::new();
    for text in options.texts(world, "session-tag")? {
        let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
            Error::usage(format!("--session-tag {text:?} is no tag")).advice("write --session-tag KEY=VALUE")
        })?;
        tags.push((key.to_owned(), value.to_owned()));
    }
    Ok(Terms {
        external_id: options.text(world, "external-id")?,
        source_identity: options.text(world, "source-identity")?,
        tags,
    })
}

/// A session name as STS takes it: two to 64 of letters, digits and `_+=,.@-`.
pub fn clean_session_name(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let mut clean: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).take(64).collect();
    while clean.len() < 2 {
        clean.push('-');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names() {
        for (name, clean) in [
            ("worker-1.eu", "worker-1.eu"),
            ("a b/ü", "a-b--"),
            ("", "--"),
            ("x", "x-"),
            (&"n".repeat(70), &"n".repeat(64)),
        ] {
            assert_eq!(clean_session_name(name), clean);
        }
    }
}
