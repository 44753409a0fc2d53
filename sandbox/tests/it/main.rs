//! The sandbox as its clients see it: each check bites, each fault happens.

mod chaining;
mod client;
mod control;
mod faults;
mod google;
mod handle;
mod metadata;
mod program;
mod proxies;
mod signed;
mod sts;
