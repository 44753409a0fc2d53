//! Google's published keys, and the document that says where they are.

use serde_json::json;

use crate::jwt::key::{Key, PUBLISHED};
use crate::reply::Reply;
use crate::settings::names::Service;
use crate::state::log::Request;

/// Where Google publishes its keys.
pub(crate) const JWKS_PATH: &str = "/oauth2/v3/certs";
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// Which service a path on the shared listener belongs to.
pub(crate) fn service_of(path: &str) -> Service {
    match path {
        JWKS_PATH | DISCOVERY_PATH => Service::Jwks,
        _ => Service::IamCredentials,
    }
}

pub(crate) fn answer(request: &Request) -> Reply {
    let host = request.header("host").unwrap_or("localhost");
    let scheme = if request.tls { "https" } else { "http" };
    match request.path.as_str() {
        JWKS_PATH => Reply::json(200, &Key::jwks(&[&PUBLISHED]), "the published key"),
        _ => Reply::json(
            200,
            &json!({
                "issuer": "https://accounts.google.com",
                "jwks_uri": format!("{scheme}://{host}{JWKS_PATH}"),
                "id_token_signing_alg_values_supported": ["RS256"],
                "subject_types_supported": ["public"],
                "response_types_supported": ["id_token"],
            }),
            "the discovery document",
        ),
    }
}
