//! AWS's configuration files: reads a section, and edits one without touching what is not meant: comments, order, blank
//! lines, line endings, other sections, bytes that are not UTF-8 all stay as they are.
//!
//! Existing INI crates read the format but do not keep it (line endings, text behind a section's `]`, foreign bytes),
//! hence a scan of lines. The format is what botocore (Python's configparser) and the SDKs agree on:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>.

use std::collections::HashMap;

/// What a section shall say.
pub struct Section<'a> {
    /// The name in brackets.
    pub name: &'a str,
    /// Keys to set, with their values, in order.
    pub set: Vec<(&'a str, String)>,
    /// Keys to remove.
    pub remove: &'a [&'a str],
}

/// Why a file is left as it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with it, without quoting it: it may hold a secret.
    pub problem: &'static str,
}

/// What a line is, as far as it matters here.
#[derive(PartialEq, Eq)]
enum Line<'a> {
    /// `[name]`, perhaps with something behind it.
    Header(&'a [u8]),
    /// `key = value`.
    Property(&'a [u8]),
    /// An indented line: it goes on with the property before it.
    Continuation,
    /// Blank, or a comment.
    Filler,
}

/// Returns `text` with `section` as it shall be. A section that is not there is added at the end.
///
/// # Errors
/// Where the file is one that no SDK would read, or one in which the section stands twice.
pub fn edit(text: &[u8], section: &Section<'_>) -> Result<Vec<u8>, Malformed> {
    let lines = split_lines(text);
    let kinds = classify(&lines)?;
    let newline: &[u8] = if lines.first().is_some_and(|line| line.ends_with(b"\r\n")) { b"\r\n" } else { b"\n" };
    let is_ours = |kind: &Line<'_>| matches!(kind, Line::Header(name) if *name == section.name.as_bytes());
    let mut headers = kinds.iter().enumerate().filter(|(_, kind)| is_ours(kind)).map(|(index, _)| index);
    let start = headers.next();
    if let Some(second) = headers.next() {
        return Err(Malformed { line: second.saturating_add(1), problem: "a section that stands in the file before" });
    }
    let property = |key: &str, value: &str| [key.as_bytes(), b" = ", value.as_bytes(), newline].concat();
    let mut out = Vec::with_capacity(text.len().saturating_add(1024));
    let Some(start) = start else {
        out.extend_from_slice(text);
        if !text.is_empty() {
            if !text.ends_with(b"\n") {
                out.extend_from_slice(newline);
            }
            if !lines.last().is_some_and(|line| line.trim_ascii().is_empty()) {
                out.extend_from_slice(newline);
            }
        }
        out.extend_from_slice(format!("[{}]", section.name).as_bytes());
        out.extend_from_slice(newline);
        for (key, value) in &section.set {
            out.extend(property(key, value));
        }
        return Ok(out);
    };
    let (before, header_and_on) = lines.split_at_checked(start).unwrap_or((&lines, &[]));
    let (header, behind) =
        header_and_on.split_first().map_or((&b""[..], &[][..]), |(header, behind)| (*header, behind));
    let kinds = kinds.get(start.saturating_add(1)..).unwrap_or_default();
    let end = kinds.iter().position(|kind| matches!(kind, Line::Header(_))).unwrap_or(kinds.len());
    // Comments and blank lines at the section's end most often belong to the next one.
    let last = kinds.iter().take(end).rposition(|kind| *kind != Line::Filler);
    let body_length = last.map_or(0, |last| last.saturating_add(1));
    for line in before {
        out.extend_from_slice(line);
    }
    push_whole(&mut out, header, newline);
    let mut missing: Vec<_> = section.set.iter().collect();
    let mut dropping = false;
    for (kind, line) in kinds.iter().zip(behind).take(body_length) {
        match kind {
            Line::Property(key) => {
                let wanted = missing.iter().position(|(name, _)| name.as_bytes().eq_ignore_ascii_case(key));
                let is_set = section.set.iter().any(|(name, _)| name.as_bytes().eq_ignore_ascii_case(key));
                dropping = is_set || section.remove.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(key));
                if let Some(wanted) = wanted {
                    let (name, value) = missing.remove(wanted);
                    out.extend(property(name, value));
                }
                if dropping {
                    continue;
                }
            }
            Line::Continuation if dropping => continue,
            _ => {}
        }
        push_whole(&mut out, line, newline);
    }
    for (key, value) in missing {
        out.extend(property(key, value));
    }
    for line in behind.iter().skip(body_length) {
        out.extend_from_slice(line);
    }
    Ok(out)
}

