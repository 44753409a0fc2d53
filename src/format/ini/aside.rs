//! What an edit has taken out of a section and left there as comments, and how it comes back.
//!
//! Users write comments too. Only what reads as a setting that an edit sets aside, or as a further line of one, is taken
//! for that: anything else, uncommented, could make a file of it that no SDK reads.

use std::borrow::Cow;

use crate::format::ini::carried::without_carried;
use crate::format::ini::lines::{Kind, Line, Malformed, parse, trim};
use crate::format::ini::read::{OTHER_SOURCES, STATIC_KEYS};
use crate::format::ini::section::{Section, around, find};

/// How a line that was taken out begins.
pub const ASIDE: &str = "# set aside by fedboot: ";

/// Whether something may be set aside in the file.
pub fn has_aside(text: &[u8]) -> bool {
    text.split(|byte| matches!(byte, b'\n' | b'\r')).any(|line| line.starts_with(ASIDE.as_bytes()))
}

/// The names of the settings that an edit has set aside which made `after` of `before`.
pub fn newly_aside(before: &[u8], after: &[u8]) -> Vec<String> {
    let names = |text: &[u8]| -> Vec<String> {
        let lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
        lines.filter_map(|line| line.strip_prefix(ASIDE.as_bytes())).filter_map(name_in).collect()
    };
    let old = names(before);
    names(after).into_iter().filter(|name| is_known(name) && !old.contains(name)).collect()
}

/// The name in the line of a setting that was taken out, in small letters.
fn name_in(line: &[u8]) -> Option<String> {
    let end = line.iter().position(|byte| matches!(byte, b'=' | b':'))?;
    Some(trim(&String::from_utf8_lossy(line.get(..end)?)).to_lowercase())
}

fn is_known(name: &str) -> bool {
    OTHER_SOURCES.contains(&name) || STATIC_KEYS.contains(&name)
}

/// For each line of a section the name of the setting that it is a line of, where that is set aside.
fn settings_aside<'a>(lines: impl Iterator<Item = &'a Line<'a>>) -> Vec<Option<String>> {
    // The last one's name, and how far it is indented: what is indented deeper goes on with it.
    let mut current: Option<(String, usize)> = None;
    let name_of = |line: &Line<'_>| {
        if line.kind != Kind::Filler {
            current = None;
            return None;
        }
        let raw = line.raw.strip_prefix(ASIDE.as_bytes())?;
        let line = Line { raw, text: Cow::Borrowed(line.text.strip_prefix(ASIDE)?), kind: Kind::Property };
        let indent = line.indent();
        if line.trimmed().is_empty() || current.as_ref().is_none_or(|(_, above)| indent <= *above) {
            current = line.property().map(|(name, _)| (name, indent)).filter(|(name, _)| is_known(name));
        }
        current.as_ref().map(|(name, _)| name.clone())
    };
    lines.map(name_of).collect()
}

/// A section's lines without what was set aside before under the names that are set aside now: of two the last is put
/// back.
pub fn without_older<'a, 't>(mut all: Vec<(&'a Line<'t>, usize)>, newly: &[String]) -> Vec<(&'a Line<'t>, usize)> {
    let mut names = settings_aside(all.iter().map(|(line, _)| *line)).into_iter();
    all.retain(|_| names.next().flatten().is_none_or(|name| !newly.contains(&name)));
    all
}

/// Returns `text` with what edits have set aside in `section` in its place again, and without what they have put there;
/// a section of which nothing was set aside stays as it is.
///
/// # Errors
/// Where the file is one that no SDK would read.
pub fn put_back(text: &[u8], section: &Section<'_>) -> Result<Vec<u8>, Malformed> {
    let lines = parse(text)?;
    let Some(start) = find(&lines, section.name)? else { return Ok(text.to_vec()) };
    let (before, header, all, after) = around(&lines, start);
    let aside = settings_aside(all.iter());
    if aside.iter().all(Option::is_none) {
        return Ok(text.to_vec());
    }
    let mut out = Vec::with_capacity(text.len());
    for line in before.iter().chain(header) {
        out.extend_from_slice(line.raw);
    }
    let mut is_dropped = false;
    for (line, index) in without_carried(all.iter().zip(0..).collect()) {
        if line.kind == Kind::Property {
            let name = line.property().unwrap_or_default().0;
            is_dropped = section.remove.contains(&&*name) || section.set.iter().any(|(key, _)| *key == name);
        }
        match line.raw.strip_prefix(ASIDE.as_bytes()) {
            Some(raw) if aside.get(index).is_some_and(Option::is_some) => out.extend_from_slice(raw),
            _ if is_dropped && line.kind != Kind::Filler => {}
            _ => out.extend_from_slice(line.raw),
        }
    }
    for line in after {
        out.extend_from_slice(line.raw);
    }
    Ok(out)
}
