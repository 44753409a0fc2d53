//! The parameters of a request, each within its bounds. What is wrong with them is said all at once.

use crate::aws::sigv4::Refusal;
use crate::state::log::Request;

/// How long a parameter may be, and what it may be made of.
pub(crate) struct Rule {
    pub least: usize,
    pub most: usize,
    pub pattern: &'static str,
    pub allowed: fn(char) -> bool,
}

pub(crate) const ANY: fn(char) -> bool = |_| true;
pub(crate) const ROLE_ARN: Rule = Rule { least: 20, most: 2048, pattern: "", allowed: ANY };
pub(crate) const TOKEN: Rule = Rule { least: 4, most: 20_000, pattern: "", allowed: ANY };
pub(crate) const NAME: Rule = Rule {
    least: 2,
    most: 64,
    pattern: r"[\w+=,.@-]*",
    allowed: |c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c),
};
pub(crate) const EXTERNAL_ID: Rule = Rule {
    least: 2,
    most: 1224,
    pattern: r"[\w+=,.@:\/-]*",
    allowed: |c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c),
};
pub(crate) const AUDIENCE: Rule = Rule { least: 1, most: 1000, pattern: "", allowed: ANY };
pub(crate) const ALGORITHM: Rule = Rule { least: 5, most: 5, pattern: "", allowed: ANY };
pub(crate) const TAG_KEY: Rule =
    Rule { least: 1, most: 128, pattern: r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", allowed: in_tags };
pub(crate) const TAG_VALUE: Rule =
    Rule { least: 0, most: 256, pattern: r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", allowed: in_tags };

fn in_tags(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
}

/// Reads parameters and collects what is wrong with them: AWS says all of it at once.
pub(crate) struct Form<'a> {
    pub request: &'a Request,
    wrong: Vec<String>,
}

impl<'a> Form<'a> {
    pub(crate) fn of(request: &'a Request) -> Self {
        Self { request, wrong: Vec::new() }
    }

    /// Empty if it is wrong, which nobody sees: [`Self::finish`] refuses the whole.
    pub(crate) fn required(&mut self, name: &str, rule: &Rule) -> &'a str {
        if self.request.param(name).is_none() {
            self.refuse("null", name, "Member must not be null");
        }
        self.optional(name, rule).unwrap_or_default()
    }

    pub(crate) fn optional(&mut self, name: &str, rule: &Rule) -> Option<&'a str> {
        let value = self.request.param(name)?;
        let length = value.chars().count();
        let constraint = if length < rule.least {
            format!("Member must have length greater than or equal to {}", rule.least)
        } else if length > rule.most {
            format!("Member must have length less than or equal to {}", rule.most)
        } else if !value.chars().all(rule.allowed) {
            format!("Member must satisfy regular expression pattern: {}", rule.pattern)
        } else {
            return Some(value);
        };
        let shown = if name == "WebIdentityToken" { "***" } else { value };
        self.refuse(&format!("'{shown}'"), name, &constraint);
        None
    }

    /// `NAME.member.N`, or a part of each member.
    pub(crate) fn list(&mut self, name: &str, part: &str, most: usize, rule: &Rule) -> Vec<&'a str> {
        let names = (1..).map(|n| format!("{name}.member.{n}{part}"));
        let found: Vec<String> = names.take_while(|name| self.request.param(name).is_some()).collect();
        if found.len() > most {
            let shown = format!("'[{} members]'", found.len());
            self.refuse(&shown, name, &format!("Member must have length less than or equal to {most}"));
        }
        found.iter().map(|name| self.required(name, rule)).collect()
    }

    pub(crate) fn tags(&mut self) -> Vec<(&'a str, &'a str)> {
        let keys = self.list("Tags", ".Key", 50, &TAG_KEY);
        (1..).zip(keys).map(|(n, key)| (key, self.required(&format!("Tags.member.{n}.Value"), &TAG_VALUE))).collect()
    }

    pub(crate) fn refuse(&mut self, shown: &str, name: &str, constraint: &str) {
        // AWS writes `tags.1.member.key` for `Tags.member.1.Key`.
        let mut parts: Vec<&str> = name.split('.').collect();
        if parts.len() > 2 {
            parts.swap(1, 2);
        }
        let small = |part: &str| format!("{}{}", part[..1].to_ascii_lowercase(), &part[1..]);
        let field = parts.into_iter().map(small).collect::<Vec<_>>().join(".");
        self.wrong.push(format!("Value {shown} at '{field}' failed to satisfy constraint: {constraint}"));
    }

    /// `DurationSeconds`.
    pub(crate) fn duration(&mut self, least: u64, most: u64) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.request.param("DurationSeconds") else {
            return Ok(None);
        };
        let value: u64 =
            text.parse().map_err(|_| ("MalformedInput", format!("Malformed input at 'DurationSeconds': '{text}'")))?;
        let mut refuse = |bound: &str| {
            self.refuse(&format!("'{value}'"), "DurationSeconds", &format!("Member must have value {bound}"));
        };
        if value < least {
            refuse(&format!("greater than or equal to {least}"));
        } else if value > most {
            refuse(&format!("less than or equal to {most}"));
        }
        Ok(Some(value))
    }

    pub(crate) fn finish(self) -> Result<(), Refusal> {
        if self.wrong.is_empty() {
            return Ok(());
        }
        let errors = if self.wrong.len() == 1 { "error" } else { "errors" };
        let message = format!("{} validation {errors} detected: {}", self.wrong.len(), self.wrong.join("; "));
        Err(("ValidationError", message))
    }
}
