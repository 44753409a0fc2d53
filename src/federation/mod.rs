//! Identity and exchange put together, one file a direction; and who keeps what came of it, for all who ask.

pub mod aws_signer;
pub mod aws_to_google;
pub mod google_to_aws;
pub mod shared_cache;
pub mod token_cache;
pub mod token_quota;
