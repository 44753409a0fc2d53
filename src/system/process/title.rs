//! What a list of processes shows of this one.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Where argv stands in memory, and how long it is, as the kernel shows it to `ps`.
static ARGV: (AtomicUsize, AtomicUsize) = (AtomicUsize::new(0), AtomicUsize::new(0));

/// Says where argv stands.
pub fn argv_is_at(start: usize, length: usize) {
    ARGV.0.store(start, Ordering::Relaxed);
    ARGV.1.store(length, Ordering::Relaxed);
}

/// Gives this process a name and an argv of its own, so that nobody takes it for the command, whose words would stand
/// there otherwise. Where argv has no room for all of the words, it has those that fit.
pub fn be_called(name: &std::ffi::CStr, word: &str, pid: i32) {
    // SAFETY: a NUL-terminated name; nothing else is read.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    let (start, length) = (ARGV.0.load(Ordering::Relaxed), ARGV.1.load(Ordering::Relaxed));
    let whole = format!("fedboot\0{word}\0{pid}\0");
    let words = [whole.as_str(), "fedboot\0"].into_iter().find(|words| words.len() <= length).unwrap_or_default();
    if start != 0 {
        // SAFETY: argv is this process's own memory, may be written (C11 5.1.2.2.1), and nobody reads it any more.
        unsafe {
            std::ptr::write_bytes(start as *mut u8, 0, length);
            std::ptr::copy_nonoverlapping(words.as_ptr(), start as *mut u8, words.len());
        }
    }
}
