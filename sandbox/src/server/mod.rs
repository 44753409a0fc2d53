//! From a connection to an answer: `listener` accepts, `serving` logs and lets faults happen, `routes` asks the service,
//! `sending` lets the answer out.

pub(crate) mod certs;
pub(crate) mod listener;
mod routes;
pub(crate) mod sending;
pub(crate) mod serving;
