//! fedboot stands in front of a container's real command and gives it short-lived cloud credentials, without any key.
//!
//! ```text
//!                      ┌─────── agent (a process of its own, guarded) ────────┐
//!  who am I here?      │ what do I get for it?        where do clients look? │
//!  identity ───proof──▶│ exchange ─────credentials──▶ delivery ──────────────┼──▶ file · endpoint · token · cache
//!    ▲                 │                                                     │    metadata server
//!    └──── schedule ◀──┴───────── expiration, or an error that retries ──────┘
//!  boot: fork the guard ─▶ wait for the first word ─▶ set the environment ─▶ exec COMMAND
//!            └▶ guard: fork the agent, and another one when that is killed
//! ```
//!
//! Guard and agent are forks of the process that becomes the command, which has one thread and no secret of a cloud. The
//! agent does the first exchange too, so first issue and refresh are one code path, and no thread has to survive an exec.
//! The guard has the sockets open, and a file without a name, in which one agent leaves what clients have to the next.
//!
//! The folders, from the top floor down. A file imports what stands below it, never what stands above, and no stage knows
//! another (`tests/arrows.rs` holds that); `docs/architecture.md` follows one credential through them.
//!
//! - [`commands`]: one file a subcommand, and what happens from argv to exec.
//! - [`agent`]: the process beside the command. A guard forks it; refreshers keep each role's credentials, readiness says
//!   once that the command may start, and the status board tells how things stand.
//! - [`federation`]: identity and exchange put together, one file a direction, and the caches of what came of it.
//! - [`config`]: what was typed, the environment and files → what is meant.
//! - [`identity`] (who am I here?), [`exchange`] (what do I get for it?), [`delivery`] (where do clients look?): the stages.
//! - [`format`]: bytes ↔ meaning. [`model`]: what flows. [`timing`]: when to try again.
//! - [`system`]: the only doors to the outside, and what came through them. [`error`]: the one error type, and the table of reasons.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        reason = "whatever comes from outside must not be able to end the agent by a panic"
    )
)]

pub mod agent;
pub mod commands;
pub mod config;
pub mod delivery;
pub mod error;
pub mod exchange;
pub mod federation;
pub mod format;
pub mod identity;
pub mod model;
pub mod system;
pub mod timing;
