//! What changes in the command's environment.

use std::ffi::OsString;
use std::fmt::Write as _;

/// Changes to the command's environment. What is both set and unset is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Names and values to set.
    pub set: Vec<(OsString, OsString)>,
    /// Names to remove.
    pub unset: Vec<OsString>,
}

impl Environment {
    /// Adds `name=value`.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.set.push((name.into(), value.into()));
    }

    /// Adds the removal of `name`.
    pub fn unset(&mut self, name: &str) {
        self.unset.push(name.into());
    }

    /// The changes as a shell's commands.
    pub fn exports(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.set {
            let value = value.to_string_lossy().replace('\'', "'\\''");
            let _ = writeln!(text, "export {}='{value}';", name.to_string_lossy());
        }
        for name in self.unset.iter().filter(|name| !self.set.iter().any(|(set, _)| set == *name)) {
            let _ = writeln!(text, "unset {};", name.to_string_lossy());
        }
        text
    }

    /// Adds all changes of `other`.
    pub fn merge(&mut self, other: Self) {
        self.set.extend(other.set);
        self.unset.extend(other.unset);
    }
}
