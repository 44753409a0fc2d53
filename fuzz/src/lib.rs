//! What is fuzzed, by name: each target takes bytes and panics where fedboot would, or where it breaks a promise.

mod go_ini;
mod parsers;
mod servers;

/// One target.
pub type Target = fn(&[u8]);

/// All targets.
pub const TARGETS: &[(&str, Target)] = &[
    ("ini", parsers::ini),
    ("jwt", parsers::jwt),
    ("sts", parsers::sts),
    ("external-account", parsers::external_account),
    ("credentials", parsers::credentials),
    ("options", parsers::options),
    ("template", parsers::template),
    ("url", parsers::url),
    ("shown", parsers::shown),
    ("report", parsers::report),
    ("credentials-endpoint", servers::credentials_endpoint),
    ("metadata-server", servers::metadata_server),
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(of, _)| *of == name).map(|(_, target)| *target)
}
