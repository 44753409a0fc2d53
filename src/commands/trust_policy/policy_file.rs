//! A policy as people have it: the document alone, what `aws iam get-role` prints, a template that names one, or any of
//! these URL-encoded, as IAM answers it.

use fedboot_policy::document::{self, Policy, Refusal};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::system::http::percent_decoded;

/// The field under which IAM and its templates have it.
const FIELD: &str = "AssumeRolePolicyDocument";
/// A document in a text in a document; more is no accident.
const DEEPEST: usize = 4;

/// The policy in the content of `file`.
///
/// # Errors
/// A usage error that says why it is none.
pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Policy> {
    let text = String::from_utf8_lossy(bytes);
    let document = document(file, text.trim_start_matches('\u{feff}').trim(), DEEPEST)?;
    Policy::from_value(&document).map_err(|refusal| refused(file, &refusal))
}

fn document(file: &str, text: &str, depth: usize) -> Result<Value> {
    let too_deep = || Error::usage(format!("{file} holds a text in a text in a text"));
    let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
    if text.is_empty() {
        return Err(Error::usage(format!("{file} is empty")));
    }
    if text.starts_with("%7B") || text.starts_with("%7b") {
        return document(file, percent_decoded(text).trim(), depth);
    }
    let value = document::json(text).map_err(|refusal| refused(file, &refusal))?;
    match &value {
        Value::String(inner) => document(file, inner.trim(), depth),
        Value::Object(fields) if !fields.contains_key("Statement") => match found_in(&value)[..] {
            [Value::String(inner)] => document(file, inner.trim(), depth),
            [inner] => Ok(inner.clone()),
            [] => Ok(value),
            _ => Err(Error::usage(format!("{file} holds several trust policies"))
                .advice("name one: aws iam get-role --role-name NAME")),
        },
        _ => Ok(value),
    }
}

/// All trust policies in a document.
fn found_in(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, value)| if name == FIELD { vec![value] } else { found_in(value) }).collect()
        }
        Value::Array(items) => items.iter().flat_map(found_in).collect(),
        _ => Vec::new(),
    }
}

/// What stands in `file` is no policy.
fn refused(file: &str, refusal: &Refusal) -> Error {
    Error::usage(format!("{file} is no trust policy that AWS would take: {refusal}"))
}
