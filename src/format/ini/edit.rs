//! Edits a section without touching what is not meant: comments, order, blank lines, line endings, other sections, bytes
//! that are not UTF-8 all stay as they are.
//!
//! Existing INI crates read the format but do not keep it, hence lines.

use crate::format::ini::aside::{ASIDE, without_older};
use crate::format::ini::carried::{CARRIED, CARRIED_END, Carried, without_carried};
use crate::format::ini::lines::{Kind, Line, Malformed, Promoted, SWALLOWED, parse};
use crate::format::ini::section::{Section, around, find};

/// How a line begins that was taken out for good.
const COMMENT: &str = "# taken out by fedboot: ";

/// What becomes of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Keep,
    Drop,
    Aside,
    /// As a comment for good: what it belonged to is dropped.
    Comment,
}

impl Fate {
    /// What becomes of `line` in `section`.
    fn of(section: &Section<'_>, line: &Line<'_>) -> Self {
        let Some((name, _)) = line.property() else { return Self::Keep };
        let is_set = section.set.iter().any(|(key, _)| *key == name);
        let is_kept = section.keeps_keys && ["aws_access_key_id", "aws_secret_access_key"].contains(&name.as_str());
        // A process line of an earlier fedboot need not come back.
        let is_old = is_set && line.text.contains(" credential-process ");
        if is_kept || section.aside.contains(&name.as_str()) && !is_old {
            Self::Aside
        } else if is_set || section.remove.contains(&name.as_str()) {
            Self::Drop
        } else {
            Self::Keep
        }
    }
}

/// Returns `text` with `section` as it shall be. A section that is not there is added at the end.
///
/// # Errors
/// Where the file is one that no SDK would read, or one in which it is not clear which section is meant.
pub fn edit(text: &[u8], section: &Section<'_>) -> Result<Vec<u8>, Malformed> {
    let lines = parse(text)?;
    // The last line may have half an end, which is made whole.
    let is_crlf = lines.first().is_some_and(|line| line.raw.ends_with(b"\r\n") || line.raw.ends_with(b"\r"));
    let newline: &[u8] = if is_crlf { b"\r\n" } else { b"\n" };
    let found = find(&lines, section.name)?;
    let mut out = Output { text: Vec::with_capacity(text.len().saturating_add(1024)), newline, indent: String::new() };
    let Some(start) = found else {
        out.push_whole(text);
        if !lines.last().is_none_or(|line| line.trimmed().is_empty()) {
            out.text.extend_from_slice(newline);
        }
        out.push_whole(format!("[{}]", section.name).as_bytes());
        section.set.iter().for_each(|(key, value)| out.push_property(key, value));
        out.push_carried(section, &[]);
        return Ok(out.text);
    };
    let (before, header, all, after) = around(&lines, start);
    let all: Vec<_> = all.iter().zip(start.saturating_add(2)..).collect();
    let all = if section.carried.is_some() { without_carried(all) } else { all };
    let is_newly_aside = |line: &Line<'_>| line.kind == Kind::Property && Fate::of(section, line) == Fate::Aside;
    let newly = all.iter().filter(|(line, _)| is_newly_aside(line)).filter_map(|(line, _)| line.property());
    let newly: Vec<_> = newly.map(|(name, _)| name).collect();
    let all = without_older(all, &newly);
    out.push_lines(before);
    if let Some(header) = header.first() {
        out.push_header(header, section.name);
    }
    // Behind a setting that is indented, Go takes ours for part of it; behind one that is not, botocore what is indented
    // for part of ours. So where there is any, ours come first, indented as the first one, or as the next header.
    let property = all.iter().map(|(line, _)| *line).find(|line| line.kind == Kind::Property);
    // By characters, and none that only Python takes for a blank.
    let blank = |char| if char == '\t' { '\t' } else { ' ' };
    let first = property.or(after.first());
    out.indent = first.map(|line| line.indentation().chars().map(blank).collect()).unwrap_or_default();
    let has_header = all.iter().any(|(line, _)| line.kind == Kind::Continuation && line.header().is_some());
    let comes_first = !out.indent.is_empty() || has_header;
    let mut missing: Vec<_> = section.set.iter().collect();
    if comes_first {
        missing.drain(..).for_each(|(key, value)| out.push_property(key, value));
        out.push_carried(section, &all);
    }
    // Comments and blank lines at the section's end most often belong to the next one; not those of an edit.
    let mut waiting: Vec<&[u8]> = Vec::new();
    let mut fate = Fate::Keep;
    let mut promoted = Promoted { is_empty: true, is_inside: true };
    for (line, number) in &all {
        let mut its_fate = fate;
        match line.kind {
            Kind::Property => {
                fate = Fate::of(section, line);
                its_fate = fate;
                promoted = Promoted::new(line);
                let name = line.property().unwrap_or_default().0;
                if let Some(wanted) = missing.iter().position(|(key, _)| *key == name) {
                    let (key, value) = missing.remove(wanted);
                    waiting.drain(..).for_each(|line| out.push_whole(line));
                    out.push_property(key, value);
                }
            }
            Kind::Continuation if line.header().is_some() && fate != Fate::Keep => {
                return Err(Malformed { line: *number, problem: SWALLOWED });
            }
            Kind::Continuation if promoted.takes(line) => {
                its_fate = match Fate::of(section, line) {
                    // Not to be lost with the setting above it.
                    Fate::Keep | Fate::Aside if fate == Fate::Drop => Fate::Comment,
                    Fate::Keep => fate,
                    other => other,
                }
            }
            _ => {}
        }
        if line.kind == Kind::Filler && ![ASIDE, COMMENT].iter().any(|start| line.raw.starts_with(start.as_bytes())) {
            waiting.push(line.raw);
            continue;
        }
        let start = match its_fate {
            _ if line.kind == Kind::Filler => "",
            Fate::Keep => "",
            Fate::Aside => ASIDE,
            Fate::Comment => COMMENT,
            Fate::Drop => continue,
        };
        waiting.drain(..).for_each(|line| out.push_whole(line));
        out.push_whole(&[start.as_bytes(), line.raw].concat());
    }
    for (key, value) in missing {
        out.push_property(key, value);
    }
    if !comes_first {
        out.push_carried(section, &all);
    }
    for line in waiting {
        out.text.extend_from_slice(line);
    }
    out.push_lines(after);
    Ok(out.text)
}

