//! The lines of such a file, and what each is to botocore and to Go's SDK.

use std::borrow::Cow;

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
pub enum Kind {
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
pub struct Line<'a> {
    pub raw: &'a [u8],
    pub text: Cow<'a, str>,
    pub kind: Kind,
}

impl Line<'_> {
    /// Without what is around it.
    pub fn trimmed(&self) -> &str {
        trim(&self.text)
    }

    /// The blanks before it.
    pub fn indentation(&self) -> &str {
        let length = self.text.len().saturating_sub(self.text.trim_start_matches(is_space).len());
        self.text.get(..length).unwrap_or_default()
    }

    /// How far it is indented.
    pub fn indent(&self) -> usize {
        self.indentation().chars().count()
    }

    /// The name in the brackets, and what stands behind them, of a line that is a header or looks like one.
    pub fn header(&self) -> Option<(&str, &str)> {
        let inner = self.trimmed().strip_prefix('[')?;
        // A name has one character or more, be it a bracket.
        let close = inner.char_indices().skip(1).find(|(_, char)| *char == ']')?.0;
        let (name, rest) = inner.split_at_checked(close)?;
        Some((trim(name), trim(rest.get(1..).unwrap_or_default())))
    }

    /// The name in small letters and the value, of a line that is a setting or looks like one.
    pub fn property(&self) -> Option<(String, &str)> {
        let (name, value) = self.trimmed().split_once(['=', ':'])?;
        Some((trim(name).to_lowercase(), trim(value)))
    }
}

/// Where Go's SDK stands in the value of a setting.
pub struct Promoted {
    /// The value is empty so far: what follows, indented, are settings in it.
    pub is_empty: bool,
    /// No line that looks like a header has ended the section.
    pub is_inside: bool,
}

impl Promoted {
    pub fn new(line: &Line<'_>) -> Self {
        Self { is_empty: line.property().is_some_and(|(_, value)| value.is_empty()), is_inside: true }
    }

    /// Whether Go takes this line of the value for a setting of the same section.
    pub fn takes(&mut self, line: &Line<'_>) -> bool {
        self.is_inside &= line.header().is_none();
        // To Go only these two indent a line.
        let is_in_block = self.is_empty && line.text.starts_with([' ', '\t']);
        let is_one = self.is_inside && !is_in_block && line.property().is_some();
        if is_one {
            self.is_empty = Self::new(line).is_empty;
        }
        is_one
    }
}

/// Without the blanks around it.
pub fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// As Python has it.
pub fn is_space(char: char) -> bool {
    char.is_whitespace() || ('\x1c'..='\x1f').contains(&char)
}

pub const SWALLOWED: &str =
    "a section header indented deeper than the setting above it: to some SDKs it is part of that one";

pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// All lines. A lone carriage return ends one too.
pub fn parse(text: &[u8]) -> Result<Vec<Line<'_>>, Malformed> {
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
