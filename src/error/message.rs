//! How an error reads: cause first, remedy second, evidence (address, request id, tries) last, then the reason's code.
//!
//! One line for a log and for other programs' messages; on a terminal at most three rows, and what is to be pasted on lines
//! of its own below them.

use std::fmt;

use crate::error::{Error, Kind, Paste, reasons};

/// Columns of a row on a terminal.
const COLUMNS: usize = 100;
/// Rows on a terminal, without what is to be pasted.
const ROWS: usize = 3;
/// Characters of one field of a log: what is longer cannot be read in a viewer.
const LONGEST: usize = 1_000;
/// What stands where something was cut out.
pub const CUT: &str = "[…]";

impl Error {
    /// What is wrong, as a sentence.
    pub fn cause(&self) -> String {
        let mut cause = String::new();
        if !self.step.is_empty() {
            cause += "cannot ";
            cause += &self.step;
            cause += ": ";
        }
        if self.answer.is_empty() && !self.address.is_empty() {
            cause += subject(&self.address);
            cause += " ";
        }
        cut(&(cause + &self.problem))
    }

    /// What shows it: what came back in whose own words, the request id, how often it was tried.
    pub fn evidence(&self) -> String {
        let mut parts = Vec::new();
        match self.answer.as_str() {
            "" => {}
            // What another step says for itself.
            own if own.starts_with("cannot ") => parts.push(own.to_owned()),
            answer => parts.push(format!("{} {answer}", subject(&self.address)).trim_start().to_owned()),
        }
        if self.address.contains("://") {
            parts.push(self.address.clone());
        }
        if !self.identity.is_empty() {
            parts.push(format!("acting as {}", self.identity));
        }
        parts.extend(self.request_id.iter().map(|id| format!("request id {id}")));
        if let Some((attempts, elapsed)) = self.tries.filter(|(attempts, _)| *attempts > 1) {
            parts.push(format!("tried {attempts} times in {:.1} s", elapsed.as_secs_f64()));
        }
        parts.join(", ")
    }

    /// The same, saying what happens `next`.
    #[must_use]
    pub fn before(mut self, next: &str) -> Self {
        self.advice =
            [self.advice.as_str(), next].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("; ");
        self
    }

    /// An error that another process has told as `text`.
    pub fn told(kind: Kind, text: &str) -> Self {
        let coded = text.strip_suffix(']').and_then(|text| text.rsplit_once(" ["));
        match coded.and_then(|(text, code)| Some((text, reasons::with_code(code)?))) {
            Some((text, reason)) => Self::new(kind, "", "", text).reason(reason),
            None => Self::new(kind, "", "", text),
        }
    }

    /// On a terminal, behind `prefix`: at most three rows, and what is to be pasted. What shows the cause goes first where there
    /// is no room, `way` then, and then the cause loses its middle; the remedy stays, unless it has no room alone.
    pub fn rows(&self, prefix: &str, way: &str) -> String {
        let code = format!("[{}]", self.reason.code);
        let arrow = if self.advice.is_empty() { "" } else { "→" };
        let with = |cause: &str, remedy: &str, evidence: &str, way: &str| {
            let evidence = if evidence.is_empty() { String::new() } else { format!("({evidence})") };
            let parts = [prefix, cause, arrow, remedy, &evidence, &code, way];
            wrapped(&printable(&parts.map(str::trim).join(" ")))
        };
        let (cause, evidence, remedy) = (self.cause(), self.evidence(), &self.advice);
        let short = shortened(&cause, COLUMNS);
        let mut candidates = std::iter::once(with(&cause, remedy, &evidence, way))
            .chain(ever_shorter(&evidence, 40).map(|evidence| with(&cause, remedy, &evidence, way)))
            .chain([with(&cause, remedy, "", way), with(&cause, remedy, "", "")])
            .chain(ever_shorter(&cause, 0).map(|cause| with(&cause, remedy, "", "")))
            .chain(ever_shorter(remedy, 0).map(|remedy| with(&short, &remedy, "", "")));
        let rows = candidates.find(|rows| rows.len() <= ROWS).unwrap_or_default();
        let pasted = match &self.paste {
            Some(Paste::Policy(text) | Paste::Command(text)) => format!("\n{}", printable(text)),
            None => String::new(),
        };
        rows.join("\n") + &pasted
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause())?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        if let Some(Paste::Policy(text) | Paste::Command(text)) = &self.paste {
            write!(f, ": {text}")?;
        }
        match self.evidence() {
            evidence if evidence.is_empty() => {}
            evidence => write!(f, " ({evidence})")?,
        }
        write!(f, " [{}]", self.reason.code)
    }
}

/// Who answered: of a URL the server, anything else as it is.
fn subject(address: &str) -> &str {
    let behind = ["https://", "http://"].iter().find_map(|scheme| address.strip_prefix(scheme));
    behind.map_or(address, |rest| rest.split('/').next().unwrap_or(rest))
}

/// `text`, short enough for a field.
pub fn cut(text: &str) -> String {
    shortened(text, LONGEST)
}

/// `text` of at most `longest` characters: what is too long loses its middle, as a cloud's message ends with what helps.
pub fn shortened(text: &str, longest: usize) -> String {
    let count = text.chars().count();
    if count <= longest {
        return text.to_owned();
    }
    let kept = longest.saturating_sub(CUT.chars().count());
    let behind = kept / 2;
    let before: String = text.chars().take(kept.saturating_sub(behind)).collect();
    let end: String = text.chars().skip(count.saturating_sub(behind)).collect();
    format!("{before}{CUT}{end}")
}

/// `text` in ever fewer characters, but in more than `least`.
fn ever_shorter(text: &str, least: usize) -> impl Iterator<Item = String> {
    let shorter = (least.saturating_add(1)..text.chars().count()).rev().step_by(10);
    shorter.map(|longest| shortened(text, longest))
}

/// Control characters of a hostile reply must not reach a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Broken between words into rows; a word that is longer than a row has one of its own.
pub fn wrapped(text: &str) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match rows.last_mut() {
            Some(row) if row.chars().count().saturating_add(word.chars().count()) < COLUMNS => {
                row.push(' ');
                row.push_str(word);
            }
            Some(_) => rows.push(format!("  {word}")),
            None => rows.push(word.to_owned()),
        }
    }
    rows
}
