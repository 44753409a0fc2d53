//! What was found, a line a finding, for people and for programs.

use std::fmt::Write as _;

use serde_json::Value;

use crate::error::message::printable;
use crate::error::{Error, Paste};
use crate::system::{log, process};

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Ok,
    /// Not tried, as something that it needs has failed.
    Skipped,
    /// Fine for a boot, and somebody may be surprised.
    Warning,
    /// No boot.
    Failure,
}

impl Grade {
    const ALL: [Self; 4] = [Self::Ok, Self::Skipped, Self::Warning, Self::Failure];

    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }

    /// Its mark and colour on a terminal.
    fn mark(self) -> (&'static str, &'static str) {
        match self {
            Self::Ok => ("✓", "32"),
            Self::Skipped => ("–", "2"),
            Self::Warning => ("!", "33"),
            Self::Failure => ("✗", "31"),
        }
    }
}

/// One thing that was found.
pub struct Finding {
    /// How good it is.
    pub grade: Grade,
    /// What was looked at, in a word.
    pub check: &'static str,
    /// What was found.
    pub message: String,
    /// What to do, a line each; a line that can be pasted stands alone.
    pub remedy: Vec<String>,
    /// What programs may want to know apart.
    pub fields: Vec<(&'static str, Value)>,
}

impl Finding {
    fn new(grade: Grade, check: &'static str, message: impl Into<String>) -> Self {
        Self { grade, check, message: message.into(), remedy: Vec::new(), fields: Vec::new() }
    }

    /// All is well.
    pub fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Grade::Ok, check, message)
    }

    /// See [`Grade::Warning`].
    pub fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Grade::Warning, check, message)
    }

    /// See [`Grade::Failure`].
    pub fn failure(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Grade::Failure, check, message)
    }

    /// See [`Grade::Skipped`].
    pub fn skipped(check: &'static str, why: &str) -> Self {
        Self::new(Grade::Skipped, check, format!("not tried, {why}"))
    }

    /// A boot ends with this error.
    pub fn error(check: &'static str, error: &Error) -> Self {
        let evidence = error.evidence();
        let evidence = if evidence.is_empty() { evidence } else { format!(" ({evidence})") };
        let message = format!("{}{evidence} [{}]", error.cause(), error.reason.code);
        let mut remedy: Vec<String> =
            Some(error.advice.clone()).into_iter().filter(|advice| !advice.is_empty()).collect();
        remedy.extend(error.paste.iter().map(|(Paste::Policy(text) | Paste::Command(text))| text.clone()));
        Self { remedy, ..Self::failure(check, message) }.field("code", error.reason.code)
    }

    /// A warning whose words end with what to do, behind a colon.
    pub fn warning_with_remedy(check: &'static str, text: &str) -> Self {
        match text.rsplit_once(": ") {
            Some((message, remedy)) => Self::warning(check, message).remedy(remedy),
            None => Self::warning(check, text),
        }
    }

    /// Adds a line to what is to be done.
    #[must_use]
    pub fn remedy(mut self, line: impl Into<String>) -> Self {
        self.remedy.push(line.into());
        self
    }

    /// Adds a field for programs, if it has a value.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.fields.push((name, value));
        }
        self
    }
}

/// Prints what is found as it is found.
pub struct Report {
    as_json: bool,
    has_colours: bool,
    found: Vec<(&'static str, Grade)>,
}

impl Report {
    /// A report for programs, or for people, perhaps in colours.
    pub fn new(as_json: bool, has_colours: bool) -> Self {
        Self { as_json, has_colours, found: Vec::new() }
    }

    /// Prints one finding.
    pub fn add(&mut self, finding: &Finding) {
        self.found.push((finding.check, finding.grade));
        process::write_stdout(&if self.as_json { json(finding) } else { self.text(finding) });
    }

    /// Prints several, in their order.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(&finding));
    }

    /// Whether anything under `check` has failed.
    pub fn has_failed_in(&self, check: &str) -> bool {
        self.found.contains(&(check, Grade::Failure))
    }

    fn count(&self, grade: Grade) -> usize {
        self.found.iter().filter(|(_, found)| *found == grade).count()
    }

    /// The last line, and the exit code.
    pub fn end(mut self, is_strict: bool) -> u8 {
        let worst = Grade::ALL.into_iter().filter(|grade| *grade != Grade::Skipped).rfind(|it| self.count(*it) > 0);
        let worst = worst.unwrap_or(Grade::Ok);
        let several = |grade: Grade, one: &str, many: &str| match self.count(grade) {
            0 => String::new(),
            1 => format!("1 {one}, "),
            count => format!("{count} {many}, "),
        };
        let failures = several(Grade::Failure, "failure", "failures");
        let warnings = several(Grade::Warning, "warning", "warnings");
        let skipped = several(Grade::Skipped, "skipped", "skipped");
        let message = format!("{failures}{warnings}{skipped}{} ok", self.count(Grade::Ok));
        let mut summary = Finding::new(worst, "summary", message);
        for grade in Grade::ALL {
            summary = summary.field(grade.name(), self.count(grade));
        }
        self.add(&summary);
        match worst {
            Grade::Failure => 2,
            Grade::Warning => u8::from(is_strict),
            Grade::Ok | Grade::Skipped => 0,
        }
    }

    fn text(&self, finding: &Finding) -> String {
        let name = finding.grade.name();
        let message = printable(&finding.message);
        let mut text = if self.has_colours {
            let (mark, colour) = finding.grade.mark();
            format!("\x1b[{colour}m{mark} {name:<8}\x1b[0m{:<9} {message}\n", finding.check)
        } else {
            format!("{name:<8} {:<9} {message}\n", finding.check)
        };
        for line in &finding.remedy {
            let _ = writeln!(text, "{:19}{}", "", printable(line));
        }
        text
    }
}

/// One object a line, in the order in which people read it.
fn json(finding: &Finding) -> String {
    let remedy = finding.remedy.join("\n");
    let texts = [
        ("result", finding.grade.name()),
        ("check", finding.check),
        ("message", &finding.message),
        ("remedy", &remedy),
    ];
    let texts = texts.into_iter().filter(|(name, text)| *name != "remedy" || !text.is_empty());
    let texts = texts.map(|(name, text)| (name, log::quoted(text)));
    log::object(texts.chain(finding.fields.iter().map(|(name, value)| (*name, value.to_string()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json() {
        let finding = Finding::failure("token", "no \"token\"").remedy("a").remedy("b").field("after_ms", 5);
        let line = r#"{"result":"failure","check":"token","message":"no \"token\"","remedy":"a\nb","after_ms":5}"#;
        assert_eq!(json(&finding), format!("{line}\n"));
    }
}
