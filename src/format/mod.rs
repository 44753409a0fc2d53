//! Bytes ↔ meaning, without any door to the outside.

pub mod ini;
pub mod jwt;
pub mod subject_token_format;
pub mod xml;