struct Output<'a> {
    text: Vec<u8>,
    newline: &'a [u8],
    /// How far our settings are indented.
    indent: String,
}

impl Output<'_> {
    fn push_lines(&mut self, lines: &[Line<'_>]) {
        for line in lines {
            self.text.extend_from_slice(line.raw);
        }
    }

    /// What something will follow, so it needs its end.
    fn push_whole(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
        match line.last() {
            None | Some(b'\n') => {}
            Some(b'\r') => self.text.push(b'\n'),
            Some(_) => self.text.extend_from_slice(self.newline),
        }
    }

    /// Each further line of the value is indented deeper.
    fn push_property(&mut self, key: &str, value: &str) {
        let mut lines = value.split('\n');
        let line = [&*self.indent, key, " = ", lines.next().unwrap_or_default()].concat();
        self.push_whole(line.trim_end().as_bytes());
        lines.for_each(|line| self.push_whole([&*self.indent, "  ", line].concat().as_bytes()));
    }

    /// What the section, with these lines of its own, does not say itself.
    fn push_carried(&mut self, section: &Section<'_>, own: &[(&Line<'_>, usize)]) {
        let Some(Carried { from, settings }) = &section.carried else { return };
        let is_said = |name: &str| {
            section.set.iter().any(|(key, _)| *key == name)
                || own
                    .iter()
                    .any(|(line, _)| line.kind == Kind::Property && line.property().is_some_and(|(own, _)| own == name))
        };
        let mut settings = settings.iter().filter(|(name, _)| !is_said(name)).peekable();
        if settings.peek().is_some() {
            self.push_whole([CARRIED, from].concat().as_bytes());
            settings.for_each(|(name, value)| self.push_property(name, value));
            self.push_whole(CARRIED_END.as_bytes());
        }
    }

    /// A header that every SDK reads: botocore wants no blanks in the brackets, and no other one behind them, Go nothing
    /// behind them but a comment.
    fn push_header(&mut self, line: &Line<'_>, name: &str) {
        let rest = line.header().unwrap_or_default().1;
        let bare = format!("[{name}]");
        let is_comment = rest.is_empty() || rest.starts_with(['#', ';']) && !rest.contains(']');
        if is_comment && line.trimmed().starts_with(&bare) {
            return self.push_whole(line.raw);
        }
        let start = line.raw.iter().position(|byte| *byte == b'[');
        self.text.extend_from_slice(start.and_then(|start| line.raw.get(..start)).unwrap_or_default());
        if is_comment {
            return self.push_whole([&bare, rest].join(" ").trim_end().as_bytes());
        }
        // Not with a #, as our own comments begin.
        self.push_whole(format!("; {}", rest.trim_start_matches(['#', ';', ' '])).as_bytes());
        self.push_whole(bare.as_bytes());
    }
}
