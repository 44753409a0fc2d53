//! Amazon's side: where keys come from, and STS, which knows whose they are.

mod assume;
pub(crate) mod container;
mod form;
mod identity_token;
pub(crate) mod imds;
pub(crate) mod session;
pub(crate) mod sigv4;
pub(crate) mod sts;
mod trust;
mod xml;
