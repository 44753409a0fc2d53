//! From a foreign assertion to a federated identity:
//! [attribute mapping and conditions](https://cloud.google.com/iam/docs/workload-identity-federation#mapping).

use std::collections::BTreeMap;

use ::cel::Value as CelValue;
use serde_json::{Value, json};

use crate::language::cel;
use crate::settings::provider::{Provider, SUBJECT};
use crate::state::access_token::Federated;

const LONGEST_SUBJECT: usize = 127;
/// An OAuth error: its code and its description. What follows a NUL is for the log.
pub(crate) type Refusal = (&'static str, String);

/// Whom the provider sees in an assertion.
pub(crate) fn federated(provider: &Provider, assertion: &Value) -> Result<Federated, Refusal> {
    let names = json!({"assertion": assertion});
    let mut attributes = BTreeMap::new();
    let mut subject = String::new();
    for (name, expression) in &provider.attribute_mapping {
        let value = match cel::value(expression, &names) {
            Ok(CelValue::String(text)) => text.to_string(),
            Ok(_) => return Err(invalid_mapping(name, "a text is wanted")),
            Err(why) => return Err(invalid_mapping(name, &format!("{why:#}"))),
        };
        match name.strip_prefix("attribute.") {
            Some(name) => drop(attributes.insert(name.to_string(), value)),
            None => subject = value,
        }
    }
    if subject.is_empty() {
        return Err(invalid_mapping(SUBJECT, "it is empty"));
    }
    if subject.len() > LONGEST_SUBJECT {
        let message = format!(
            "The size of mapped attribute {SUBJECT} exceeds the {LONGEST_SUBJECT} bytes limit. Either modify your \
             attribute mapping or the incoming assertion to produce a mapped attribute that is less than \
             {LONGEST_SUBJECT} bytes."
        );
        return Err(("invalid_request", message));
    }
    if let Some(condition) = &provider.attribute_condition {
        let names = json!({"assertion": assertion, "attribute": attributes, "google": {"subject": subject}});
        let holds = cel::value(condition, &names);
        if !matches!(holds, Ok(CelValue::Bool(true))) {
            let no = || format!("{condition} does not hold for {names}");
            let why = holds.err().map_or_else(no, |why| format!("{why:#}"));
            let message = "The given credential is rejected by the attribute condition.";
            return Err(("unauthorized_client", format!("{message}\u{0}{why}")));
        }
    }
    Ok(Federated { pool: provider.pool().to_string(), subject, attributes })
}

fn invalid_mapping(name: &str, why: &str) -> Refusal {
    let message = format!("Failed to evaluate the attribute mapping of {name}.\u{0}{why}");
    ("invalid_grant", message)
}
