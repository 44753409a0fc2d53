//! What do I get for it? One file an action; each makes [`Credentials`](crate::flow::Credentials) of a proof, or of
//! credentials that came before.

pub mod assume_role;
pub mod caller_identity;
pub mod google_sts;
pub mod signature;
pub mod sts;
mod sts_errors;
pub mod sts_hosts;
pub mod sts_reply;
pub mod web_identity;
pub mod web_identity_token;
