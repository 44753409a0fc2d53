//! When to try again, when to refresh.

pub mod retry;
pub mod schedule;
