//! The process beside the command: it works for as long as the command runs, and a guard has another one start when it dies.

pub mod assembly;
pub mod context;
pub mod deliveries;
pub mod guard;
pub mod holdings;
pub mod inquiry;
pub mod readiness;
pub mod readiness_message;
pub mod refresher;
pub mod status;
pub mod survey;
pub mod waiting;
