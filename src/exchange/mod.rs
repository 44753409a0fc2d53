//! What do I get for it? One file a service; each makes [`Credentials`](crate::flow::Credentials) of a proof.

pub mod sts;
mod sts_errors;
pub mod sts_hosts;
mod sts_reply;
