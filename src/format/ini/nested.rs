//! Blocks of settings: a value that begins on its own next line, as `sts =⏎  endpoint_url = …` in `[services NAME]`.

use std::collections::HashMap;

use crate::format::ini::lines::{Kind, Malformed, parse, trim};
use crate::format::ini::read::bare;

/// What the block `name` says in all sections that are `wanted`; `None` where there is no such section.
///
/// # Errors
/// Where the file is one that no SDK would read.
pub fn block(
    text: &[u8],
    wanted: &dyn Fn(&str) -> bool,
    name: &str,
) -> Result<Option<HashMap<String, String>>, Malformed> {
    let mut values: Option<HashMap<String, String>> = None;
    let (mut is_inside, mut is_it) = (false, false);
    for line in parse(text)? {
        match line.kind {
            Kind::Header => {
                is_inside = line.header().is_some_and(|(section, _)| wanted(section));
                is_it = false;
                if is_inside {
                    values.get_or_insert_default();
                }
            }
            Kind::Property => {
                is_it = is_inside && line.property().is_some_and(|(key, value)| key == name && value.is_empty());
            }
            Kind::Continuation if is_it => {
                if let Some((key, value)) = line.trimmed().split_once('=') {
                    values.get_or_insert_default().insert(trim(key).to_lowercase(), bare(value));
                }
            }
            _ => {}
        }
    }
    Ok(values)
}

/// Whether a section of the config file says what is special for services under this name.
pub fn is_services(section: &str, name: &str) -> bool {
    shlex::split(section).is_some_and(|words| words == ["services", name])
}
