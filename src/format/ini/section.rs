//! A section that is to be edited: what it shall say, and where it stands.

use crate::format::ini::carried::Carried;
use crate::format::ini::lines::{Kind, Line, Malformed, SWALLOWED};

/// What a section shall say.
#[derive(Clone)]
pub struct Section<'a> {
    /// The name in brackets.
    pub name: &'a str,
    /// Keys to set, with their values, in order.
    pub set: Vec<(&'a str, String)>,
    /// Keys to remove.
    pub remove: Vec<&'a str>,
    /// Keys to take out of the section that stay in the file, as comments.
    pub aside: &'a [&'a str],
    /// Whether the key that stands there is taken out in the same way, to be put back later.
    pub keeps_keys: bool,
    /// What it says beside that; `None` leaves what was carried there before as it is.
    pub carried: Option<Carried>,
}

/// Where the header of the section stands.
pub fn find(lines: &[Line<'_>], name: &str) -> Result<Option<usize>, Malformed> {
    let is_it = |line: &Line<'_>| line.kind != Kind::Filler && line.header().is_some_and(|it| it.0 == name);
    let mut all = lines.iter().enumerate().filter(|(_, line)| is_it(line));
    let first = all.next();
    let problem = match (first, all.next()) {
        (Some((index, line)), _) if line.kind == Kind::Continuation => Some((index, SWALLOWED)),
        (_, Some((index, _))) => Some((index, "a section that stands in the file before")),
        _ => None,
    };
    match problem {
        Some((index, problem)) => Err(Malformed { line: index.saturating_add(1), problem }),
        None => Ok(first.map(|(index, _)| index)),
    }
}

/// The lines before the header in line `start`, the header, its section's, and those behind it.
pub fn around<'a, 't>(
    lines: &'a [Line<'t>],
    start: usize,
) -> (&'a [Line<'t>], &'a [Line<'t>], &'a [Line<'t>], &'a [Line<'t>]) {
    let (before, rest) = lines.split_at_checked(start).unwrap_or_default();
    let (header, behind) = rest.split_at_checked(1).unwrap_or_default();
    let end = behind.iter().position(|line| line.kind == Kind::Header).unwrap_or(behind.len());
    let (all, after) = behind.split_at_checked(end).unwrap_or_default();
    (before, header, all, after)
}
