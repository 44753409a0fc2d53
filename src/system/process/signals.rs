//! What the guard and the agent do with signals.

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};

/// As the guard and the agent are to be: no signal is blocked, none that is meant for the command ends them (a stopping
/// container may signal every process in it, and the command may need credentials while it drains), and they are told
/// of their children's ends.
pub fn heed_no_signals(has_command: bool) {
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    let of_command = if has_command { SigHandler::SigIgn } else { SigHandler::SigDfl };
    let of_files = SigHandler::SigIgn;
    for (signal, handler) in [
        (Signal::SIGHUP, of_command),
        (Signal::SIGINT, of_command),
        (Signal::SIGTERM, of_command),
        // What is wrong with a file or a pipe is an error of the write.
        (Signal::SIGPIPE, of_files),
        (Signal::SIGXFSZ, of_files),
        (Signal::SIGQUIT, SigHandler::SigDfl),
        (Signal::SIGCHLD, SigHandler::SigDfl),
    ] {
        // SAFETY: no handler is installed.
        let _ = unsafe { nix::sys::signal::signal(signal, handler) };
    }
}
