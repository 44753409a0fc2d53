//! Names and values that a template may ask for: host name, project, service account, metadata attributes.

/// A fact about the workload that a template may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The service account's address up to the `@`.
    ServiceAccount,
    /// The service account's address.
    ServiceAccountEmail,
    /// The project id.
    Project,
    /// The host name, as the kernel says it.
    Hostname,
    /// The instance's name.
    InstanceName,
    /// An instance attribute, else a project attribute.
    Attribute(String),
}
