//! What do I get for it? One file an action; each makes [`Credentials`](crate::model::flow::Credentials) of a proof, or of
//! credentials that came before.

pub mod google_sts;
pub mod sts;
