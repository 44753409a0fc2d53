//! A key that stands twice in one object: JSON parsers keep one of the two, AWS refuses the document.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html#policies-grammar-notes>

use std::collections::BTreeSet;

/// The first key that stands twice in one object of `text`, which is JSON, and the line of the second one.
pub fn first(text: &str) -> Option<(String, usize)> {
    // The keys of each object that is open.
    let mut open: Vec<BTreeSet<String>> = Vec::new();
    let mut line = 1_usize;
    let mut characters = text.char_indices();
    while let Some((start, character)) = characters.next() {
        match character {
            '\n' => line = line.saturating_add(1),
            '{' => open.push(BTreeSet::new()),
            '}' => drop(open.pop()),
            '"' => {
                let end = end_of_string(&mut characters)?;
                let (word, rest) = text.get(start..)?.split_at_checked(end.checked_sub(start)?)?;
                if rest.trim_start().starts_with(':') {
                    let key: String = serde_json::from_str(word).ok()?;
                    if !open.last_mut()?.insert(key.clone()) {
                        return Some((key, line));
                    }
                }
            }
            _ => {}
        }
    }
    None
}

/// Where the string ends whose opening quotation mark was read: behind the closing one.
fn end_of_string(characters: &mut std::str::CharIndices<'_>) -> Option<usize> {
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '"' => return at.checked_add(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_second_one() {
        for (text, found) in [
            (r#"{"a": 1, "b": {"a": 2}, "c": [{"a": 1}, {"a": 1}]}"#, None),
            (r#"{"a": "a", "b": ["a", "a"]}"#, None),
            ("{\"a\": {\"b\": 1,\n \"b\" : 2}}", Some(("b", 2))),
            ("{\"a\": {\"b\": {}},\n\n \"a\": 2}", Some(("a", 3))),
            (r#"{"a\"": 1, "a": 2, "\u0061": 3}"#, Some(("a", 1))),
            (r#"{"a": "{", "b": "}", "b": 1}"#, Some(("b", 1))),
        ] {
            assert_eq!(first(text), found.map(|(key, line)| (key.to_owned(), line)), "{text}");
        }
    }
}
