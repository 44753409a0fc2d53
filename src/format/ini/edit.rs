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

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(name: &str) -> Section<'_> {
        Section {
            name,
            set: vec![("aws_access_key_id", "ASIA".into()), ("aws_secret_access_key", "s3cret".into())],
            remove: vec!["aws_security_token"],
            aside: &["role_arn", "source_profile"],
            keeps_keys: false,
            carried: None,
        }
    }

    /// Before and after; `|` ends a line.
    #[test]
    fn golden() {
        let new = "[default]|aws_access_key_id = ASIA|aws_secret_access_key = s3cret|";
        for (before, after) in [
            ("", new.to_owned()),
            ("|", format!("|{new}")),
            ("[other]|a=1|", format!("[other]|a=1||{new}")),
            ("[other]|a=1", format!("[other]|a=1||{new}")),
            ("[other]|a=1||", format!("[other]|a=1||{new}")),
            ("# only a note|", format!("# only a note||{new}")),
            ("[default]|", new.to_owned()),
            ("[default]", new.to_owned()),
            // A partial section: what is foreign stays, what is missing comes behind it.
            (
                "[default]|region=eu|aws_access_key_id=OLD||# next|[b]|x: 1|",
                "[default]|region=eu|aws_access_key_id = ASIA|aws_secret_access_key = s3cret||# next|[b]|x: 1|".into(),
            ),
            // Twins and what is to go, in any case of letters, go; continuation lines go with their property.
            (
                "[default]|AWS_ACCESS_KEY_ID=1|aws_access_key_id=2|aws_security_token=x|  y|s3 =|  a = 1|",
                "[default]|aws_access_key_id = ASIA|s3 =|  a = 1|aws_secret_access_key = s3cret|".into(),
            ),
            (" [ default ] # mine|k=v", " [default] # mine|k=v|aws_access_key_id = ASIA|aws_secret_access_key = s3cret|".into()),
            // A header that botocore or Go would not read.
            ("[default] see [x]|", "; see [x]|[default]|aws_access_key_id = ASIA|aws_secret_access_key = s3cret|".into()),
            // What is indented: ours are indented as it is, and come first.
            (
                "[default]|  region = x|  aws_access_key_id = A|  s3 =|    a = 1|  k = v|",
                "[default]|  aws_access_key_id = ASIA|  aws_secret_access_key = s3cret|  region = x|  s3 =|    a = 1|  k = v|".into(),
            ),
            ("[default]||  [b]|  k = v|", "[default]|  aws_access_key_id = ASIA|  aws_secret_access_key = s3cret||  [b]|  k = v|".into()),
            ("[default]|a = 1|  [b]|  k = v|", "[default]|aws_access_key_id = ASIA|aws_secret_access_key = s3cret|a = 1|  [b]|  k = v|".into()),
            // What Go takes for settings.
            (
                "[default]|a = 1|  aws_access_key_id = A|  k = v|aws_secret_access_key = B|  l = w|",
                "[default]|a = 1|  k = v|aws_secret_access_key = s3cret|# taken out by fedboot:   l = w|aws_access_key_id = ASIA|".into(),
            ),
            // What would be taken before the keys.
            (
                "[default]|role_arn = arn|  more|Source_Profile = b|k = v|",
                "[default]|# set aside by fedboot: role_arn = arn|# set aside by fedboot:   more|# set aside by fedboot: Source_Profile = b|k = v|aws_access_key_id = ASIA|aws_secret_access_key = s3cret|".into(),
            ),
            (
                "; a||[a]|k = [default]|; [default]|[default]|# keep|aws_secret_access_key=1|[z]|",
                "; a||[a]|k = [default]|; [default]|[default]|# keep|aws_secret_access_key = s3cret|aws_access_key_id = ASIA|[z]|".into(),
            ),
        ] {
            for newline in ["\n", "\r\n"] {
                let (before, after) = (before.replace('|', newline), after.replace('|', newline));
                // Without any line there is no telling which ending is meant.
                let after = if before.contains('\n') { after } else { after.replace("\r\n", "\n") };
                let edited = edit(before.as_bytes(), &keys("default")).expect(&before);
                assert_eq!(String::from_utf8_lossy(&edited), after, "from {before:?}");
                assert_eq!(edit(&edited, &keys("default")).expect("again"), edited, "a second time");
            }
        }
    }

    #[test]
    fn foreign_bytes_and_a_byte_order_mark_stay() {
        let text = b"\xef\xbb\xbf[default]\nname=\xff\xfe\n";
        let edited = edit(text, &keys("default")).expect("an edit");
        assert!(edited.starts_with(text));
    }

    #[test]
    fn malformed_files_are_named_by_line() {
        for (text, line) in [
            ("key = 1\n[default]\n", 1),
            ("[default\n", 1),
            ("[]\n", 1),
            ("[a]\n= 1\n", 2),
            ("[a]\nb=1\ngarbage\n", 3),
            ("[default]\na=1\n\n[default]\n", 4),
            ("[a]\na=1\n  [default]\n", 3),
            ("[default]\naws_access_key_id=1\n  [b]\n", 3),
            ("{\"json\": true}\n", 1),
        ] {
            assert_eq!(edit(text.as_bytes(), &keys("default")).err().map(|e| e.line), Some(line), "{text}");
        }
    }
}
