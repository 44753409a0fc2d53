//! A fork by way of a process that has no memory of its own. To leave a process that is not its child, fedboot
//! forks twice; the process in between makes two system calls. Copying all page tables for it was a thirtieth of a boot.

use std::arch::asm;

use libc::{CLONE_VFORK, CLONE_VM, SIGCHLD, SYS_clone, SYS_exit_group, c_int, c_long};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// As after `vfork`: the new process works in the memory of this one, which stands still until it has ended.
const BORROWING: c_int = CLONE_VM | CLONE_VFORK;

/// Forks a grandchild whose parent has ended when this returns. Returns whether this is the grandchild.
///
/// # Errors
/// What the kernel refused at either fork.
pub fn fork_orphan() -> nix::Result<bool> {
    let outcome = match fork_twice(BORROWING) {
        // An emulator of system calls (qemu's) knows no processes but those that signal their end.
        Err(Errno::EINVAL) => fork_twice(BORROWING | SIGCHLD)?,
        outcome => outcome?,
    };
    let Some(between) = outcome else { return Ok(true) };
    match waitpid(between, Some(WaitPidFlag::__WALL)) {
        Ok(WaitStatus::Exited(_, errno)) if errno != 0 => Err(Errno::from_raw(errno)),
        _ => Ok(false),
    }
}

/// Two forks, the first one with these flags. Returns the process in between, whose exit code is the number of what went
/// wrong there, and nothing in the grandchild.
fn fork_twice(flags: c_int) -> nix::Result<Option<Pid>> {
    let mut outcome = c_long::from(flags);
    // SAFETY: this process has one thread, so the grandchild may go on as an ordinary process, in a copy of all there is.
    // The process in between has only registers of its own: it makes two calls, neither of which returns to it here.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov eax, {clone}",
            "mov edi, {at_its_end}",
            "syscall",
            "test rax, rax",
            "jz 2f",
            "xor edi, edi",
            "neg rax",
            "cmovns edi, eax",
            "mov eax, {exit}",
            "syscall",
            "2:",
            clone = const SYS_clone,
            exit = const SYS_exit_group,
            at_its_end = const SIGCHLD,
            inout("rdi") outcome => _,
            inout("rax") SYS_clone => outcome,
            in("rsi") 0, in("rdx") 0, in("r10") 0, in("r8") 0,
            out("rcx") _, out("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x8, {clone}",
            "mov x0, {at_its_end}",
            "svc 0",
            "cbz x0, 2f",
            "negs x0, x0",
            "csel x0, x0, xzr, gt",
            "mov x8, {exit}",
            "svc 0",
            "2:",
            clone = const SYS_clone,
            exit = const SYS_exit_group,
            at_its_end = const SIGCHLD,
            inout("x0") outcome,
            inout("x8") SYS_clone => _,
            in("x1") 0, in("x2") 0, in("x3") 0, in("x4") 0,
        );
    }
    match i32::try_from(outcome).unwrap_or(0) {
        0 => Ok(None),
        child @ 1.. => Ok(Some(Pid::from_raw(child))),
        refused => Err(Errno::from_raw(refused.saturating_neg())),
    }
}
