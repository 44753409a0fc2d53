//! Which roles, for which profiles, on which terms: the part of the configuration that may be said more than once.

use crate::config::delivery::{DeliveryConfig, check_profile};
use crate::config::options::Options;
use crate::config::template::Template;
use crate::error::{Error, Result, reasons};
use crate::exchange::sts::assume_role::AssumeRoleTerms;
use crate::model::role;
use crate::system::input::{InputFile, InputValue};
use crate::system::shown;
use crate::system::world::World;

/// One role, and perhaps another one that is assumed with its credentials.
#[derive(Debug, PartialEq, Eq)]
pub struct RoleConfig {
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
fn profile_and_arn(given: &InputValue) -> Result<(Option<String>, Template)> {
    let text = given.text()?;
    let (profile, arn) = match text.split_once('=') {
        Some((profile, arn)) if !profile.contains(':') => {
            (Some(check_profile(&format!("what stands before = in {}", given.origin()), profile)?), arn)
        }
        _ => (None, text),
    };
    let arn = Template::parse(given.origin(), arn)?;
    if let Some(arn) = arn.literal() {
        role::check_role_arn(given.origin(), &arn)?;
    }
    Ok((profile, arn))
}

/// The roles with what belongs to each. A first one with a profile has its credentials delivered there.
///
/// # Errors
/// A usage error that names the option and what is wrong with it.
pub fn roles(
    arns: &[InputValue],
    options: &Options,
    world: &World,
    delivery: &mut DeliveryConfig,
) -> Result<Vec<RoleConfig>> {
    let required = match options.text(world, "require")? {
        Some(given) => given.split(|c| c == ',')?,
        None => Vec::new(),
    };
    let mut roles: Vec<RoleConfig> = Vec::new();
    for given in arns {
        let (profile, role_arn) = profile_and_arn(given)?;
        let first = roles.is_empty();
        if let (true, Some(profile)) = (first, &profile) {
            delivery.name_profile(profile)?;
        }
        if !first && profile.is_none() {
            return Err(given
                .bad("names a further role, which needs a profile")
                .advice("write --role-arn PROFILE=ARN"));
        }
        let taken = [&delivery.profile, &delivery.keys_section].into_iter().flatten().filter(|_| !first);
        if let Some(name) = profile.iter().find(|name| {
            taken.clone().any(|taken| taken == *name) || roles.iter().any(|role| role.profile.as_ref() == Some(name))
        }) {
            return Err(given.bad(format!("is wrong: the profile {name} would stand for two roles")));
        }
        let is_required = |name: &String| required.iter().any(|required| required.raw() == name.as_str());
        let required = first || profile.iter().any(is_required);
        roles.push(RoleConfig { profile, role_arn, then_role_arn: None, required });
    }
    if roles.is_empty() {
        return Err(Error::usage("").because(&reasons::NO_ROLE, &[]));
    }
    let profiles: Vec<_> = roles.iter().filter_map(|role| role.profile.as_deref()).collect();
    if let Some(given) = required.iter().find(|given| !profiles.iter().any(|name| given.raw() == *name)) {
        let known =
            if profiles.is_empty() { "there is none".into() } else { format!("there is {}", profiles.join(", ")) };
        return Err(given.bad("is wrong: no --role-arn is for that profile").advice(known));
    }
    for given in options.texts(world, "then-role-arn")? {
        let (profile, arn) = profile_and_arn(&given)?;
        let of = match &profile {
            None => roles.first_mut(),
            Some(_) => roles.iter_mut().find(|role| role.profile == profile),
        };
        match of {
            Some(role) if role.then_role_arn.is_none() => role.then_role_arn = Some(arn),
            Some(_) => return Err(given.bad("is given twice for one --role-arn: its first role has one already")),
            None => return Err(given.bad("is wrong: no --role-arn is for that profile")),
        }
    }
    Ok(roles)
}

/// The policy without the white space that AWS would count.
///
/// # Errors
/// A usage error that says what is wrong with it.
pub fn session_policy(file: &InputFile) -> Result<String> {
    /// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
    const LONGEST: usize = 2048;
    let bad = |why: &str| {
        Error::usage(format!("{} {why}", file.origin_and_path()))
            .advice("it must name a file that holds an IAM policy in JSON")
    };
    let bytes = file.read().map_err(|why| bad(&why))?;
    // Where, and not what: the words of the parser hold some of the content.
    let malformed =
        |error: serde_json::Error| bad(&format!("is no JSON (line {}, column {})", error.line(), error.column()));
    let policy: serde_json::Value = serde_json::from_slice(&bytes).map_err(malformed)?;
    if policy.get("Statement").is_none() {
        return Err(bad("has no Statement"));
    }
    // By itself and not by the map, which would sort what people may compare.
    let policy = compact(&bytes);
    if policy.len() > LONGEST {
        return Err(Error::usage(format!("{} has {} characters", file.origin_and_path(), policy.len()))
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
pub fn terms(options: &Options, world: &World) -> Result<AssumeRoleTerms> {
    let mut tags = Vec::new();
    for given in options.texts(world, "session-tag")? {
        let (key, value) = given
            .text()?
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| given.bad("is no tag").advice("write --session-tag KEY=VALUE"))?;
        tags.push((key.to_owned(), value.to_owned()));
    }
    Ok(AssumeRoleTerms {
        external_id: options.free_text(world, "external-id")?,
        source_identity: options.free_text(world, "source-identity")?,
        tags,
    })
}

/// Checks that a session name, or its template, was meant to be one: it is cleaned, and then stands in logs.
///
/// # Errors
/// A usage error where something else was put there.
pub fn check_session_name(given: &InputValue) -> Result<()> {
    let text = given.text()?.trim();
    let is_else = text.starts_with('/')
        || text.contains(['?', '#', '"', '\n'])
        || text.contains("://")
        || shown::has_token(text)
        || (text.contains(':') && text.contains('@'))
        || (shown::is_opaque(text) && (text.len() > role::LONGEST_NAME || text.contains(['/', '+', '='])));
    if is_else {
        return Err(given.bad("is no session name").advice("use letters, digits and _+=,.@-"));
    }
    Ok(())
}
