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
//! Two ways lead through the picture, and [`route`] says which is meant. [`to_aws`]: a Google ID token is exchanged for
//! an AWS role's session. [`to_google`]: an AWS identity ([`aws_signer`]) signs a request, or gets a token, that is
//! exchanged for a Google token; clients ask for many of those, which [`tokens`] keeps, and who may have new
//! ones say [`turns`]; a [`client`] is who asks.
//!
//! In reading order:
//!
//! - [`boot`]: what happens from argv to exec, and the subcommands; [`cli`] reads argv, [`entrypoint`] the command's. What
//!   it means with the environment say [`config`], with [`roles`], [`delivery_choice`] and [`template`] as parts of it, and
//!   [`google_config`], with [`aws_choice`] as a part and [`external_account`] for the file.
//! - [`guard`]: forks the agents, with [`holdings`] that outlive them, as the [`owner`] of the files; [`agent`]: the process
//!   that works; [`keeper`]: the loop, one for each role; [`schedule`] and [`retry`] say when, [`first_word`] is said to
//!   whoever waits, to a parent as a [`report`]; [`status`] is for everybody, and [`env`] for a second shell.
//! - [`flow`]: what flows through the stages, and the trait of each; the ways and [`deliveries`] put them together;
//!   [`shadows`] and [`no_proxy`]: what would keep clients from that.
//! - [`identity`], [`exchange`], [`delivery`]: the stages. None knows another.
//! - [`credential_process`] and [`token`]: the same for a client that asks by itself, by a cache that is [`shared`].
//! - [`world`], [`http`], [`iam_credentials`]: the door to the outside; [`given`] and [`shown`]: what came through it, unread
//!   and as messages show it; [`process`]: the Unix corner; [`private_file`]: what is written; [`ini`], [`jwt`],
//!   [`log`], [`error`].

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
