//! The sandbox as its clients see it: each check bites, each fault happens.

mod access;
mod chaining;
mod client;
mod container;
mod control;
mod exchange;
mod faults;
mod google;
mod handle;
mod identity_token;
mod imds;
mod metadata;
mod places;
mod pods;
mod program;
mod proxies;
mod signed;
mod sts;
