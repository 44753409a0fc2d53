//! The endpoints that give keys to containers: that of
//! [ECS tasks](https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html), whose path is the
//! secret, and that of
//! [EKS Pod Identity](https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html), which wants the
//! pod's token in `Authorization`. A replaced token is refused.

use serde_json::json;

use crate::aws::session;
use crate::clock::{rfc3339, shifted};
use crate::reply::Reply;
use crate::state::State;
use crate::state::log::Request;

const TASKS: &str = "/v2/credentials/";
/// Pod Identity's path.
pub(crate) const PODS: &str = "/v1/credentials";

/// The path for a task, with its id.
pub(crate) fn task_path(id: &str) -> String {
    format!("{TASKS}{id}")
}

/// What a request is called in the log.
pub(crate) fn action(path: &str) -> &'static str {
    match path {
        PODS => "pod-credentials",
        _ => "task-credentials",
    }
}

pub(crate) fn answer(state: &State, request: &Request, skew: i64) -> Reply {
    if request.method != "GET" {
        return refused(405, "MethodNotAllowed", "GET is wanted");
    }
    let session = match request.path.as_str() {
        PODS => match request.header("authorization") {
            None | Some("") => {
                return refused(400, "InvalidRequestException", "Service account token cannot be empty");
            }
            Some(token) if state.pod.is_identity_token(token) => state.pod.session_name(),
            Some(_) => {
                let message = "Service account token is invalid: it is not the pod's, or it has been replaced";
                return refused(401, "InvalidTokenException", message);
            }
        },
        path => match path.strip_prefix(TASKS) {
            Some(id) if id == state.task_id => id.replace('-', ""),
            Some(_) => return refused(400, "InvalidIdInRequest", "CredentialsV2Request: Credentials not found"),
            None => return refused(404, "NotFound", "no such path"),
        },
    };
    let settings = state.settings();
    let issued = session::at_place(state, &settings, &settings.workload_role, &session);
    let mut body = json!({
        "AccessKeyId": issued.access_key_id,
        "SecretAccessKey": issued.secret_access_key,
        "Token": issued.session_token,
        "Expiration": rfc3339(shifted(issued.expires_at, skew), settings.dialect.nanoseconds),
    });
    if request.path == PODS {
        body["AccountId"] = json!(issued.account);
    } else {
        body["RoleArn"] = json!(issued.role_arn);
    }
    Reply::json(200, &body, format!("{} of {}", issued.access_key_id, issued.assumed_role_arn))
}

/// An error by its code, for a fault.
pub(crate) fn error(code: &str, message: Option<String>, status: Option<u16>) -> Reply {
    refused(status.unwrap_or(500), code, &message.unwrap_or_else(|| "This fault was asked for.".into()))
}

fn refused(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"code": code, "message": message}), format!("refused: {code}: {message}"))
}
