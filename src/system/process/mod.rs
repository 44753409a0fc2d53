//! The Unix corner: argv, forks, signals, becoming the command. All `unsafe` is here.
#![allow(unsafe_code, reason = "fork, exec and friends have no safe interface; each use says why it is sound")]

mod account;
mod descriptors;
mod exec;
mod fork;
pub mod heap;
mod helper;
pub mod memory;
#[cfg(all(target_env = "musl", panic = "abort"))]
mod no_unwind;
mod orphan;
mod own;
pub mod owner;
pub mod peers;
mod post;
mod readiness_pipe;
mod signals;
mod standard_streams;
mod title;
mod watch;

use std::ffi::{CStr, OsString};
use std::os::unix::ffi::OsStringExt;

pub use account::{Account, home_of, home_of_name};
pub use descriptors::{above_standard, descriptor_limit, listen, peek};
pub use exec::{exec, find_command, let_signals_end_pid_1};
pub use fork::{Started, fork_guard};
pub use helper::output_of;
pub use own::{
    abort, end_yourself, exit_now, keep_files_private, leave_directory, leave_no_core, own_executable, parent_pid,
    root_mount,
};
pub use post::{AgentNews, Event, Forked, GuardLine, GuardPost, GuardedAgent};
pub use readiness_pipe::{ReadinessReader, ReadinessWriter};
pub use standard_streams::{
    ignore_broken_pipes, log_to, release_stderr, stderr_is_terminal, stdout_is_terminal, write_stderr, write_stdout,
};
pub use watch::{Followed, Termination, Watch, follow, pause, take_termination_signals};

/// Defines the C entry point, which calls `$run(&[OsString]) -> u8`, and the binary's list of packages.
///
/// Rust's own start-up would set SIGPIPE to ignored and open closed standard descriptors, and the command would
/// inherit both.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        /// # Safety
        /// Only for the C library to call.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn main(count: i32, argv: *const *const std::ffi::c_char) -> i32 {
            // SAFETY: these are the C library's own.
            i32::from($run(&unsafe { $crate::system::process::arguments(count, argv) }))
        }

        /// The packages that this binary is made of, where `cargo audit bin`, Trivy, Grype and Syft look for them:
        /// <https://github.com/rust-secure-code/cargo-auditable/blob/master/PARSING.md>.
        #[used]
        #[unsafe(link_section = ".dep-v0")]
        static PACKAGES: [u8; $crate::system::process::PACKAGES.len()] = *$crate::system::process::PACKAGES;
    };
}

/// Written by fedboot-tools from Cargo.lock.
#[doc(hidden)]
pub const PACKAGES: &[u8; include_bytes!("../../../packaging/packages.zlib").len()] =
    include_bytes!("../../../packaging/packages.zlib");

/// argv as the C library hands it over; std's own copy of it is there only on glibc.
///
/// # Safety
/// `argv` points to `count` pointers to NUL-terminated strings.
#[doc(hidden)]
pub unsafe fn arguments(count: i32, argv: *const *const std::ffi::c_char) -> Vec<OsString> {
    let (mut start, mut end) = (0, 0);
    let words = (0..usize::try_from(count).unwrap_or(0)).map(|index| {
        // SAFETY: the caller says so.
        let argument = unsafe { CStr::from_ptr(*argv.add(index)) };
        // One behind the other, as the kernel lays them.
        let at = argument.as_ptr() as usize;
        if index == 0 {
            (start, end) = (at, at);
        }
        if at == end {
            end = at.saturating_add(argument.count_bytes()).saturating_add(1);
        }
        OsString::from_vec(argument.to_bytes().to_vec())
    });
    let words = words.collect();
    title::argv_is_at(start, end.saturating_sub(start));
    words
}
