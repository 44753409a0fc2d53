//! Becoming another user: what is done from then on is done with that user's rights alone.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, initgroups, setgroups, setresgid, setresuid};

use crate::system::process::own::{c_string, leave_no_core};

/// A user, and the groups that count for the files of that user.
pub struct Account {
    user: Uid,
    group: Gid,
    /// The name by which `/etc/group` lists further groups; none where they do not count.
    name: Option<CString>,
    /// None where `/etc/passwd` does not know the user.
    home: Option<PathBuf>,
}

/// The home that `/etc/passwd` knows of a user. For a process with one thread, as all of this file.
pub fn home_of(user: u32) -> Option<PathBuf> {
    // SAFETY: one thread, so nobody else asks while the answer is read.
    unsafe { Account::of(libc::getpwuid(user)) }?.home
}

/// The home that it knows of the user with this name.
pub fn home_of_name(name: &str) -> Option<PathBuf> {
    let name = CString::new(name).ok()?;
    // SAFETY: as above.
    unsafe { Account::of(libc::getpwnam(name.as_ptr())) }?.home
}

impl Account {
    /// Finds `USER` or `USER:GID`. A user that is a number needs no entry anywhere; the group is then the one of the same
    /// number. Where a group is named, no other counts.
    pub fn find(text: &str) -> Option<Self> {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let name = CString::new(user).ok()?;
        // SAFETY: as above.
        let by_name = unsafe { Self::of(libc::getpwnam(name.as_ptr())) };
        let mut account = match by_name {
            Some(account) => account,
            None => Self::numbered(number(user)?),
        };
        if let Some(group) = group {
            account.group = Gid::from_raw(number(group)?);
            account.name = None;
        }
        Some(account)
    }

    fn numbered(user: u32) -> Self {
        // SAFETY: as above.
        let known = unsafe { Self::of(libc::getpwuid(user)) };
        known.unwrap_or(Self { user: Uid::from_raw(user), group: Gid::from_raw(user), name: None, home: None })
    }

    /// What an entry says.
    ///
    /// # Safety
    /// It is null or the C library's own, which has not been asked again.
    unsafe fn of(entry: *const libc::passwd) -> Option<Self> {
        // SAFETY: the caller says so; its strings are NUL-terminated.
        let (entry, name, home) = unsafe {
            let entry = entry.as_ref()?;
            (entry, CStr::from_ptr(entry.pw_name), CStr::from_ptr(entry.pw_dir))
        };
        Some(Self {
            user: Uid::from_raw(entry.pw_uid),
            group: Gid::from_raw(entry.pw_gid),
            name: Some(name.to_owned()),
            home: Some(OsStr::from_bytes(home.to_bytes()).into()),
        })
    }

    /// The number of the user.
    pub fn user(&self) -> u32 {
        self.user.as_raw()
    }

    /// Has this process, which has one thread and never becomes the command, and whatever it runs find the user's home.
    pub fn go_home(&self) {
        let home = self.home.as_ref().map(|home| c_string(home.as_os_str()));
        // SAFETY: this process has one thread; the strings are NUL-terminated, and copied.
        unsafe {
            match home {
                Some(home) => libc::setenv(c"HOME".as_ptr(), home.as_ptr(), 1),
                None => libc::unsetenv(c"HOME".as_ptr()),
            };
        }
    }

    /// Makes this process one of this user's and nothing else, for ever.
    ///
    /// # Errors
    /// What the kernel refused; then this process may be anything in between, and must end.
    pub fn assume(&self) -> Result<(), (&'static str, Errno)> {
        let own = || setgroups(&[self.group]);
        // More groups than the C library knows how to count are as good as none.
        let groups = self.name.as_ref().map_or_else(own, |name| initgroups(name, self.group).or_else(|_| own()));
        groups.map_err(|errno| ("setgroups", errno))?;
        setresgid(self.group, self.group, self.group).map_err(|errno| ("setresgid", errno))?;
        setresuid(self.user, self.user, self.user).map_err(|errno| ("setresuid", errno))?;
        // There are sandboxes that only say that they have done it.
        if Uid::effective() != self.user {
            return Err(("setresuid", Errno::EPERM));
        }
        give_up_capabilities().map_err(|errno| ("capset", errno))?;
        leave_no_core();
        Ok(())
    }
}

/// As people write it; the greatest one means that nothing is to change.
fn number(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number != u32::MAX)
}

/// With another user id most are gone, unless the caller has told the kernel to leave them; those that would be handed on
/// stay in any case: <https://man7.org/linux/man-pages/man7/capabilities.7.html>.
fn give_up_capabilities() -> nix::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`, whose sets have two words each.
    const VERSION: u32 = 0x2008_0522;
    let (header, none) = ([VERSION, 0], [0_u32; 6]);
    // SAFETY: reads two structs of numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let find = |text: &str| {
            let found = Account::find(text)?;
            Some((found.user.as_raw(), found.group.as_raw(), found.name.is_some(), found.home.is_some()))
        };
        assert_eq!(find("root"), Some((0, 0, true, true)));
        assert_eq!(find("0"), Some((0, 0, true, true)));
        assert_eq!(find("root:12345"), Some((0, 12345, false, true)));
        assert_eq!(find("4000000001"), Some((4_000_000_001, 4_000_000_001, false, false)));
        assert_eq!(find("4000000001:7"), Some((4_000_000_001, 7, false, false)));
        for nobody in
            ["", ":", ":1", "1:", "no such user", "root:no such group", "root:root", "-1", "+1", "4294967295", "0x1"]
        {
            assert_eq!(find(nobody), None, "{nobody}");
        }
    }
}
