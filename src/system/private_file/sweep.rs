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
    use super::*;

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
