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
//! From top to bottom, each knowing only what stands below it:
//!
//! ```text
//!  main, cli                      the program
//!  builder ─▶ sandbox             the handle of tests in Rust: Sandbox, Builder
//!      └────▶ control             the same for other languages, JSON over HTTP
//!  clouds                         the running whole that both hold
//!  server/   listener             a port: open, or refusing for a while
//!            serving ─▶ routes    the log, the fault that was asked for, then the service
//!            sending, certs       the answer on its way; TLS
//!  environment                    what a program finds where it runs: variables and files
//!  google/  metadata, sts, iam_credentials, keys        aws/  sts, imds, container
//!  state/    log, faults, issued keys and tokens, pod   what has happened so far
//!  settings/ roles, providers, accounts, faults, names  what the user said; it knows no server
//!  language/ cel                  in which providers are written; roles: the package fedboot-policy
//!  jwt/      issuers ─▶ key       tokens, signed and verified
//!  proxy/    connect, delay       between a client and the clouds
//! ```
//!
//! In `google`, `signed_request` replays what AWS's keys signed, and `attributes` makes an identity of it for a
//! [`Provider`]. In `aws`, `session` knows whose keys are whose, `sigv4` and `trust` verify, `xml` writes.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod aws;
mod builder;
mod clock;
mod clouds;
pub mod control;
mod environment;
mod google;
mod jwt;
mod language;
mod proxy;
mod reply;
mod sandbox;
mod server;
mod settings;
mod state;

pub use builder::Builder;
pub use proxy::connect::{ConnectProxy, Proxied};
pub use proxy::delay::DelayProxy;
pub use sandbox::Sandbox;
pub use settings::Settings;
pub use settings::account::ServiceAccount;
pub use settings::dialect::{Dialect, Text};
pub use settings::fault::{Effect, Fault};
pub use settings::names::{AwsPlace, Port, Service};
pub use settings::provider::{Provider, Trusts};
pub use settings::role::Role;
pub use state::issued::Issued;
pub use state::log::{Connection, Request};
