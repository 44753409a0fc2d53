//! What stands in a section, for whoever looks for an identity or for settings.

use std::collections::HashMap;

use crate::format::ini::lines::{BYTE_ORDER_MARK, Kind, Malformed, Promoted, SWALLOWED, parse, trim};

/// Keys that stand in a profile themselves.
pub const STATIC_KEYS: &[&str] = &[
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_security_token",
    "x_security_token_expires",
];

/// What has a profile get its credentials from elsewhere.
pub const OTHER_SOURCES: &[&str] = &[
    "credential_process",
    "credential_source",
    "role_arn",
    "source_profile",
    "web_identity_token_file",
    "login_session",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "sso_role_name",
];

/// The values in all sections whose names are `wanted`, by their names in small letters; `None` where there is no such
/// section. A value that begins on its own next line is a block of settings and is left out. What `[DEFAULT]` says, in
/// capitals, every section says that does not say it itself, as to botocore.
///
/// # Errors
/// Where the file is one that no SDK would read, or that SDKs read with different credentials.
pub fn read(text: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Option<HashMap<String, String>>, Malformed> {
    let mut values = own_values(text, wanted)?;
    if let Some(values) = &mut values {
        for (name, value) in for_all(text).unwrap_or_default() {
            values.entry(name).or_insert(value);
        }
    }
    Ok(values)
}

/// What the section `[DEFAULT]` says, whose settings are every section's to Python's configparser.
pub fn for_all(text: &[u8]) -> Option<HashMap<String, String>> {
    const HEADER: &[u8] = b"[DEFAULT]";
    // Hardly any file has it.
    text.windows(HEADER.len()).find(|window| *window == HEADER)?;
    own_values(text, &|name| name == "DEFAULT").ok().flatten()
}

fn own_values(text: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Option<HashMap<String, String>>, Malformed> {
    let mut values: Option<HashMap<String, String>> = None;
    let mut last = (String::new(), Promoted { is_empty: true, is_inside: true });
    let mut is_inside = false;
    for (index, line) in parse(text)?.iter().enumerate() {
        match line.kind {
            Kind::Header => {
                is_inside = line.header().is_some_and(|(name, _)| wanted(name));
                if is_inside {
                    values.get_or_insert_default();
                }
            }
            Kind::Property if is_inside => {
                let (name, value) = line.property().unwrap_or_default();
                values.get_or_insert_default().insert(name.clone(), bare(value));
                last = (name, Promoted::new(line));
            }
            Kind::Continuation if line.header().is_some_and(|(name, _)| wanted(name)) => {
                return Err(Malformed { line: index.saturating_add(1), problem: SWALLOWED });
            }
            Kind::Continuation if is_inside => {
                let is_credential = |(name, _): (String, &str)| [STATIC_KEYS, OTHER_SOURCES].concat().contains(&&*name);
                if last.1.takes(line) && line.property().is_some_and(is_credential) {
                    let problem =
                        "a setting indented deeper than the one above it: to some SDKs it is part of that one";
                    return Err(Malformed { line: index.saturating_add(1), problem });
                }
                if let Some(value) =
                    values.as_mut().and_then(|values| values.get_mut(&last.0)).filter(|it| !it.is_empty())
                {
                    value.push('\n');
                    value.push_str(line.trimmed());
                }
            }
            _ => {}
        }
    }
    Ok(values)
}

/// Without a comment behind it and without quotes around it.
pub fn bare(value: &str) -> String {
    let starts = [" #", " ;", "\t#", "\t;"].iter().filter_map(|start| value.find(start));
    let value = starts.min().and_then(|end| value.get(..end)).unwrap_or(value);
    let value = trim(value);
    let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    // What has more of them is a command line.
    quoted.filter(|inner| !inner.contains(['"', '\''])).unwrap_or(value).to_owned()
}

/// Whether a section of the config file is the profile `name`. In between may stand any blanks, and quotes as in a shell.
pub fn is_profile(section: &str, name: &str) -> bool {
    shlex::split(section).is_some_and(|words| words == ["profile", name])
}

/// The same, and `[default]` for the one of that name.
pub fn is_profile_or_default(section: &str, name: &str) -> bool {
    is_profile(section, name) || section == "default" && section == name
}

/// What keeps botocore, and so boto3 and the AWS CLI, from reading a file that others read.
pub fn malformed(text: &[u8]) -> Option<Malformed> {
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut section = String::new();
    let mut is_block = false;
    let lines = match parse(text) {
        Ok(lines) => lines,
        Err(malformed) => return Some(malformed),
    };
    lines.iter().enumerate().find_map(|(index, line)| {
        let mut is_twin = |name: &str, setting: &str| seen.insert([name, setting].join("\n"), String::new()).is_some();
        let problem = match line.kind {
            _ if std::str::from_utf8(line.raw).is_err() => Some("bytes that are not UTF-8"),
            _ if line.raw.starts_with(BYTE_ORDER_MARK) && index == 0 => Some("a byte order mark"),
            Kind::Header => {
                // To the last bracket; and there is one section that may stand twice.
                section = line.trimmed().rsplit_once(']').map(|(name, _)| name.to_owned()).unwrap_or_default();
                (section != "[DEFAULT" && is_twin(&section, "")).then_some("a section that stands in the file before")
            }
            Kind::Property => {
                let (name, value) = line.property().unwrap_or_default();
                is_block = value.is_empty();
                is_twin(&section, &name).then_some("a setting that stands in its section before")
            }
            Kind::Continuation if is_block && !line.text.contains('=') => {
                Some("a line without = in a block of settings")
            }
            _ => None,
        };
        Some(Malformed { line: index.saturating_add(1), problem: problem? })
    })
}
