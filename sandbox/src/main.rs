//! `fedboot-sandbox [OPTIONS] [-- COMMAND ARG…]`: both clouds on loopback, and a command between them.

mod cli;

use std::future::poll_fn;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};
use std::task::Poll;

use anyhow::Context;
use fedboot_sandbox::{AwsPlace, Sandbox};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            eprintln!("fedboot-sandbox: {why:#}");
            ExitCode::from(125)
        }
    }
}

fn run() -> anyhow::Result<u8> {
    let (options, builder) = match cli::read(std::env::args_os())? {
        cli::Asked::Start(started) => *started,
        cli::Asked::Print(text) => {
            print!("{text}");
            return Ok(0);
        }
    };
    let sandbox = builder.start()?;
    let mut variables = sandbox.env();
    let mut removed: Vec<&str> = sandbox.env_remove();
    let mut set = |name: &'static str, value: String| {
        removed.retain(|removed| *removed != name);
        variables.retain(|(other, _)| other != name);
        variables.push((name.to_string(), value));
    };
    // What is written in here must not end up among the caller's real profiles.
    for (name, file) in [("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")] {
        set(name, sandbox.directory().join("aws").join(file).display().to_string());
    }
    for name in ["NO_PROXY", "no_proxy"] {
        let before = std::env::var(name).ok().filter(|list| !list.is_empty());
        let list = before.into_iter().chain(["127.0.0.1,localhost".into()]);
        set(name, list.collect::<Vec<_>>().join(","));
    }
    let proxy = match options.round_trip {
        None => None,
        Some(round_trip) => {
            let proxy = sandbox.delay_proxy(&sandbox.sts_url(), round_trip)?;
            variables.retain(|(name, _)| name != "AWS_ENDPOINT_URL_STS");
            variables.push(("AWS_ENDPOINT_URL_STS".into(), proxy.url()));
            Some(proxy)
        }
    };
    announce(&sandbox, options.aws, options.quiet);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = match options.command.split_first() {
        None => {
            let mut script: String = removed.iter().map(|name| format!("unset {name}\n")).collect();
            for (name, value) in &variables {
                script += &format!("export {name}='{}'\n", value.replace('\'', r"'\''"));
            }
            runtime.block_on(stay(&script))
        }
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).envs(variables).stdin(Stdio::inherit());
            for name in removed {
                command.env_remove(name);
            }
            runtime.block_on(supervise(command, program))
        }
    };
    drop((proxy, sandbox));
    code
}

fn announce(sandbox: &Sandbox, place: Option<AwsPlace>, quiet: bool) {
    if quiet {
        return;
    }
    let settings = sandbox.settings();
    let account = settings.service_account.map_or("none".into(), |a| a.email);
    let roles: Vec<String> = settings.roles.into_iter().map(|role| role.arn).collect();
    eprintln!("fedboot-sandbox: two clouds on loopback, no account needed");
    if let Some(place) = place {
        eprintln!("  place on AWS     {}  ({})", place, settings.workload_role);
        eprintln!("  external account {}", sandbox.external_account_file().display());
        eprintln!("  IMDS             {}", sandbox.imds_url());
        eprintln!("  Google STS       {}", sandbox.google_sts_url());
    } else {
        eprintln!("  metadata server  http://{}", sandbox.metadata_host());
    }
    eprintln!("  service account  {account}");
    eprintln!("  AWS STS          {}  ({})", sandbox.sts_url(), roles.join(", "));
    eprintln!("  IAM Credentials  {}", sandbox.iam_credentials_url());
    eprintln!("  control          {}  (requests so far: GET /requests)", sandbox.control_url());
    eprintln!("  CA               {}", sandbox.ca_file().display());
}

/// Prints the script and stays until a signal asks for the end.
async fn stay(script: &str) -> anyhow::Result<u8> {
    // Before the script is out: who has read it may send a signal at once.
    let mut ends = listen([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?;
    let mut out = std::io::stdout();
    out.write_all(script.as_bytes()).and_then(|()| out.flush()).context("standard output")?;
    next(&mut ends).await;
    Ok(0)
}

type Signals = Vec<(Signal, tokio::signal::unix::Signal)>;

fn listen(names: impl IntoIterator<Item = Signal>) -> std::io::Result<Signals> {
    names.into_iter().map(|name| Ok((name, signal(SignalKind::from_raw(name as i32))?))).collect()
}

/// The next of these signals.
async fn next(signals: &mut Signals) -> Signal {
    poll_fn(|context| {
        let arrived =
            signals.iter_mut().find_map(|(name, stream)| stream.poll_recv(context).is_ready().then_some(*name));
        arrived.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Runs the command with its signals forwarded, and ends as it does.
async fn supervise(command: Command, program: &std::ffi::OsStr) -> anyhow::Result<u8> {
    // These come to the command by itself when they come from the terminal.
    let from_terminal = [Signal::SIGINT, Signal::SIGQUIT];
    let others = [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM];
    let mut signals = listen(from_terminal.into_iter().chain(others))?;
    let at_terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
    let mut child = match tokio::process::Command::from(command).spawn() {
        Ok(child) => child,
        Err(e) => {
            eprintln!("fedboot-sandbox: {}: {e}", program.display());
            let missing = e.kind() == std::io::ErrorKind::NotFound;
            return Ok(if missing { 127 } else { 126 });
        }
    };
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            name = next(&mut signals) => {
                let doubled = at_terminal && from_terminal.contains(&name);
                if let (false, Some(id)) = (doubled, child.id()) {
                    // It may have ended in this moment.
                    let _ = kill(Pid::from_raw(id as i32), name);
                }
            }
        }
    };
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(125))
}
