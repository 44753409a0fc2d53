//! The names of files that this program makes for itself.

/// The beginning of the names of files beside the credentials file.
pub const PREFIX: &str = ".fedboot-";
/// The ends of the names of files that living processes hold.
pub const TOKEN_SUFFIX: &str = ".token";
/// See [`TOKEN_SUFFIX`].
pub const WEB_IDENTITY_SUFFIX: &str = ".jwt";
/// See [`TOKEN_SUFFIX`].
pub const ACCESS_TOKEN_SUFFIX: &str = ".access-token";
