//! What the dead have left: files that hold a secret, under names that only this program gives, and that no living process
//! has locked. Whoever sweeps one has its lock until it is gone.
//!
//! Where there are no locks, age decides, and only of what a living process writes anew now and then.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::OFlag;
use nix::sys::stat::fstat;

use super::lock::{LockedFile, try_lock};
use super::walk::Directory;
use super::{ACCESS_TOKEN_SUFFIX, PREFIX, STATUS_SUFFIX, TOKEN_SUFFIX, WEB_IDENTITY_SUFFIX};

/// Nothing that is refreshed lives that long.
const OLD: i64 = 24 * 60 * 60;
/// The letters and digits of a random name.
const RANDOM: usize = 12;

/// Directories that this process has swept: once is enough, for a boot is short.
static SWEPT: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

/// How a file of ours is known to be in use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It is written once and then held.
    Held,
    /// It is also written anew, or not for long.
    Rewritten,
}

/// What the name says, if it is one of ours.
fn in_use(name: &str) -> Option<Use> {
    let is_random = |text: &str| text.len() == RANDOM && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(rest) = name.strip_prefix(PREFIX) {
        let ends = |suffix| rest.strip_suffix(suffix).is_some_and(is_random);
        return if ends(TOKEN_SUFFIX) || ends(STATUS_SUFFIX) {
            Some(Use::Held)
        } else if ends(WEB_IDENTITY_SUFFIX) || ends(ACCESS_TOKEN_SUFFIX) {
            Some(Use::Rewritten)
        } else {
            None
        };
    }
    let (target, random) = name.strip_prefix('.')?.rsplit_once(PREFIX)?;
    (!target.is_empty() && is_random(random)).then_some(Use::Rewritten)
}

/// Sweeps the directory, if this process has not done so yet. `new` has just been made there: what stands beside it is
/// as old as their times differ, whatever this machine's clock says.
pub fn once(directory: &Arc<Directory>, new: &File) {
    {
        let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.contains(&directory.id()) {
            return;
        }
        swept.push(directory.id());
    }
    sweep(directory, new);
}

fn sweep(directory: &Arc<Directory>, new: &File) {
    let Ok(new) = fstat(new) else { return };
    for name in directory.names() {
        let Some(used) = name.to_str().and_then(in_use) else { continue };
        let place = directory.place(name);
        // Not what somebody else has put there, nor what may have no end.
        let Ok(file) = place.open(OFlag::O_RDWR, 0) else { continue };
        let Ok(stat) = fstat(&file) else { continue };
        if stat.st_mode & libc::S_IFMT != libc::S_IFREG || stat.st_uid != new.st_uid {
            continue;
        }
        let is_left = match try_lock(file, false) {
            Ok(LockedFile::Locked(file)) => Some(LockedFile::Locked(file)),
            Ok(file) => {
                Some(file).filter(|_| used == Use::Rewritten && new.st_mtime.saturating_sub(stat.st_mtime) > OLD)
            }
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
    use std::fs;
    use std::time::SystemTime;

    use super::super::walk::walk;
    use super::super::{create_held, hold};
    use super::*;
    use crate::world::World;

    /// A second process would come to the same: a lock belongs to what was opened, not to the process.
    #[test]
    fn what_is_held_stays_also_when_it_was_put_back() {
        let temporary = tempfile::TempDir::new().expect("a directory");
        let base = temporary.path().canonicalize().expect("a path");
        let (neighbour, world) = (base.join("credentials"), World::imagined(&[], || SystemTime::UNIX_EPOCH));
        let (path, mut held) = create_held(&neighbour, TOKEN_SUFFIX, 0o600, b"first", &world).expect("it is made");
        let named = base.join(".fedboot-0123456789ab.jwt");
        let mut rewritten = hold(&named, 0o600, b"one").expect("it is made");
        for name in ["0123456789aa.jwt", "0123456789ac.token", "0123456789ad.access-token"] {
            File::create(base.join(format!("{PREFIX}{name}"))).expect("a file");
        }
        let directory = walk(&neighbour, None).expect("it is there").directory;
        for round in 0..3 {
            sweep(&directory, &held);
            assert_eq!(fs::read_dir(&base).expect("a directory").count(), 2, "round {round}");
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
