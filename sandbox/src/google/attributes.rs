//! From a foreign assertion to a federated identity:
//! [attribute mapping and conditions](https://cloud.google.com/iam/docs/workload-identity-federation#mapping).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::google::cel;
use crate::google::provider::Provider;
use crate::google::tokens::Federated;

const SUBJECT: &str = "google.subject";
const LONGEST_SUBJECT: usize = 127;
/// The role without the session, as gcloud maps it where nothing else is said.
pub(crate) const AWS_ROLE: &str = "assertion.arn.contains('assumed-role') ? \
     assertion.arn.extract('{account_arn}assumed-role/') + 'assumed-role/' + \
     assertion.arn.extract('assumed-role/{role_name}/') : assertion.arn";

/// Refuses a mapping that Google would not store, or that is not understood here.
pub(crate) fn check(provider: &Provider) -> Result<(), String> {
    if !provider.attribute_mapping.contains_key(SUBJECT) {
        return Err(format!("the mapping has no {SUBJECT}"));
    }
    for (name, expression) in &provider.attribute_mapping {
        if name != SUBJECT && !name.starts_with("attribute.") {
            return Err(format!("{name} is neither {SUBJECT} nor attribute.NAME"));
        }
        cel::parse(expression).map_err(|why| format!("{name}: {why}"))?;
    }
    provider
        .attribute_condition
        .as_deref()
        .map_or(Ok(()), |condition| cel::parse(condition).map(|_| ()).map_err(|why| format!("condition: {why}")))
}

/// An OAuth error: its code and its description. What follows a NUL is for the log.
pub(crate) type Refusal = (&'static str, String);

/// Whom the provider sees in an assertion.
pub(crate) fn federated(provider: &Provider, assertion: &Value) -> Result<Federated, Refusal> {
    let names = json!({"assertion": assertion});
    let mut attributes = BTreeMap::new();
    let mut subject = String::new();
    for (name, expression) in &provider.attribute_mapping {
        let value = cel::parse(expression).and_then(|expression| expression.value(&names));
        let value = value.map_err(|why| invalid_mapping(name, &why))?;
        let value = value.as_str().ok_or_else(|| invalid_mapping(name, "a text is wanted"))?.to_string();
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
        let holds = cel::parse(condition).and_then(|condition| condition.holds(&names));
        if holds != Ok(true) {
            let why = holds.err().unwrap_or_else(|| format!("{condition} does not hold for {names}"));
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
