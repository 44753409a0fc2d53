//! Memory: a file without a name for what outlives a process, and what a process can do without.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::system::process::descriptors::above_standard;

/// Lets go of the pages of the program's file that this process has used: the kernel has them still, and maps again what
/// is needed. A guard needs next to none of them for the rest of its life.
pub fn forget_program() {
    extern "C" fn forget(info: *mut libc::dl_phdr_info, _: usize, _: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the C library describes what it has loaded; segments that are never written hold nothing but the
        // file's own bytes, which the kernel reads again.
        unsafe {
            let (base, count) = ((*info).dlpi_addr, usize::from((*info).dlpi_phnum));
            for header in std::slice::from_raw_parts((*info).dlpi_phdr, count) {
                if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0 {
                    let start = base.wrapping_add(header.p_vaddr) & !0xfff;
                    let length = header.p_memsz.wrapping_add(header.p_vaddr & 0xfff);
                    libc::madvise(
                        start as *mut libc::c_void,
                        usize::try_from(length).unwrap_or(0),
                        libc::MADV_DONTNEED,
                    );
                }
            }
        }
        0
    }
    // SAFETY: the callback does not keep what it is given.
    unsafe { libc::dl_iterate_phdr(Some(forget), std::ptr::null_mut()) };
}

/// A file without a name, which an agent leaves to the next one; it is gone with the last process that has it open.
/// Of its two halves the one that is in use is never written to, so that a process that is killed while it writes leaves
/// the other one.
pub struct Memory(File);

/// How long each half is: a limit on files (`ulimit -f`) may be low.
const HALF: u64 = 1 << 18;
/// Where the first one begins, behind the number of the one in use.
const FIRST: u64 = 8;

impl Memory {
    /// An empty one; none on a kernel that knows no such files.
    pub fn new() -> Option<Self> {
        let fd = memfd_create(c"fedboot", MFdFlags::MFD_CLOEXEC).and_then(above_standard);
        fd.ok().map(|fd| Self(fd.into()))
    }

    /// Replaces what is kept.
    ///
    /// # Errors
    /// What the kernel refused; then what was kept still is.
    pub fn keep(&self, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        if length >= HALF - 8 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let half = u8::from(self.half_in_use() == Some(0));
        let whole = [&length.to_le_bytes()[..], bytes].concat();
        self.0.write_all_at(&whole, start_of(half))?;
        self.0.write_all_at(&[half], 0)
    }

    /// What is kept.
    pub fn kept(&self) -> Option<Vec<u8>> {
        let start = start_of(self.half_in_use()?);
        let mut length = [0; 8];
        self.0.read_exact_at(&mut length, start).ok()?;
        let length = u64::from_le_bytes(length);
        let mut bytes = vec![0; usize::try_from(length).ok().filter(|_| length < HALF)?];
        self.0.read_exact_at(&mut bytes, start.checked_add(8)?).ok()?;
        Some(bytes)
    }

    fn half_in_use(&self) -> Option<u8> {
        let mut half = [0];
        let length = self.0.metadata().ok()?.len();
        self.0.read_exact_at(&mut half, 0).ok()?;
        let [half] = half;
        (length > FIRST && half < 2).then_some(half)
    }
}

fn start_of(half: u8) -> u64 {
    if half == 0 { FIRST } else { FIRST + HALF }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_last() {
        let memory = Memory::new().expect("a memfd");
        assert_eq!(memory.kept(), None);
        for text in ["one", "", "a longer one", "x"] {
            memory.keep(text.as_bytes()).expect("kept");
            assert_eq!(memory.kept().as_deref(), Some(text.as_bytes()));
        }
        assert!(memory.keep(&vec![0; 1 << 22]).is_err());
        assert_eq!(memory.kept().as_deref(), Some(&b"x"[..]));
    }
}
