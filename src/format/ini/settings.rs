//! A profile's settings that are no credentials, as they are written, to stand in another profile too.

use crate::format::ini::lines::{Kind, Line, Malformed, parse};
use crate::format::ini::read::{OTHER_SOURCES, STATIC_KEYS};

/// What belongs to a source of credentials, and says nothing without it.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>
const OF_SOURCES: &[&str] = &[
    "aws_account_id",
    "duration_seconds",
    "external_id",
    "mfa_serial",
    "role_session_name",
    "source_identity",
    "sso_region",
    "sso_registration_scopes",
];

/// Names and values. The lines of a block of settings follow the empty value, each behind a line end.
pub type Settings = Vec<(String, String)>;

/// The settings without credentials of all sections that are `wanted`; of those with one name the last.
///
/// Left out is what the SDKs would read in different ways once it stands elsewhere.
///
/// # Errors
/// Where the file is one that no SDK would read.
pub fn settings(text: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Settings, Malformed> {
    let mut all: Settings = Vec::new();
    let mut is_inside = false;
    let mut current: Option<(String, String)> = None;
    for line in &parse(text)? {
        match line.kind {
            Kind::Header => {
                push(&mut all, current.take());
                is_inside = line.header().is_some_and(|(name, _)| wanted(name));
            }
            Kind::Property if is_inside => {
                push(&mut all, current.take());
                current =
                    line.property().filter(|(name, _)| is_setting(name)).map(|(name, value)| (name, value.into()));
            }
            Kind::Continuation => {
                current = current.filter(|(_, value)| goes_on(value, line));
                if let Some((_, value)) = &mut current {
                    value.push('\n');
                    value.push_str(line.trimmed());
                }
            }
            Kind::Property | Kind::Filler => {}
        }
    }
    push(&mut all, current);
    Ok(all)
}

fn push(all: &mut Settings, setting: Option<(String, String)>) {
    let Some(setting) = setting.filter(|(_, value)| !value.contains(char::REPLACEMENT_CHARACTER)) else { return };
    all.retain(|(name, _)| *name != setting.0);
    all.push(setting);
}

/// Whether it is a setting that every SDK reads by this name, and no credential.
fn is_setting(name: &str) -> bool {
    let is_ordinary = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    is_ordinary && !name.is_empty() && ![STATIC_KEYS, OTHER_SOURCES, OF_SOURCES].concat().contains(&name)
}

/// Whether every SDK takes the line for part of the value: settings in a block, and no setting elsewhere.
fn goes_on(value: &str, line: &Line<'_>) -> bool {
    let is_block = value.is_empty() || value.starts_with('\n');
    line.header().is_none() && line.text.contains('=') == is_block && (is_block || !line.text.contains(':'))
}
