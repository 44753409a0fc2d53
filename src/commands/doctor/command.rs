//! What COMMAND will meet: whether it can be started, and what its clients would find before what fedboot delivers.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::commands::doctor::findings::Finding;
use crate::commands::entrypoint;
use crate::config::external_account;
use crate::config::options::Options;
use crate::delivery::no_proxy::no_proxy;
use crate::system::input::InputFile;
use crate::system::process;
use crate::system::shown;
use crate::system::world::World;

/// What is lost without being anybody's secret: it says which way was meant.
const NAMES_ONLY: &[&str] = &["AWS_ROLE_ARN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"];

/// Whether the command can be started by whoever starts fedboot, and can then read what is delivered.
pub fn start(command: &[OsString], options: &Options, world: &World) -> Vec<Finding> {
    let Some(name) = command.first() else { return Vec::new() };
    let path = world.exact_variable("PATH");
    let mut findings = Vec::new();
    match process::find_command(name, path.as_deref()) {
        Ok(file) => {
            let file = Path::new(OsStr::from_bytes(file.as_bytes()));
            findings.push(match what_runs(file, path.as_deref()) {
                Ok(what) => Finding::ok("command", format!("{} is {what}", shown::path(file))),
                Err((problem, remedy)) => {
                    Finding::failure("command", format!("{} {problem}", shown::path(file))).remedy(remedy)
                }
            });
        }
        Err(error) => {
            let remedy = match path {
                Some(_) => "write its whole path, or have it installed in a directory of PATH",
                None => "PATH is not set: write the command's whole path",
            };
            findings.push(Finding::error("command", &error.or_advice(remedy)));
        }
    }
    if let Some(warning) = entrypoint::warning(command, options, world) {
        findings.push(Finding::warning_with_remedy("command", &warning));
    }
    findings
}

/// Enough for the first line of a script, and for what a program's head says of its loader.
const HEAD: u64 = 4096;
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(not(target_arch = "x86_64"))]
const MACHINE: u16 = 183;

/// What the kernel would run, or why it would not, and what to do.
fn what_runs(file: &Path, path: Option<&OsStr>) -> Result<String, (String, String)> {
    let mut head = Vec::new();
    // What may be executed need not be readable; then the kernel has to say.
    if File::open(file).and_then(|opened| opened.take(HEAD).read_to_end(&mut head)).is_err() {
        return Ok("there, and may be executed".into());
    }
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.ends_with(b"\r") {
            let problem = "ends its first line with a carriage return, which the kernel takes for a part of the interpreter's name";
            return Err((problem.into(), format!("sed -i 's/\\r$//' {}", shown::path(file))));
        }
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(OsStr::from_bytes);
        let interpreter = words.next().unwrap_or_default();
        let is_env = Path::new(interpreter).file_name().is_some_and(|name| name == "env");
        let program = words.next().filter(|word| is_env && !word.as_bytes().starts_with(b"-"));
        let missing =
            [Some(interpreter), program].into_iter().flatten().find(|it| process::find_command(it, path).is_err());
        return match missing {
            None => Ok(format!("a script of {}", program_shown(program.unwrap_or(interpreter)))),
            Some(missing) => {
                let missing = program_shown(missing);
                let problem = format!("is a script of {missing}, which is not there");
                Err((
                    problem,
                    format!("install {missing} in this image, or name another interpreter in the first line"),
                ))
            }
        };
    }
    if !head.starts_with(ELF) {
        let problem = "is neither a program for Linux nor a script that begins with #!".to_owned();
        return Err((problem, "write #!/bin/sh (or whatever reads it) into its first line".into()));
    }
    if number(&head, 18, 2) != Some(u64::from(MACHINE)) {
        let problem = "is a program for another kind of machine".to_owned();
        return Err((problem, "build it, or the image, for this one (docker build --platform)".into()));
    }
    match loader(&head) {
        Some(loader) if !Path::new(OsStr::from_bytes(loader)).exists() => {
            let loader = shown::path(Path::new(OsStr::from_bytes(loader)));
            let problem = format!("needs the dynamic linker {loader}, which is not there");
            Err((
                problem,
                "it is made for another C library: link it statically, or use an image with that library".into(),
            ))
        }
        _ => Ok("a program for this machine".into()),
    }
}

/// A program as a script names it: by its path, or by a name for `env` to find.
fn program_shown(name: &OsStr) -> String {
    let text = name.to_string_lossy();
    if text.contains('/') { shown::path(Path::new(name)) } else { shown::name(&text) }
}

/// How a program begins.
const ELF: &[u8] = b"\x7fELF";

