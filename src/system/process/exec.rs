//! From the words behind `--` to the command itself: found as a shell finds it, started as if there were no fedboot.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::error::{Error, Kind, Paste, Result, reasons};
use crate::system::process::own::c_string;

/// Where a command is looked for when `PATH` is not set, as container runtimes have it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// As pid 1 the kernel delivers no signal that has its default disposition, so a container could not be stopped while
/// it waits for credentials. Exec sets these handlers back to the default.
pub fn let_signals_end_pid_1() {
    extern "C" fn end(signal: i32) {
        // SAFETY: `_exit` may be called from a signal handler.
        unsafe { libc::_exit(signal | 128) }
    }
    if nix::unistd::getpid().as_raw() != 1 {
        return;
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP] {
        let action = SigAction::new(SigHandler::Handler(end), SaFlags::SA_RESTART, SigSet::empty());
        // SAFETY: the handler does nothing but `_exit`.
        if let Ok(old) = unsafe { sigaction(signal, &action) }
            && matches!(old.handler(), SigHandler::SigIgn)
        {
            // SAFETY: puts back what was there.
            let _ = unsafe { sigaction(signal, &old) };
        }
    }
}

/// Finds `command` as a shell would: by its path, else in `path`.
///
/// # Errors
/// [`Kind::NotFound`] or [`Kind::NotExecutable`].
pub fn find_command(command: &OsStr, path: Option<&OsStr>) -> Result<CString> {
    let mut found = None;
    for candidate in candidates(command, path) {
        let file = Path::new(OsStr::from_bytes(candidate.as_bytes()));
        match fs::metadata(file) {
            Ok(metadata) if metadata.is_dir() => found = Some("is a directory"),
            Ok(_) if nix::unistd::eaccess(file, nix::unistd::AccessFlags::X_OK).is_ok() => return Ok(candidate),
            Ok(metadata) => {
                let anyone = metadata.permissions().mode() & 0o111 != 0;
                found = Some(if anyone { "may not be executed by this user" } else { "has no execute permission" });
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => found = Some("may not be looked at"),
            Err(_) => {}
        }
    }
    let name = command.to_string_lossy();
    let words: Vec<&str> = name.split_whitespace().collect();
    if let (None, [first, _, ..]) = (found, &words[..])
        && find_command(OsStr::new(first), path).is_ok()
    {
        let problem = "is one word, and there is no program of that name";
        let line = format!("fedboot -- {}", words.join(" "));
        return Err(Error::new(Kind::NotFound, "run the command", format!("\"{}\"", words.join(" ")), problem)
            .because(&reasons::ONE_STRING, &[])
            .paste(Paste::Command(line)));
    }
    Err(match found {
        Some(problem) => {
            Error::new(Kind::NotExecutable, "run the command", name, problem).because(&reasons::NOT_EXECUTABLE, &[])
        }
        None if command.as_bytes().contains(&b'/') => {
            Error::new(Kind::NotFound, "run the command", name, "does not exist")
                .reason(&reasons::NO_COMMAND)
                .advice("see whether this image holds it, under this very path")
        }
        None => Error::new(Kind::NotFound, "run the command", name, "is in no directory of PATH")
            .reason(&reasons::NO_COMMAND),
    })
}

fn candidates(command: &OsStr, path: Option<&OsStr>) -> Vec<CString> {
    let name = command.as_bytes();
    if name.is_empty() {
        return Vec::new();
    }
    if name.contains(&b'/') {
        return vec![c_string(command)];
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    path.as_bytes()
        .split(|byte| *byte == b':')
        .map(|directory| {
            let directory = if directory.is_empty() { b"." } else { directory };
            c_string(OsStr::from_bytes(&[directory, b"/", name].concat()))
        })
        .collect()
}

/// Becomes the command: same process, argv as bytes, the environment but for what is to be `set` or `unset`, all else
/// as it is.
///
/// Comes back only with the reason why it could not.
pub fn exec(file: &CStr, command: &[OsString], set: &[(OsString, OsString)], unset: &[OsString]) -> Error {
    let argv: Vec<_> = command.iter().map(|argument| c_string(argument)).collect();
    let environment = changed_environment(set, unset);
    let errno = match nix::unistd::execve(file, &argv, &environment) {
        Ok(never) => match never {},
        Err(errno) => errno,
    };
    let problem = match errno {
        // The file was there a moment ago.
        Errno::ENOENT => "cannot be executed: its interpreter (after #!, or the dynamic linker) does not exist",
        Errno::ENOEXEC => "cannot be executed: neither a program for this machine nor a script that begins with #!",
        Errno::E2BIG => "cannot be executed: arguments and environment together are too long",
        other => other.desc(),
    };
    Error::new(Kind::NotExecutable, "run the command", file.to_string_lossy(), problem)
        .because(&reasons::NOT_EXECUTABLE, &[])
}

/// The environment entry by entry as it was given, malformed and doubled ones too, but for what changes.
fn changed_environment(set: &[(OsString, OsString)], unset: &[OsString]) -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const std::ffi::c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: one thread; the C library's list ends with a null pointer and its entries are NUL-terminated.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            entries.push(CStr::from_ptr(*entry).to_owned());
            entry = entry.add(1);
        }
    }
    let touched = |entry: &CString| {
        let name = entry.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
        entry.as_bytes().contains(&b'=')
            && (unset.iter().any(|unset| unset.as_bytes() == name) || set.iter().any(|(set, _)| set.as_bytes() == name))
    };
    entries.retain(|entry| !touched(entry));
    for (name, value) in set {
        entries.push(c_string(OsStr::from_bytes(&[name.as_bytes(), b"=", value.as_bytes()].concat())));
    }
    entries
}
