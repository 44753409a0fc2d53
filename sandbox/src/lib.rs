//! Two clouds on loopback that *verify* what they are sent, for fedboot's demo, tests and benchmarks and for its
//! users' own CI. No account, no network.
//!
//! ```text
//!  metadata server ──ID token, RS256──▶ client ──form POST──▶ STS ──▶ credentials that AssumeRole and
//!    │ access token                       ▲                    │      GetCallerIdentity check
//!    ▼                                    │                    └ signature, issuer, expiry, trust policy
//!  IAM Credentials ──ID token of another──┘
//! ```
//!
//! ```no_run
//! use fedboot_sandbox::{Fault, Sandbox, Service};
//!
//! let sandbox = Sandbox::start()?;
//! sandbox.fault(Service::Sts, Fault::error("Throttling").times(2));
//! let mut child = std::process::Command::new("fedboot");
//! child.args(["--", "true"]).envs(sandbox.env());
//! assert!(child.status()?.success());
//! assert_eq!(sandbox.requests_to(Service::Sts).len(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In reading order: [`Sandbox`] and its [`Builder`] (`sandbox`), what they hold ([`Settings`]), what goes wrong
//! ([`Fault`]), what was asked ([`Request`]); `server` lets a request in and a fault happen; `metadata`, `google` and
//! `sts` answer; `jwt`, `trust` and `sigv4` verify; `xml` writes; `delay_proxy` and `connect_proxy` stand in between;
//! [`control`] is all of this for other languages.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod certs;
mod clock;
mod clouds;
mod connect_proxy;
pub mod control;
mod delay_proxy;
mod fault;
mod google;
mod jwt;
mod log;
mod metadata;
mod reply;
mod sandbox;
mod server;
mod settings;
mod sigv4;
mod state;
mod sts;
mod trust;
mod xml;

pub use connect_proxy::{ConnectProxy, Proxied};
pub use delay_proxy::DelayProxy;
pub use fault::{Effect, Fault, Service};
pub use log::{Connection, Request};
pub use sandbox::{Builder, Error, Sandbox};
pub use server::Port;
pub use settings::{Role, ServiceAccount, Settings};
pub use state::Issued;
pub use xml::{Dialect, Text};