/// Whether `text` has a section of this name; what no SDK could read has none.
pub fn has(text: &[u8], section: &str) -> bool {
    let is_it = |kind: &Line<'_>| matches!(kind, Line::Header(name) if *name == section.as_bytes());
    classify(&split_lines(text)).is_ok_and(|kinds| kinds.iter().any(is_it))
}

/// The values in a section, by their names in small letters; `None` where there is no such section. What is indented
/// belongs to the value before it and is none of ours.
///
/// # Errors
/// Where the file is one that no SDK would read.
pub fn read(text: &[u8], section: &str) -> Result<Option<HashMap<String, String>>, Malformed> {
    let lines = split_lines(text);
    let mut values = None;
    let mut inside = false;
    for (kind, line) in classify(&lines)?.iter().zip(&lines) {
        match kind {
            Line::Header(name) => {
                inside = *name == section.as_bytes();
                if inside {
                    values.get_or_insert_with(HashMap::new);
                }
            }
            Line::Property(name) if inside => {
                let line = String::from_utf8_lossy(line);
                let value = line.split_once(['=', ':']).map(|(_, value)| value).unwrap_or_default();
                // A comment may stand behind white space.
                let end = [" #", " ;", "\t#", "\t;"].iter().filter_map(|start| value.find(start)).min();
                let value = end.and_then(|end| value.get(..end)).unwrap_or(value).trim().to_owned();
                let name = String::from_utf8_lossy(name).to_lowercase();
                values.get_or_insert_with(HashMap::new).insert(name, value);
            }
            _ => {}
        }
    }
    Ok(values)
}

/// Pushes a line that something will follow, so it needs its end.
fn push_whole(out: &mut Vec<u8>, line: &[u8], newline: &[u8]) {
    out.extend_from_slice(line);
    if !line.ends_with(b"\n") {
        out.extend_from_slice(newline);
    }
}

fn split_lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

fn classify<'a>(lines: &[&'a [u8]]) -> Result<Vec<Line<'a>>, Malformed> {
    let mut in_section = false;
    let mut in_property = false;
    let mut kinds = Vec::with_capacity(lines.len());
    for (index, raw) in lines.iter().enumerate() {
        let malformed = |problem| Malformed { line: index.saturating_add(1), problem };
        let line = if index == 0 { raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw) } else { raw };
        let trimmed = line.trim_ascii();
        let kind = match trimmed.first() {
            None | Some(b'#' | b';') => Line::Filler,
            _ if line.first().is_some_and(u8::is_ascii_whitespace) && in_property => Line::Continuation,
            Some(b'[') => {
                let close = trimmed.iter().position(|byte| *byte == b']').filter(|close| *close > 1);
                let name = close.and_then(|close| trimmed.get(1..close));
                let name = name.ok_or_else(|| malformed("a section header without its ] or its name"))?;
                in_section = true;
                in_property = false;
                Line::Header(name.trim_ascii())
            }
            _ if !in_section => return Err(malformed("a line before the first section")),
            _ => match trimmed.iter().position(|byte| matches!(byte, b'=' | b':')) {
                Some(0) => return Err(malformed("a value without a name")),
                Some(at) => {
                    in_property = true;
                    Line::Property(trimmed.get(..at).unwrap_or_default().trim_ascii())
                }
                None => return Err(malformed("a line that is neither a section, nor name = value, nor a comment")),
            },
        };
        kinds.push(kind);
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(name: &str) -> Section<'_> {
        Section {
            name,
            set: vec![("aws_access_key_id", "ASIA".into()), ("aws_secret_access_key", "s3cret".into())],
            remove: &["aws_security_token"],
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
            (" [ default ] # mine|k=v", " [ default ] # mine|k=v|aws_access_key_id = ASIA|aws_secret_access_key = s3cret|".into()),
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
    fn reads_a_section() {
        let text = b"# [a]\n[ profile a ]\nRegion = eu-west-1 # here\ns3 =\n  endpoint = x\nkey=a=b;c\n[b]\nkey = 2\n[empty]\n";
        let read = |section| read(text, section).expect("a file");
        let values = read("profile a").expect("the section");
        assert_eq!(values["region"], "eu-west-1");
        assert_eq!((values["key"].as_str(), values["s3"].as_str(), values.len()), ("a=b;c", "", 3));
        assert_eq!(read("empty"), Some(HashMap::new()));
        assert_eq!(read("a"), None);
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
            ("{\"json\": true}\n", 1),
        ] {
            assert_eq!(edit(text.as_bytes(), &keys("default")).err().map(|e| e.line), Some(line), "{text}");
        }
    }
}
