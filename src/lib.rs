//! fedboot stands in front of a container's command and gives it short-lived cloud credentials, without any key.
//!
//! ```text
//!                      ┌──────────── agent (a process of its own) ───────────┐
//!  who am I here?      │ what do I get for it?        where do clients look? │
//!  identity ───proof──▶│ exchange ─────credentials──▶ delivery ──────────────┼──▶ file · endpoint · token · cache
//!    ▲                 │                                                     │
//!    └──── schedule ◀──┴───────── expiration, or an error that retries ──────┘
//!  boot: start the agent ─▶ wait for its first word ─▶ set the environment ─▶ exec COMMAND
//! ```
//!
//! The agent is this executable started again. It does the first exchange too, so first issue and refresh are one
//! code path, no thread has to survive an exec, and the parent holds no runtime and no secret.
//!
//! In reading order:
//!
//! - [`boot`]: what happens from argv to exec, and the subcommands; [`cli`] reads argv, [`config`] says what it means with
//!   the environment, [`roles`] and [`delivery_choice`] are parts of that, [`template`] is for values with placeholders.
//! - [`agent`]: the process; [`keeper`]: the loop, one for each role; [`schedule`] and [`retry`] say when, [`first_word`] is
//!   said to whoever waits, to a parent as a [`report`]; [`status`] is for everybody.
//! - [`flow`]: what flows through the stages, and the trait of each; [`route`] and [`deliveries`] put them together.
//! - [`identity`], [`exchange`], [`delivery`]: the stages. None knows another.
//! - [`credential_process`]: the same for a client that asks by itself, from a cache.
//! - [`world`] and [`http`]: the door to the outside; [`process`]: the Unix corner; [`log`], [`error`].

pub mod agent;
pub mod boot;
pub mod cli;
pub mod config;
pub mod credential_process;
pub mod deliveries;
pub mod delivery;
pub mod delivery_choice;
pub mod error;
pub mod exchange;
pub mod first_word;
pub mod flow;
pub mod http;
pub mod identity;
pub mod keeper;
pub mod log;
pub mod process;
pub mod report;
pub mod retry;
pub mod roles;
pub mod route;
pub mod schedule;
pub mod status;
pub mod template;
pub mod world;