/// The dynamic linker that an ELF file names, if it names one.
/// <https://man7.org/linux/man-pages/man5/elf.5.html>
fn loader(head: &[u8]) -> Option<&[u8]> {
    const INTERP: u64 = 3;
    // 64 bits, the small end first: there are no others of these machines.
    if head.get(4..6)? != b"\x02\x01" {
        return None;
    }
    let (table, size, count) = (number(head, 32, 8)?, number(head, 54, 2)?, number(head, 56, 2)?);
    (0..count).find_map(|index| {
        let at = usize::try_from(table.checked_add(index.checked_mul(size)?)?).ok()?;
        if number(head, at, 4)? != INTERP {
            return None;
        }
        let offset = usize::try_from(number(head, at.checked_add(8)?, 8)?).ok()?;
        head.get(offset..)?.split(|byte| *byte == 0).next().filter(|path| path.starts_with(b"/"))
    })
}

/// A number of so many bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let found = bytes.get(at..at.checked_add(size)?)?;
    Some(found.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The variables of `shadows` that are set, and so are taken from COMMAND; of those that are `meant` nobody is surprised.
pub fn what_is_lost(shadows: &[&'static str], world: &World, meant: &[&str]) -> Vec<Finding> {
    let set: Vec<&str> = shadows.iter().copied().filter(|name| world.variable(name).is_some()).collect();
    let (quiet, loud): (Vec<&str>, Vec<&str>) =
        set.into_iter().partition(|name| meant.contains(name) || NAMES_ONLY.contains(name));
    let mut findings = Vec::new();
    if !loud.is_empty() {
        let names = loud.join(", ");
        let verb = if loud.len() == 1 { "is" } else { "are" };
        let message = format!(
            "{names} {verb} set, and clients would find that first: COMMAND does not get it from fedboot, other processes do"
        );
        findings.push(Finding::warning("command", message).remedy(format!("unset {}", loud.join(" "))));
    }
    if !quiet.is_empty() {
        let message =
            format!("COMMAND does not get {}, which says what was meant and would be found first", quiet.join(", "));
        findings.push(Finding::ok("command", message));
    }
    findings
}

/// Proxies that would be asked for what is on this machine.
pub fn proxies(world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !no_proxy(world).is_empty() {
        let message = "a proxy is named, and NO_PROXY does not name 127.0.0.1: clients would ask the proxy for what fedboot serves on \
                       loopback. COMMAND gets a NO_PROXY that does; whoever sets it anew must say so, too";
        // Not the list that is there, which is somebody else's.
        let remedy =
            "export NO_PROXY=\"${NO_PROXY:-$no_proxy},127.0.0.1\" no_proxy=\"${no_proxy:-$NO_PROXY},127.0.0.1\"";
        findings.push(Finding::warning("command", message).remedy(remedy));
    }
    // A virtual machine knows loopback by itself, unless it is told something else:
    // <https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/net/doc-files/net-properties.html>.
    for name in ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"] {
        let Some(options) = world.text_variable(name) else { continue };
        let exceptions = options.split_once("-Dhttp.nonProxyHosts=").map(|(_, rest)| rest);
        let exceptions = exceptions.and_then(|rest| rest.split_whitespace().next());
        if options.contains("-Dhttp.proxyHost=") && exceptions.is_some_and(|hosts| !hosts.contains("127.")) {
            let message = format!(
                "{name} names a proxy whose http.nonProxyHosts leaves 127.* out: Java would ask it for what fedboot serves on loopback"
            );
            findings
                .push(Finding::warning("command", message).remedy("-Dhttp.nonProxyHosts=\"localhost|127.*|[::1]\""));
        }
    }
    findings
}

/// A file for Google's clients on a machine of Google's, where none is needed.
pub fn leftovers_of_google(world: &World) -> Option<Finding> {
    let name = "GOOGLE_APPLICATION_CREDENTIALS";
    let file = InputFile::of_variable(world, name)?;
    let shown = file.shown();
    let remedy = format!("unset {name}");
    let finding = match external_account::type_of(file.path()).as_deref() {
        Some("service_account") => Finding::warning(
            "command",
            format!("{name} names a service account's key ({shown}), which COMMAND's Google clients take before the workload's own identity"),
        )
        .remedy(format!("{remedy}; and delete the key: nobody needs it here")),
        Some("external_account") => Finding::warning(
            "command",
            format!("{name} names an external-account file ({shown}), which is for the other way: COMMAND's Google clients read it here"),
        )
        .remedy(remedy),
        Some(_) => Finding::warning("command", format!("{name} names a file of another kind ({shown}), which COMMAND's Google clients find first"))
            .remedy(remedy),
        None => Finding::warning("command", format!("{name} names no file of Google's that can be read ({shown}), and COMMAND's Google clients fail at that"))
            .remedy(remedy),
    };
    Some(finding)
}
