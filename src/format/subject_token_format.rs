//! How a subject token stands in its file or in a server's answer.
//! <https://google.aip.dev/auth/4117#determining-the-subject-token-in-file-sourced-credentials>

use secrecy::SecretString;
use serde_json::Value;

/// How a token stands in its file or answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectTokenFormat {
    /// As it is.
    Text,
    /// In this field of a JSON object.
    Json(String),
}

impl SubjectTokenFormat {
    /// The token in what a file or a server says.
    ///
    /// # Errors
    /// Why there is none, without any part of it.
    pub fn token(&self, bytes: &[u8]) -> std::result::Result<SecretString, String> {
        let token = match self {
            Self::Text => String::from_utf8_lossy(bytes).trim().to_owned(),
            Self::Json(field) => {
                let json: Value = serde_json::from_slice(bytes).map_err(|_| "is no JSON".to_owned())?;
                let text = json.get(field).and_then(Value::as_str);
                text.ok_or("has no string in the field that \"subject_token_field_name\" names")?.trim().to_owned()
            }
        };
        if token.is_empty() { Err("is empty".into()) } else { Ok(SecretString::from(token)) }
    }
}
