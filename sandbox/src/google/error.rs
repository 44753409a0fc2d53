//! Google's [errors](https://cloud.google.com/apis/design/errors) in JSON.

use serde_json::{Value, json};

use crate::reply::Reply;

/// An error of Google's by its name, with the status and message that usually go with it.
pub(crate) fn error(name: &str, message: Option<String>, status: Option<u16>) -> Reply {
    let usual = match name {
        "UNAUTHENTICATED" => 401,
        "PERMISSION_DENIED" => 403,
        "NOT_FOUND" => 404,
        "RESOURCE_EXHAUSTED" => 429,
        "INTERNAL" => 500,
        "UNAVAILABLE" => 503,
        _ => 400,
    };
    let message = message.unwrap_or_else(|| "This fault was asked for.".into());
    refused(status.unwrap_or(usual), name, &message, None)
}

/// An error with its details, if it has any.
pub(crate) fn refused(status: u16, name: &str, message: &str, info: Option<Value>) -> Reply {
    let mut error = json!({"code": status, "message": message, "status": name});
    if let Some(mut info) = info {
        info["@type"] = json!("type.googleapis.com/google.rpc.ErrorInfo");
        error["details"] = json!([info]);
    }
    Reply::json(status, &json!({"error": error}), format!("refused: {name}: {message}"))
}

/// An error of Google's [OAuth endpoints](https://www.rfc-editor.org/rfc/rfc6749#section-5.2).
pub(crate) fn oauth(error: &str, description: &str, status: Option<u16>) -> Reply {
    let body = json!({"error": error, "error_description": description});
    Reply::json(status.unwrap_or(400), &body, format!("refused: {error}: {description}"))
}
