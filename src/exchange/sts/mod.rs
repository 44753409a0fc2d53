//! AWS's Security Token Service: one file an action, and what they have in common.

pub mod assume_role;
pub mod caller_identity;
pub mod client;
pub mod errors;
pub mod hosts;
pub mod signature;
pub mod web_identity;
pub mod web_identity_token;
