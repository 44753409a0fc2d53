//! What was typed + environment (+ metadata attributes, + files) → what is meant. Values are checked here, once.

pub mod aws_identity;
pub mod delivery;
pub mod direction;
pub mod external_account;
pub mod help;
pub mod misspelled;
pub mod option_table;
pub mod options;
pub mod roles;
pub mod scopes;
pub mod settings;
pub mod sts;
pub mod template;
pub mod to_aws;
pub mod to_google;
pub mod values;
