//! What stands in tokens and policies, as it is printed.

use serde_json::Value;

use crate::system::shown;

/// A document without what begins like a token, which somebody put into the wrong place.
pub(super) fn without_tokens(value: &Value) -> Value {
    let cut = |text: &str| if shown::has_token(text) { shown::CUT.to_owned() } else { text.to_owned() };
    match value {
        Value::String(text) => cut(text).into(),
        Value::Array(items) => items.iter().map(without_tokens).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (cut(name), without_tokens(value))).collect(),
        other => other.clone(),
    }
}

/// A value of a token or a policy, as text shows it.
pub(super) fn quoted(text: &str) -> String {
    let shown = shown::claim(text);
    if shown == text || !shown.starts_with("a value of ") { format!("\"{shown}\"") } else { shown }
}
