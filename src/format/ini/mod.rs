//! AWS's configuration files, read as botocore reads them (Python's configparser): one reading for whoever looks for an
//! identity and for whoever edits.
//!
//! - A line that is indented deeper than the setting above it goes on with that setting's value; else it is a setting or a
//!   section's header, however far it is indented.
//! - The first `=` or `:` ends a setting's name, which is in small letters; `#` and `;` begin a comment line.
//!
//! Go's SDK differs where what botocore takes for part of a value looks like a header or like a setting: it takes them for
//! what they look like. There an edit keeps both readings, or refuses; whoever looks for credentials is told the line.
//! Where an SDK reads what another cannot, the file is read: behind ` #` stands a comment (not in botocore), a value in
//! quotes is what they enclose (Go), a header's name has no blanks around it (Go).
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>,
//! <https://github.com/python/cpython/blob/3.13/Lib/configparser.py>,
//! <https://github.com/boto/botocore/blob/develop/botocore/configloader.py>,
//! <https://github.com/aws/aws-sdk-go-v2/blob/main/config/internal/ini>

mod edit;
mod nested;
mod settings;

use std::borrow::Cow;
use std::collections::HashMap;

pub use edit::{Carried, Section, edit, has_aside, newly_aside, put_back};
pub use nested::{block, is_services};
pub use settings::{Settings, settings};

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

/// What is wrong in which line.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with it, without quoting it: it may hold a secret.
    pub problem: &'static str,
}

/// What a line is to botocore.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `[name]`, perhaps with something behind it.
    Header,
    /// `key = value`.
    Property,
    /// It goes on with the property before it.
    Continuation,
    /// Blank, or a comment.
    Filler,
}

/// A line with its end.
struct Line<'a> {
    raw: &'a [u8],
    text: Cow<'a, str>,
    kind: Kind,
}

impl Line<'_> {
    /// Without what is around it.
    fn trimmed(&self) -> &str {
        trim(&self.text)
    }

    /// The blanks before it.
    fn indentation(&self) -> &str {
        let length = self.text.len().saturating_sub(self.text.trim_start_matches(is_space).len());
        self.text.get(..length).unwrap_or_default()
    }

    /// How far it is indented.
    fn indent(&self) -> usize {
        self.indentation().chars().count()
    }

    /// The name in the brackets, and what stands behind them, of a line that is a header or looks like one.
    fn header(&self) -> Option<(&str, &str)> {
        let inner = self.trimmed().strip_prefix('[')?;
        // A name has one character or more, be it a bracket.
        let close = inner.char_indices().skip(1).find(|(_, char)| *char == ']')?.0;
        let (name, rest) = inner.split_at_checked(close)?;
        Some((trim(name), trim(rest.get(1..).unwrap_or_default())))
    }

    /// The name in small letters and the value, of a line that is a setting or looks like one.
    fn property(&self) -> Option<(String, &str)> {
        let (name, value) = self.trimmed().split_once(['=', ':'])?;
        Some((trim(name).to_lowercase(), trim(value)))
    }
}

/// Where Go's SDK stands in the value of a setting.
struct Promoted {
    /// The value is empty so far: what follows are settings in it.
    is_empty: bool,
    /// No line that looks like a header has ended the section.
    is_inside: bool,
}

impl Promoted {
    fn new(line: &Line<'_>) -> Self {
        Self { is_empty: line.property().is_some_and(|(_, value)| value.is_empty()), is_inside: true }
    }

    /// Whether Go takes this line of the value for a setting of the same section.
    fn takes(&mut self, line: &Line<'_>) -> bool {
        self.is_inside &= line.header().is_none();
        let is_one = self.is_inside && !self.is_empty && line.property().is_some();
        if is_one {
            self.is_empty = Self::new(line).is_empty;
        }
        is_one
    }
}

