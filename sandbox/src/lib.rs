//! Two clouds on loopback that *verify* what they are sent, for fedboot's demo, tests and benchmarks and for its
//! users' own CI. No account, no network.
//!
//! ```text
//!  Google → AWS
//!  metadata server ──ID token, RS256──▶ client ──form POST──▶ AWS STS ──▶ credentials that AssumeRole and
//!    │ access token                       ▲                    │          GetCallerIdentity check
//!    ▼                                    │                    └ signature, issuer, expiry, trust policy
//!  IAM Credentials ──ID token of another──┘
//!
//!  AWS → Google
//!  environment, profile                        signed                       federated
//!  IMDS, container ──keys──────────▶ client ──request───▶ Google STS ────▶ IAM Credentials ──access token──▶ client
//!  pod ──token──▶ AWS STS ──keys─────▶ │  └────JWT──────▶   │   token         └ who may speak   ID token
//!                  ▲     GetWebIdentityToken                ├ replayed at AWS STS   for the account
//!                  └────────────────────┘                   └ audience, account, mapping, condition
//! ```
//!
//! ```no_run
//! use fedboot_sandbox::{AwsPlace, Fault, Sandbox, Service};
//!
//! let sandbox = Sandbox::start()?;
//! sandbox.fault(Service::Sts, Fault::error("Throttling").times(2));
//! let mut child = std::process::Command::new("fedboot");
//! child.args(["--", "true"]).envs(sandbox.env());
//! assert!(child.status()?.success());
//! assert_eq!(sandbox.requests_to(Service::Sts).len(), 3);
//!
//! let task = Sandbox::builder().aws(AwsPlace::Ecs).start()?;
//! let mut child = std::process::Command::new("fedboot");
//! child.args(["token", "access"]).envs(task.env());
//! assert!(child.status()?.success());
//! assert_eq!(task.requests_to(Service::GoogleSts).len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In reading order: [`Sandbox`] and its [`Builder`] (`sandbox`, `builder`), what they hold ([`Settings`]), what goes
//! wrong ([`Fault`]), what was asked ([`Request`]); `server` lets a request in and a fault happen, `sending` lets the
//! answer out.
//!
//! `google`: `metadata`, `sts` and `iam_credentials` answer; `signed_request` replays what AWS's keys signed,
//! `attributes` (in the language of `cel`) makes an identity of it for a [`Provider`], `tokens` knows what each token
//! stands for. `aws`: `sts`, `imds` and `container` answer; `place` is what a program finds where it runs
//! ([`AwsPlace`]), `pod` its projected tokens, `session` whose keys are whose; `sigv4` and `trust` verify; `xml` writes.
//! `issuers` and `jwt` sign and verify tokens for both.
//!
//! `delay_proxy` and `connect_proxy` stand in between; [`control`] is all of this for other languages.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod aws;
mod builder;
mod certs;
mod clock;
mod clouds;
mod connect_proxy;
pub mod control;
mod delay_proxy;
mod fault;
mod google;
mod issuers;
mod jwt;
mod log;
mod reply;
mod sandbox;
mod sending;
mod server;
mod settings;
mod state;

pub use aws::place::AwsPlace;
pub use aws::role::Role;
pub use aws::xml::{Dialect, Text};
pub use builder::Builder;
pub use connect_proxy::{ConnectProxy, Proxied};
pub use delay_proxy::DelayProxy;
pub use fault::{Effect, Fault, Service};
pub use google::account::ServiceAccount;
pub use google::provider::{Provider, Trusts};
pub use log::{Connection, Request};
pub use sandbox::{Error, Sandbox};
pub use server::Port;
pub use settings::Settings;
pub use state::Issued;
