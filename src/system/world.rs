//! The door to clock, environment, randomness and files. (Processes and HTTP have doors of their own beside it.)

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::system::process;

/// Everything that is not a function of fedboot's own data. Tests build their own.
pub struct World {
    variables: Vec<(OsString, OsString)>,
    clock: Box<dyn Fn() -> SystemTime>,
    pause: Pause,
    looks: Notify,
    /// The caller's home directory, if there is a way to know it.
    pub home: Option<PathBuf>,
    /// The directory that relative paths start from.
    pub working_directory: PathBuf,
    /// The kernel's host name.
    pub hostname: String,
    /// The effective user id.
    pub user: u32,
}

/// Waits for a duration from now on, or less when the wall clock is set.
type Pause = fn(SystemTime, Duration) -> Pin<Box<dyn Future<Output = ()>>>;

/// How long the wall clock may go unread.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

/// No file that fedboot reads (tokens, CA bundles, credentials) is larger.
const LARGEST_FILE: u64 = 4 << 20;

/// How long whoever writes to a pipe may take.
const PIPE_PATIENCE: Duration = Duration::from_secs(10);

/// `/dev/null`, wherever it is mounted.
const NULL_DEVICE: u64 = libc::makedev(1, 3);

impl World {
    /// The real world.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn real() -> Self {
        let user = nix::unistd::geteuid();
        let variables: Vec<_> = std::env::vars_os().collect();
        let home = variables
            .iter()
            .find(|(name, value)| name == "HOME" && !value.is_empty())
            .map(|(_, value)| PathBuf::from(value))
            .or_else(|| process::home_of(user.as_raw()))
            .filter(|home| home.is_absolute());
        Self {
            variables,
            clock: Box::new(wall_clock),
            pause: |now, duration| Box::pin(process::pause(now, duration)),
            looks: Notify::const_new(),
            home,
            working_directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            hostname: nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            user: user.as_raw(),
        }
    }

    /// A world with these variables and this clock, and nothing else in it.
    pub fn imagined(variables: &[(&str, &str)], clock: impl Fn() -> SystemTime + 'static) -> Self {
        Self {
            variables: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            clock: Box::new(clock),
            pause: |_, duration| Box::pin(tokio::time::sleep(duration)),
            looks: Notify::const_new(),
            home: None,
            working_directory: PathBuf::from("/"),
            hostname: "imagined-host".into(),
            user: 0,
        }
    }

    /// The variable's value; an empty one counts as unset, as the AWS SDKs have it.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        self.exact_variable(name).filter(|value| !value.is_empty())
    }

    /// The variable's value, an empty one too.
    pub fn exact_variable(&self, name: &str) -> Option<OsString> {
        let is_it = |candidate: &OsString| candidate.as_encoded_bytes() == name.as_bytes();
        self.variables.iter().find(|(candidate, _)| is_it(candidate)).map(|(_, value)| value.clone())
    }

    /// The variable's value as text; what is not UTF-8 keeps what can be read.
    pub fn text_variable(&self, name: &str) -> Option<String> {
        self.variable(name).map(|value| value.to_string_lossy().into_owned())
    }

    /// Whether any variable has a value and a name that `is_it`.
    pub fn has_variable(&self, is_it: impl Fn(&[u8]) -> bool) -> bool {
        self.variables.iter().any(|(name, value)| !value.is_empty() && is_it(name.as_encoded_bytes()))
    }

    /// Whether the variable says true, as the AWS SDKs have it.
    pub fn is_true(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The wall clock, which decides: credentials expire by it.
    pub fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// The clock that nobody can set, for timeouts.
    pub fn monotonic(&self) -> Instant {
        Instant::now()
    }

    /// When `timeout` will have passed by that clock.
    pub fn deadline(&self, timeout: Duration) -> Instant {
        /// Longer than any machine runs.
        const FOR_EVER: Duration = Duration::from_secs(1 << 31);
        let now = self.monotonic();
        now.checked_add(timeout.min(FOR_EVER)).unwrap_or(now)
    }

    /// Waits by whichever clock comes first: the wall clock may be set, and goes on through a suspend; the other one
    /// cannot be set back. The wall clock is read at least once a minute, and when [`Self::look_at_clock`] says so.
    pub async fn wait(&self, duration: Duration) {
        self.wait_and(duration, async || {}).await;
    }

    /// The same, and does `meanwhile` each time that the clock was read and there is more to wait.
    pub async fn wait_and(&self, duration: Duration, meanwhile: impl AsyncFn()) {
        let (wall, monotonic) = (later(self.now(), duration), self.deadline(duration));
        let mut first = true;
        while self.now() < wall && self.monotonic() < monotonic {
            if !std::mem::take(&mut first) {
                meanwhile().await;
            }
            let left = monotonic.duration_since(self.monotonic()).min(CLOCK_CHECK);
            let pause = (self.pause)(self.now(), left);
            tokio::select! {
                () = pause => {}
                () = self.looks.notified() => first = true,
            }
        }
    }

    /// Has whoever waits read the wall clock at once: somebody has seen that it is later than it should be. After a suspend
    /// or a freeze a client may ask before the timers tell.
    pub fn look_at_clock(&self) {
        self.looks.notify_waiters();
    }

    /// Waits by the clock that nobody can set.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// `N` random bytes.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        random_bytes()
    }

    /// A random number in `0.0..1.0`.
    pub fn random(&self) -> f64 {
        f64::from(u32::from_ne_bytes(self.random_bytes())) / (f64::from(u32::MAX) + 1.0)
    }

    /// The path, absolute.
    pub fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        self.working_directory.join(path)
    }
}

