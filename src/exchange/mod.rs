//! What do I get for it? One file an action: a proof, or credentials that came before, become credentials, a token, or the
//! proof of the next action.

pub mod google_sts;
pub mod sts;
