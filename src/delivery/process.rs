//! A profile whose clients ask a process: the line in it that starts `fedboot credential-process`.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>

use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::system::process;

/// What stands behind `credential_process` in a profile: a shell line, which some SDKs read by shell-like rules of their
/// own. Each of `flags` is an option of `fedboot credential-process` with its value, which is empty for a switch.
///
/// # Errors
/// A usage error for what no profile can hold.
pub fn command_line(flags: impl IntoIterator<Item = (&'static str, String)>) -> Result<String> {
    let mut line = format!("{} credential-process", quoted(&process::own_executable())?);
    for (name, value) in flags {
        let _ = write!(line, " --{name}");
        if !value.is_empty() {
            let _ = write!(line, " {}", quoted(&value)?);
        }
    }
    Ok(line)
}

fn quoted(word: &str) -> Result<String> {
    if word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:@=+,%".contains(&b)) {
        return Ok(word.into());
    }
    // A quote ends some readers' words, and a comment may begin behind white space.
    let comment = [" #", " ;", "\t#", "\t;"].iter().any(|start| word.contains(start));
    if comment || word.contains(|c: char| c.is_control() || c == '\'' || c == '"' || c == '\\') {
        return Err(Error::usage("an option holds what cannot stand in a profile's credential_process line")
            .advice("leave quotes, backslashes and control characters out"));
    }
    Ok(format!("'{word}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_line() {
        for (word, line) in [
            ("/usr/bin/fedboot", Some("/usr/bin/fedboot")),
            ("arn:aws:iam::1:role/{hostname}", Some("'arn:aws:iam::1:role/{hostname}'")),
            ("a b", Some("'a b'")),
            ("$(x)`;", Some("'$(x)`;'")),
            ("it's", None),
            ("a\nb", None),
            ("a #b", None),
        ] {
            assert_eq!(quoted(word).ok().as_deref(), line, "{word}");
        }
    }
}