/// What the kernel's wall clock says, for whoever has no world at hand.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// The end of the year 9999, which is the last that has four digits.
const LAST_SECOND: u64 = 253_402_300_799;

/// The time that is so many seconds after 1970 began; `None` where no clock will ever say it.
pub fn time_at(seconds: u64) -> Option<SystemTime> {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    (seconds <= LAST_SECOND).then_some(time)
}

/// The time that is `duration` after `time`, or the last that any clock says.
pub fn later(time: SystemTime, duration: Duration) -> SystemTime {
    let last = time_at(LAST_SECOND).unwrap_or(time);
    time.checked_add(duration).unwrap_or(last).min(last)
}

/// The time that is so many seconds after `now`.
pub fn time_in(now: SystemTime, seconds: u64) -> Option<SystemTime> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    time_at(now.as_secs().checked_add(seconds)?)
}

/// `N` random bytes from the kernel.
///
/// Where it has none to give this process ends: nothing that depends on them may go on.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if !fill_at_random(&mut bytes) {
        process::write_stderr(b"fedboot: the kernel gives no random bytes (getrandom)\n");
        process::exit_now(125);
    }
    bytes
}

/// Fills `bytes` with random ones from the kernel; whether it had them.
pub fn fill_at_random(bytes: &mut [u8]) -> bool {
    getrandom::getrandom(bytes).is_ok()
}

/// Random letters and digits (hexadecimal) from `N` random bytes.
pub fn random_name<const N: usize>() -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    random_bytes::<N>().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The whole file that somebody has named, if it is of a sane size. A shell's `<(…)` is one too; any other pipe, a device
/// or a socket is none, and nothing here waits for one.
///
/// # Errors
/// Those of opening and reading; `FileTooLarge` above 4 MiB.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    match metadata.rdev() {
        _ if kind.is_file() => read_open_file(file),
        _ if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ if kind.is_fifo() && is_descriptor(path) => read_pipe(file),
        // By which people say that there shall be nothing.
        NULL_DEVICE if kind.is_char_device() => Ok(Vec::new()),
        _ => Err(io::Error::other("is not a regular file")),
    }
}

/// Whether clients are served: then no disk may keep the runtime's only thread.
static SERVES: AtomicBool = AtomicBool::new(false);

/// Says that clients are served from now on.
pub fn serve_from_now_on() {
    SERVES.store(true, Ordering::Relaxed);
}

/// As [`read_file`]. Once clients are served, a thread does it: before that, the command waits, and a thread costs time.
///
/// # Errors
/// As there.
pub async fn load_file(path: &Path) -> io::Result<Vec<u8>> {
    if !SERVES.load(Ordering::Relaxed) {
        return read_file(path);
    }
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || read_file(&path)).await.map_err(io::Error::other)?
}

/// What is left of an open file, if it is of a sane size.
///
/// # Errors
/// Those of reading; `FileTooLarge` above 4 MiB.
pub fn read_open_file(file: File) -> io::Result<Vec<u8>> {
    // Most are smaller than this, and so read at once.
    let mut bytes = Vec::with_capacity(8 << 10);
    file.take(LARGEST_FILE.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Whether the path names a descriptor of this process, as a shell's `<(…)` does.
fn is_descriptor(path: &Path) -> bool {
    ["/dev/fd", "/dev/stdin", "/proc/self/fd"].iter().any(|prefix| path.starts_with(prefix))
}

/// Reads a pipe to its end, which whoever writes to it has to come to.
fn read_pipe(mut pipe: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    let started = Instant::now();
    loop {
        let left = PIPE_PATIENCE.saturating_sub(started.elapsed());
        let patience = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], patience) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let count = pipe.read(&mut part)?;
        let Some(read) = part.get(..count).filter(|read| !read.is_empty()) else { return Ok(bytes) };
        bytes.extend_from_slice(read);
        if bytes.len() as u64 > LARGEST_FILE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}

/// Bytes from argv or a pipe as an operating-system string.
pub fn os_string(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

/// What went wrong with a file, in plain words and without Rust's `(os error N)`.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}
