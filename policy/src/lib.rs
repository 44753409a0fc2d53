//! Evaluates the trust policy of an IAM role for whoever wants to assume it, as
//! [AWS documents](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html) it; says
//! statement by statement what fails, and which change would let the caller in.
//!
//! ```text
//!  JSON ──document──▶ Policy ─┐
//!                             ├─evaluation──▶ Evaluation ──correction──▶ Correction
//!  claims ─web_identity─▶ Caller, Context ─┘   (statements, checks)        (changes, corrected policy)
//! ```
//!
//! - [`document`]: what is written. [`duplicates`]: what a JSON parser drops without a word, and AWS refuses.
//! - [`caller`]: who asks. [`context`]: what is known of the request, what is not there, and what nobody here can know.
//! - [`web_identity`]: both of them from the claims of a token.
//! - [`condition`]: the operators, over [`pattern`] (wildcards and variables) and [`values`] (dates, numbers, addresses).
//! - [`evaluation`]: from there to a verdict. [`correction`]: the nearest change. [`pretty`]: a document for people.
//!
//! Nothing is opened or asked here, and nothing that comes from outside can end the program by a panic.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        reason = "whatever comes from outside must not be able to end the program by a panic"
    )
)]

pub mod caller;
pub mod condition;
pub mod context;
pub mod correction;
pub mod document;
pub mod duplicates;
pub mod evaluation;
pub mod pattern;
pub mod pretty;
pub mod values;
pub mod web_identity;
