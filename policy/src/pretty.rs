//! A policy for people: its elements in the order in which everybody writes them.

use std::fmt::Write as _;

use serde_json::Value;

const ORDER: &[&str] =
    &["Version", "Id", "Statement", "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Condition"];

/// The document on lines of its own, indented by two spaces.
pub fn print(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value, 0);
    text.push('\n');
    text
}

fn write(text: &mut String, value: &Value, depth: usize) {
    let inner = depth.saturating_add(1);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let known = ORDER.iter().filter_map(|name| fields.get_key_value(*name));
            let others = fields.iter().filter(|(name, _)| !ORDER.contains(&name.as_str()));
            for (number, (name, value)) in known.chain(others).enumerate() {
                text.push_str(if number == 0 { "{" } else { "," });
                let _ = write!(text, "\n{:1$}{2}: ", "", inner.saturating_mul(2), Value::from(name.as_str()));
                write(text, value, inner);
            }
            let _ = write!(text, "\n{:1$}}}", "", depth.saturating_mul(2));
        }
        Value::Array(items) if !items.is_empty() => {
            for (number, item) in items.iter().enumerate() {
                text.push_str(if number == 0 { "[" } else { "," });
                let _ = write!(text, "\n{:1$}", "", inner.saturating_mul(2));
                write(text, item, inner);
            }
            let _ = write!(text, "\n{:1$}]", "", depth.saturating_mul(2));
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn in_order() {
        let policy = json!({"Statement": [{"Condition": {}, "Action": ["a"], "Effect": "Allow"}], "Version": "x"});
        let lines = [
            "{",
            "  \"Version\": \"x\",",
            "  \"Statement\": [",
            "    {",
            "      \"Effect\": \"Allow\",",
            "      \"Action\": [",
            "        \"a\"",
            "      ],",
            "      \"Condition\": {}",
            "    }",
            "  ]",
            "}",
            "",
        ];
        assert_eq!(print(&policy), lines.join("\n"));
    }
}
