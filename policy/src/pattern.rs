//! Wildcards and [variables](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html).

use crate::context::{Context, Found};

/// A part of what a policy wants a text to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This character.
    Character(char),
    /// `?`: any one.
    One,
    /// `*`: any number of any.
    Many,
}

/// A value of a policy, its variables filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What looks like this.
    Pattern(Vec<Piece>),
    /// Nothing: a variable in it has no value, and nothing is like that.
    Nothing,
    /// A variable in it has a value that nobody here knows.
    Unknown,
}

/// Reads a value. `variables` are those of a request; none where the policy's version or the operator knows no variables.
pub fn read(text: &str, variables: Option<&Context>, has_wildcards: bool) -> Wanted {
    let mut pieces = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let variable = rest.strip_prefix("${").and_then(|rest| rest.split_once('}'));
        if let (Some(context), Some((inside, after))) = (variables, variable) {
            match value(inside, context) {
                Ok(value) => pieces.extend(value.chars().map(Piece::Character)),
                Err(wanted) => return wanted,
            }
            rest = after;
            continue;
        }
        pieces.push(match character {
            '*' if has_wildcards => Piece::Many,
            '?' if has_wildcards => Piece::One,
            other => Piece::Character(other),
        });
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
    }
    Wanted::Pattern(pieces)
}

/// What stands for `${inside}`.
fn value(inside: &str, context: &Context) -> Result<String, Wanted> {
    if ["*", "?", "$"].contains(&inside) {
        return Ok(inside.into());
    }
    let (name, default) = match inside.split_once(',') {
        Some((name, default)) => (name, default.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\''))),
        None => (inside, None),
    };
    match (context.find(name.trim()), default) {
        (Found::Unknown, _) => Err(Wanted::Unknown),
        (Found::Values(values), _) if values.len() == 1 => Ok(values.concat()),
        (_, Some(default)) => Ok(default.into()),
        // A key with several values can be no variable.
        _ => Err(Wanted::Nothing),
    }
}

/// Whether `text` looks like `pattern`. Takes no longer than the product of their lengths, whatever they are.
pub fn is_like(pattern: &[Piece], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut piece, mut at) = (0_usize, 0_usize);
    // What comes behind the last `*`, and where the text behind it would begin at the latest try.
    let mut behind_many: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(piece), text.get(at)) {
            (None, None) => return true,
            (Some(Piece::Many), _) => {
                piece = piece.saturating_add(1);
                behind_many = Some((piece, at));
                continue;
            }
            (Some(Piece::One), Some(_)) => {}
            (Some(Piece::Character(wanted)), Some(found)) if wanted == found => {}
            _ => match behind_many {
                Some((first, from)) if from < text.len() => {
                    (piece, at) = (first, from.saturating_add(1));
                    behind_many = Some((piece, at));
                    continue;
                }
                _ => return false,
            },
        }
        (piece, at) = (piece.saturating_add(1), at.saturating_add(1));
    }
}

/// Whether `text` looks like `pattern`, in which `*` and `?` are wildcards, without regard to case.
pub fn is_like_in_any_case(pattern: &str, text: &str) -> bool {
    match read(&pattern.to_lowercase(), None, true) {
        Wanted::Pattern(pieces) => is_like(&pieces, &text.to_lowercase()),
        Wanted::Nothing | Wanted::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        let many = format!("{}b", "*a".repeat(200));
        let text = "a".repeat(5000);
        for (pattern, text, is) in [
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("repo:acme/*", "repo:acme/x:ref:refs/heads/main", true),
            ("repo:acme/*", "repo:acme", false),
            ("ä?", "äö", true),
            (&many, &text, false),
        ] {
            let Wanted::Pattern(pieces) = read(pattern, None, true) else { panic!("{pattern}") };
            assert_eq!(is_like(&pieces, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn variables() {
        let mut context = Context::open();
        context.set("aws:RequestedRegion", "eu-*");
        context.insert("x:amr", Found::Values(vec!["a".into(), "b".into()]));
        let text = |text: &str| Wanted::Pattern(text.chars().map(Piece::Character).collect());
        for (written, wanted) in [
            ("a${aws:requestedRegion}b", text("aeu-*b")),
            ("${*}${?}${$}", text("*?$")),
            ("${aws:username}", Wanted::Nothing),
            ("${aws:username, 'nobody'}", text("nobody")),
            ("${aws:username,'nobody'}", text("nobody")),
            ("${x:amr}", Wanted::Nothing),
            ("${x:amr, 'c'}", text("c")),
            ("${aws:SourceIp}", Wanted::Unknown),
            ("${aws:SourceIp", text("${aws:SourceIp")),
            ("$x{}", text("$x{}")),
        ] {
            assert_eq!(read(written, Some(&context), true), wanted, "{written}");
        }
        // Of a version without variables.
        assert_eq!(read("${a}", None, true), text("${a}"));
    }
}
