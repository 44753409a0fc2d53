//! Scopes of Google's access tokens: <https://developers.google.com/identity/protocols/oauth2/scopes>.

use crate::error::{Result, reasons};
use crate::system::input::InputValue;

/// Those that are no URLs: <https://openid.net/specs/openid-connect-core-1_0.html#ScopeClaims>.
const SHORT: [&str; 3] = ["openid", "email", "profile"];

/// The scope, if it can be one.
///
/// # Errors
/// A usage error with the scope that may be meant.
pub fn check(given: &InputValue) -> Result<String> {
    let text = given.text()?;
    if text.starts_with("https://") || SHORT.contains(&text) {
        return Ok(text.to_owned());
    }
    let error = given.bad("is no scope").reason(&reasons::SCOPE_REFUSED);
    let is_name = text.len() <= 60 && text.bytes().all(|byte| byte.is_ascii_lowercase() || b"-._".contains(&byte));
    let meant = if is_name { text } else { "cloud-platform" };
    Err(error.advice(format!("scopes are URLs: write https://www.googleapis.com/auth/{meant}")))
}
