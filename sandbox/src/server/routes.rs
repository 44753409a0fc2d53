//! Which service answers, and how it says that something is wrong.

use std::collections::BTreeMap;

use crate::aws::{container, imds, sts};
use crate::google::{self, iam_credentials, keys, metadata};
use crate::reply::Reply;
use crate::settings::names::Service;
use crate::state::State;
use crate::state::log::Request;

pub(crate) fn answer(state: &State, request: &Request, skew: i64) -> Reply {
    match request.service {
        Service::Metadata => metadata::answer(state, request, skew),
        Service::Jwks => keys::answer(request),
        Service::IamCredentials => iam_credentials::answer(state, request, skew),
        Service::Sts => sts::answer(state, request, skew),
        Service::Imds => imds::answer(state, request, skew),
        Service::Container => container::answer(state, request, skew),
        Service::GoogleSts => google::sts::answer(state, request, skew),
    }
}

/// An error as the service writes it.
pub(crate) fn error(
    state: &State,
    service: Service,
    code: &str,
    message: Option<String>,
    status: Option<u16>,
) -> Reply {
    match service {
        Service::IamCredentials => google::error::error(code, message, status),
        Service::GoogleSts => {
            google::error::oauth(code, message.as_deref().unwrap_or("This fault was asked for."), status)
        }
        Service::Imds => imds::error(code, status),
        Service::Container => container::error(code, message, status),
        Service::Sts | Service::Metadata | Service::Jwks => {
            sts::error(&state.settings().dialect, code, message, status)
        }
    }
}

/// The service behind a port that a path belongs to, and what the request is called in the log.
pub(crate) fn named(port: Service, path: &str, params: &BTreeMap<String, String>) -> (Service, String) {
    let service = if port == Service::IamCredentials { keys::service_of(path) } else { port };
    let last = path.split('/').rfind(|part| !part.is_empty());
    let action = match service {
        Service::Sts => params.get("Action").cloned().unwrap_or_default(),
        Service::Metadata => last.unwrap_or("/").to_string(),
        Service::Jwks => "jwks".to_string(),
        Service::IamCredentials => path.rsplit([':', '/']).next().unwrap_or("").to_string(),
        Service::Imds => imds::action(path),
        Service::Container => container::action(path).to_string(),
        Service::GoogleSts => "exchange".to_string(),
    };
    (service, action)
}
