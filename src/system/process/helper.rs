//! Programs of others that say something: `credential_process` of a profile.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Semaphore;

use crate::system::process::watch::Watch;

/// No answer of a program is longer, in bytes.
const LONGEST_OUTPUT: usize = 1 << 20;
/// How many may run at a time: each is somebody else's program, and may be a large one.
static TURNS: Semaphore = Semaphore::const_new(4);
/// How often a program is looked at on a kernel that knows no pidfd.
const LOOK: Duration = Duration::from_millis(20);

/// A program that runs; at the end of this it is killed, with all of its process group, and reaped.
struct Helper {
    child: Child,
    group: Pid,
}

/// What a program prints and how it ends; it gets no standard input. What it says after its own end, by a process that it
/// left behind, does not count. After `timeout`, and when this process ends, it is killed; when it has ended, so is
/// what it left behind in its process group.
///
/// # Errors
/// Why it could not be run, or that it took too long or said too much.
pub async fn output_of(words: &[String], timeout: Duration) -> io::Result<Output> {
    let run = async {
        let _turn = TURNS.acquire().await.map_err(io::Error::other)?;
        Helper::start(words)?.output().await
    };
    tokio::time::timeout(timeout, run)
        .await
        .unwrap_or_else(|_| Err(io::Error::other(format!("no end within {:.1} s", timeout.as_secs_f64()))))
}

impl Helper {
    fn start(words: &[String]) -> io::Result<Self> {
        let (program, arguments) = words.split_first().ok_or(io::ErrorKind::NotFound)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        // SAFETY: one system call, in a new process that has no other thread.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn()?;
        let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        Ok(Self { child, group })
    }

    async fn output(mut self) -> io::Result<Output> {
        let pipe = |end: Option<OwnedFd>| end.ok_or(io::ErrorKind::BrokenPipe.into()).and_then(Receiver::from_owned_fd);
        let stdout = pipe(self.child.stdout.take().map(Into::into))?;
        let stderr = pipe(self.child.stderr.take().map(Into::into))?;
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let status = {
            let ended = self.ended();
            let both = async {
                tokio::try_join!(read_on(&stdout, &mut said), read_on(&stderr, &mut complained))?;
                std::future::pending::<io::Result<ExitStatus>>().await
            };
            tokio::select! {
                ended = ended => ended?,
                failed = both => failed?,
            }
        };
        // What it wrote just before its end is there without waiting.
        take(&stdout, &mut said)?;
        take(&stderr, &mut complained)?;
        Ok(Output { status, stdout: said, stderr: complained })
    }

    /// Waits for its end, without a thread.
    async fn ended(&mut self) -> io::Result<ExitStatus> {
        if let Some(watch) = Watch::of(self.group).filter(|watch| watch.descriptor().is_some()) {
            watch.ended().await;
        }
        loop {
            // Not reaped before its group is killed: its number is the group's.
            if let Some(status) = self.has_ended() {
                let _ = nix::sys::signal::killpg(self.group, Signal::SIGKILL);
                self.child.wait()?;
                return Ok(status);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How it has ended, which leaves it a zombie.
    fn has_ended(&self) -> Option<ExitStatus> {
        use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
        use std::os::unix::process::ExitStatusExt;
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.group), flags) {
            Ok(WaitStatus::Exited(_, code)) => Some(ExitStatus::from_raw(code.wrapping_shl(8))),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(ExitStatus::from_raw(signal as i32)),
            Ok(_) => None,
            // Somebody else has reaped it.
            Err(_) => Some(ExitStatus::from_raw(0xff00)),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = nix::sys::signal::killpg(self.group, Signal::SIGKILL);
            // Killed, it ends at once, unless a disk or a debugger holds it.
            for _ in 0..50 {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Reads until all writers have closed their ends.
async fn read_on(pipe: &Receiver, into: &mut Vec<u8>) -> io::Result<()> {
    loop {
        pipe.readable().await?;
        if take(pipe, into)? {
            return Ok(());
        }
    }
}

/// Takes what is there; says whether there will be no more.
fn take(pipe: &Receiver, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match pipe.try_read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(count) => into.extend(buffer.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        if into.len() > LONGEST_OUTPUT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}