/// Without the blanks around it.
fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// As Python has it.
fn is_space(char: char) -> bool {
    char.is_whitespace() || ('\x1c'..='\x1f').contains(&char)
}

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
fn bare(value: &str) -> String {
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
pub fn trouble(text: &[u8]) -> Option<Malformed> {
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

const SWALLOWED: &str =
    "a section header indented deeper than the setting above it: to some SDKs it is part of that one";

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// All lines. A lone carriage return ends one too.
fn parse(text: &[u8]) -> Result<Vec<Line<'_>>, Malformed> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut rest = text;
    // How far the last header or setting is indented; whether there is a section, and a setting in it.
    let (mut indent, mut in_section, mut in_property) = (0, false, false);
    while let Some(last) = rest.len().checked_sub(1) {
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(last);
        let is_pair = rest.get(end..).is_some_and(|end| end.starts_with(b"\r\n"));
        let length = end.saturating_add(if is_pair { 2 } else { 1 });
        let (raw, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        rest = behind;
        let number = lines.len().saturating_add(1);
        let malformed = |problem| Malformed { line: number, problem };
        let visible = if number == 1 { raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(raw) } else { raw };
        let mut line = Line { raw, text: String::from_utf8_lossy(visible), kind: Kind::Filler };
        line.kind = if line.trimmed().is_empty() || line.trimmed().starts_with(['#', ';']) {
            Kind::Filler
        } else if in_property && line.indent() > indent {
            Kind::Continuation
        } else {
            indent = line.indent();
            in_property = line.header().is_none();
            match line.property() {
                _ if !in_property => {
                    in_section = true;
                    Kind::Header
                }
                _ if !in_section && line.trimmed().starts_with('[') => {
                    return Err(malformed("a section header without its ] or its name"));
                }
                _ if !in_section => return Err(malformed("a line before the first section")),
                None if line.trimmed().starts_with('[') => {
                    return Err(malformed("a section header without its ] or its name"));
                }
                Some((name, _)) if name.is_empty() => return Err(malformed("a value without a name")),
                Some(_) => Kind::Property,
                None => return Err(malformed("a line that is neither a section, nor name = value, nor a comment")),
            }
        };
        lines.push(line);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_section() {
        let text = b"# [a]\n[ profile a ]\nRegion = \"eu-west-1\" # here\ns3 =\n  endpoint = x\nkey=a=b;c\nline = 1\n  2\n[b]\n  key = 2\n  k = '3'\n    4\n[empty]\n";
        let read = |section: &str| read(text, &|name| name == section).expect("a file");
        let values = read("profile a").expect("the section");
        assert_eq!((values["region"].as_str(), values["line"].as_str()), ("eu-west-1", "1\n2"));
        assert_eq!((values["key"].as_str(), values["s3"].as_str(), values.len()), ("a=b;c", "", 4));
        let values = read("b").expect("the section");
        assert_eq!((values["key"].as_str(), values["k"].as_str()), ("2", "3\n4"));
        assert_eq!(read("empty"), Some(HashMap::new()));
        assert_eq!(read("a"), None);
    }

    #[test]
    fn what_is_for_all_sections() {
        let text = b"[DEFAULT]\nregion = x\nk = v\n[a]\nk = w\n";
        let read = |section: &str| super::read(text, &|name| name == section).expect("a file");
        let values = read("a").expect("the section");
        assert_eq!((values["region"].as_str(), values["k"].as_str()), ("x", "w"));
        assert_eq!(read("default"), None);
    }

    /// What SDKs read with different credentials is for nobody to guess.
    #[test]
    fn says_where_readers_differ() {
        for (text, line) in [
            ("[a]\nregion = x\n  aws_access_key_id = A\n", Some(3)),
            ("[b]\nregion = x\n  [a]\n", Some(3)),
            ("[b]\nregion = x\n  aws_access_key_id = A\n[a]\n", None),
            ("[a]\ns3 =\n  aws_access_key_id = A\n", None),
            ("[a]\nregion = x\n  [c]\n  aws_access_key_id = A\n", None),
        ] {
            assert_eq!(read(text.as_bytes(), &|name| name == "a").err().map(|e| e.line), line, "{text}");
        }
    }
}
