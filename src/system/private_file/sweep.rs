//! What the dead have left: files that hold a secret, under names that only this program gives, and that no living process
//! has locked. Whoever sweeps one has its lock until it is gone.
//!
//! Where there are no locks, age decides, and only of what a living process writes anew now and then.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;
use nix::sys::stat::fstat;

use crate::system::private_file::lock::{LockedFile, try_lock};
use crate::system::private_file::names::{ACCESS_TOKEN_SUFFIX, PREFIX, TOKEN_SUFFIX, WEB_IDENTITY_SUFFIX};
use crate::system::private_file::walk::{Directory, own_user, walk};
use crate::system::world;

/// Nothing that is refreshed lives that long.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);
/// The letters and digits of a random name.
const RANDOM: usize = 12;

/// How a file of ours is known to be in use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It is written once and then held.
    HeldFile,
    /// It is also written anew, or not for long.
    Rewritten,
}

/// What the name says, if it is one of ours.
fn in_use(name: &str) -> Option<Use> {
    let is_random = |text: &str| text.len() == RANDOM && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(rest) = name.strip_prefix(PREFIX) {
        let ends = |suffix| rest.strip_suffix(suffix).is_some_and(is_random);
        return if ends(TOKEN_SUFFIX) {
            Some(Use::HeldFile)
        } else if ends(WEB_IDENTITY_SUFFIX) || ends(ACCESS_TOKEN_SUFFIX) {
            Some(Use::Rewritten)
        } else {
            None
        };
    }
    let (target, random) = name.strip_prefix('.')?.rsplit_once(PREFIX)?;
    (!target.is_empty() && is_random(random)).then_some(Use::Rewritten)
}

/// Sweeps the directory of `neighbour`, as [`sweep_in`] does.
pub fn sweep(neighbour: &Path, own: &str, now: SystemTime) {
    if let Ok(place) = walk(neighbour, None) {
        sweep_in(&place.directory, own, now);
    }
}

/// Sweeps `directory`, but for what has `own` as its random name: that was this agent's before it was put in the place of
/// one that has died.
pub fn sweep_in(directory: &Arc<Directory>, own: &str, now: SystemTime) {
    let user = own_user();
    for name in directory.names() {
        let Some(kind) = name.to_str().filter(|name| own.is_empty() || !name.contains(own)).and_then(in_use) else {
            continue;
        };
        let place = directory.place(name);
        // Not what somebody else has put there, nor what may have no end.
        let Ok(file) = place.open(OFlag::O_RDWR, 0) else { continue };
        let Ok(stat) = fstat(&file) else { continue };
        if stat.st_mode & libc::S_IFMT != libc::S_IFREG || stat.st_uid != user {
            continue;
        }
        let written = u64::try_from(stat.st_mtime).ok().and_then(world::time_at);
        let is_old = || written.and_then(|written| now.duration_since(written).ok()).is_some_and(|age| age > OLD);
        let is_left = match try_lock(file, false) {
            Ok(LockedFile::Locked(file)) => Some(LockedFile::Locked(file)),
            Ok(file) => Some(file).filter(|_| kind == Use::Rewritten && is_old()),
            Err(_) => None,
        };
        if let Some(file) = is_left
            && place.is(&file)
        {
            let _ = place.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::super::hold;
    use super::*;

    /// Another process would find the same: a lock belongs to what was opened, not to the process.
    #[test]
    fn what_is_held_stays_also_when_it_was_put_back() {
        let temporary = tempfile::TempDir::new().expect("a directory");
        let base = temporary.path().canonicalize().expect("a path");
        let path = base.join(".fedboot-0123456789ab.token");
        let named = base.join(".fedboot-0123456789ab.jwt");
        let mut held = hold(&path, 0o600, b"first").expect("it is made");
        let mut rewritten = hold(&named, 0o600, b"one").expect("it is made");
        let left = ["0123456789aa.jwt", "0123456789ac.token", "0123456789ad.access-token"];
        let left = left.map(|name| base.join(format!("{PREFIX}{name}")));
        for file in &left {
            File::create(file).expect("a file");
        }
        for round in 0..3 {
            sweep(&path, "0123456789ac", SystemTime::UNIX_EPOCH);
            assert_eq!(left.each_ref().map(|file| file.exists()), [false, true, false], "round {round}");
            assert!(held.is_there() && rewritten.is_there());
            fs::remove_file(&path).expect("its end");
            assert!(!held.is_there());
            held.restore(b"second").expect("it is put back");
            rewritten = hold(&named, 0o600, b"another").expect("it is written");
        }
        assert_eq!(
            (fs::read(&path).ok(), fs::read(&named).ok()),
            (Some(b"second".to_vec()), Some(b"another".to_vec()))
        );
        drop((held, rewritten));
        sweep(&path, "", SystemTime::UNIX_EPOCH);
        assert_eq!(fs::read_dir(&base).expect("a directory").count(), 0);
    }

    #[test]
    fn names_of_ours() {
        for (name, is_ours) in [
            (".fedboot-0123456789ab.token", true),
            (".fedboot-0123456789ab.jwt", true),
            (".fedboot-0123456789ab.access-token", true),
            (".fedboot-x.token", false),
            (".fedboot-0123456789ab.tokens", false),
            (".fedboot-notes", false),
            (".fedboot-0123456789ab", false),
            (".credentials.fedboot-0123456789ab", true),
            ("credentials.fedboot-0123456789ab", false),
            (".credentials.fedboot.lock", false),
            (".x.fedboot-y.fedboot-0123456789ab", true),
            (".credentials.fedboot-0123456789ab.bak", false),
            ("", false),
        ] {
            assert_eq!(in_use(name).is_some(), is_ours, "{name}");
        }
    }
}
