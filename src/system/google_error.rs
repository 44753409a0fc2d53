//! What a Google API's refusal says in its machine-readable parts: `status`, and the `reason`, `domain` and `metadata` of
//! `google.rpc.ErrorInfo`.
//! <https://cloud.google.com/apis/design/errors#error_model>, <https://google.aip.dev/193>.

use serde_json::Value;

use crate::error::{Error, Paste, reasons};
use crate::system::shown;

/// A refusal in JSON.
pub struct GoogleError<'a> {
    error: &'a Value,
    info: Option<&'a Value>,
}

impl<'a> GoogleError<'a> {
    /// What stands in the body of an answer; of a body that is none nothing is found.
    pub fn of(body: &'a Value) -> Self {
        let error = body.get("error").unwrap_or(&Value::Null);
        let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
        let mut infos = details.filter(|it| it.get("reason").is_some_and(Value::is_string));
        Self { error, info: infos.next() }
    }

    fn text(of: Option<&'a Value>, name: &str) -> &'a str {
        of.and_then(|it| it.get(name)).and_then(Value::as_str).unwrap_or_default()
    }

    /// `PERMISSION_DENIED` and its like.
    pub fn status(&self) -> &'a str {
        Self::text(Some(self.error), "status")
    }

    /// `IAM_PERMISSION_DENIED`, `SERVICE_DISABLED` and their like: why, whatever the message says.
    pub fn reason(&self) -> &'a str {
        Self::text(self.info, "reason")
    }

    /// A value that the reason comes with, if it is a name.
    pub fn metadata(&self, name: &str) -> Option<String> {
        let value = Self::text(self.info.and_then(|info| info.get("metadata")), name);
        Some(shown::name(value)).filter(|_| !value.is_empty())
    }

    /// Whether a field of the request is what is wrong: by `google.rpc.BadRequest`, or by the message of older servers.
    pub fn is_about(&self, field: &str) -> bool {
        let details = self.error.get("details").and_then(Value::as_array).into_iter().flatten();
        let violations = details.filter_map(|it| it.get("fieldViolations")?.as_array()).flatten();
        let mut fields = violations.filter_map(|it| it.get("field")?.as_str());
        fields.any(|name| name.contains(field))
            || Self::text(Some(self.error), "message").to_lowercase().contains(field)
    }

    /// Adds to `error` why IAM Credentials refuses to act as the service account `email`, as far as it needs no knowledge of
    /// who asks.
    pub fn explain(&self, error: Error, email: &str) -> Error {
        match (self.status(), self.reason()) {
            // Older answers say so in words alone.
            (_, "SERVICE_DISABLED") | ("PERMISSION_DENIED", "")
                if self.reason() != "" || self.is_about("it is disabled") =>
            {
                let service = self.metadata("service").unwrap_or_else(|| "iamcredentials.googleapis.com".into());
                let consumer = self.metadata("consumer").unwrap_or_default();
                let said = Self::text(Some(self.error), "message").split("in project ").nth(1).unwrap_or_default();
                let said = said.split(' ').next().filter(|name| {
                    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                });
                let project = consumer.rsplit('/').next().filter(|it| !it.is_empty()).or(said).unwrap_or("PROJECT");
                let command = format!("gcloud services enable {service} --project {project}");
                let values = [("service", service.as_str()), ("project", project)];
                error.because(&reasons::API_DISABLED, &values).paste(Paste::Command(command))
            }
            (_, "ACCESS_TOKEN_SCOPE_INSUFFICIENT") => error.because(&reasons::SCOPES, &[]),
            (_, "SECURITY_POLICY_VIOLATED" | "ORG_RESTRICTION_VIOLATION") => error.because(&reasons::ORGANISATION, &[]),
            ("RESOURCE_EXHAUSTED", _) | (_, "RATE_LIMIT_EXCEEDED") => error.because(&reasons::QUOTA, &[]),
            ("UNAUTHENTICATED", _) => error.because(&reasons::BEARER_REFUSED, &[]),
            ("NOT_FOUND", _) | (_, "ACCOUNT_STATE_INVALID") => {
                error.because(&reasons::NO_SUCH_ACCOUNT, &[("email", email)])
            }
            ("FAILED_PRECONDITION", _) if self.is_about("disabled") => {
                error.because(&reasons::NO_SUCH_ACCOUNT, &[("email", email)])
            }
            ("INVALID_ARGUMENT" | "FAILED_PRECONDITION", _) if self.is_about("lifetime") => {
                error.because(&reasons::LIFETIME, &[])
            }
            ("INVALID_ARGUMENT", _) if self.is_about("scope") => error.because(&reasons::SCOPE_REFUSED, &[]),
            _ if error.is_retryable() => error.because(&reasons::GOOGLE_DOWN, &[]),
            _ => error,
        }
    }

    /// Whether a binding is missing, as far as IAM tells: for an account that does not exist it says the same.
    pub fn is_missing_permission(&self) -> bool {
        self.reason() == "IAM_PERMISSION_DENIED" || self.status() == "PERMISSION_DENIED" && self.reason().is_empty()
    }
}
