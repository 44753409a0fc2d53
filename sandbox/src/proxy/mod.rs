//! What stands between a client and the clouds.

pub(crate) mod connect;
pub(crate) mod delay;
mod listening;
