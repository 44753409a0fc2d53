//! What flows from stage to stage.

pub mod client;
pub mod credentials_json;
pub mod flow;
