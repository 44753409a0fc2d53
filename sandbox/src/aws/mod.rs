//! Amazon's side: where keys come from, and STS, which knows whose they are.

pub(crate) mod container;
pub(crate) mod imds;
pub(crate) mod place;
pub(crate) mod pod;
pub(crate) mod role;
pub(crate) mod session;
pub(crate) mod sigv4;
pub(crate) mod sts;
pub(crate) mod trust;
pub(crate) mod xml;
