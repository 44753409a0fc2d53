//! The heap: freed blocks are wiped, whatever stood in them, and what a burst needed goes back to the system.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::{Allocator, Dlmalloc};

/// An allocator that overwrites what is given back: keys and tokens pass through the buffers of TLS, HTTP, JSON and XML,
/// whose types know nothing of secrets.
///
/// musl's own allocator maps and unmaps pages for nearly every new size of block; in a program that lives for
/// milliseconds that was an eighth of its time.
pub struct Wiping;

static HEAP: Mutex<Dlmalloc<Pages>> = Mutex::new(Dlmalloc::new_with_allocator(Pages));

fn heap() -> MutexGuard<'static, Dlmalloc<Pages>> {
    HEAP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A free block that was taken for a moment, and the one before it.
struct Taken {
    size: usize,
    before: *mut Taken,
}

/// No new pages are mapped.
static NO_MORE: AtomicBool = AtomicBool::new(false);

/// Gives back to the system what is not in use: pieces of which nothing is, and in others the pages within what is free.
pub fn give_back() {
    let mut heap = heap();
    // SAFETY: only blocks that are nobody's are unmapped.
    unsafe { heap.trim(0) };
    NO_MORE.store(true, Ordering::Relaxed);
    // Whatever can be had without new pages is free.
    let mut last: *mut Taken = ptr::null_mut();
    for pages in [15, 12, 10, 8, 6, 5, 4, 3, 2] {
        let size = PAGE.saturating_mul(pages);
        loop {
            // SAFETY: the block is this function's own; pages that lie within it hold nothing that dlmalloc reads, and what
            // is written stands before them.
            unsafe {
                let block: *mut Taken = heap.malloc(size, align_of::<Taken>()).cast();
                if block.is_null() {
                    break;
                }
                block.write(Taken { size, before: last });
                last = block;
                let start: *mut u8 = block.add(1).cast();
                let skipped = start.align_offset(PAGE);
                // Whole pages.
                let length = size.saturating_sub(size_of::<Taken>()).saturating_sub(skipped) & PAGE.wrapping_neg();
                libc::madvise(start.add(skipped).cast(), length, libc::MADV_DONTNEED);
            }
        }
    }
    while !last.is_null() {
        // SAFETY: it was written above, and is freed once.
        unsafe {
            let Taken { size, before } = last.read();
            heap.free(last.cast(), size, align_of::<Taken>());
            last = before;
        }
    }
    NO_MORE.store(false, Ordering::Relaxed);
}

// SAFETY: what Dlmalloc promises; a block is written to only while it is still the caller's.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { heap().malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { heap().calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is the caller's, of this size, until it is given back below.
        unsafe {
            ptr::write_bytes(block, 0, layout.size());
            // The compiler knows that nobody reads a freed block.
            std::arch::asm!("/* {0} */", in(reg) block, options(nostack, preserves_flags));
            compiler_fence(Ordering::SeqCst);
            heap().free(block, layout.size(), layout.align());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; the new block is at least as long as what is copied.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

/// Pages of the system, no two pieces of which touch: what touches is one segment to dlmalloc, and a segment goes back
/// only as a whole.
struct Pages;

const PAGE: usize = 4096;

// SAFETY: each piece is mapped with a page behind it that is never touched, and unmapped with it.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if NO_MORE.load(Ordering::Relaxed) {
            return (ptr::null_mut(), 0, 0);
        }
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_ANONYMOUS | libc::MAP_PRIVATE);
        // SAFETY: new pages, which are nobody else's.
        let piece = unsafe { libc::mmap(ptr::null_mut(), size.saturating_add(PAGE), access, kind, -1, 0) };
        if piece == libc::MAP_FAILED { (ptr::null_mut(), 0, 0) } else { (piece.cast(), size, 0) }
    }

    fn remap(&self, piece: *mut u8, from: usize, to: usize, may_move: bool) -> *mut u8 {
        let flags = if may_move { libc::MREMAP_MAYMOVE } else { 0 };
        // SAFETY: dlmalloc's own piece.
        let moved = unsafe { libc::mremap(piece.cast(), from.saturating_add(PAGE), to.saturating_add(PAGE), flags) };
        if moved == libc::MAP_FAILED { ptr::null_mut() } else { moved.cast() }
    }

    fn free_part(&self, piece: *mut u8, from: usize, to: usize) -> bool {
        !self.remap(piece, from, to, false).is_null()
    }

    fn free(&self, piece: *mut u8, size: usize) -> bool {
        // SAFETY: dlmalloc's own piece, of which nothing is in use.
        unsafe { libc::munmap(piece.cast(), size.saturating_add(PAGE)) == 0 }
    }

    fn can_release_part(&self, _: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_goes_back() {
        let layout = Layout::from_size_align(10_000, 8).expect("a layout");
        let resident = || {
            let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
            statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number")
        };
        // SAFETY: each block is freed once, with the layout that it has.
        unsafe {
            let blocks: Vec<_> = (0..2000).map(|_| Wiping.alloc_zeroed(layout)).collect();
            for block in &blocks {
                block.write_bytes(1, layout.size());
            }
            // What stays keeps only its own pages.
            let (kept, freed): (Vec<_>, Vec<_>) = blocks.into_iter().enumerate().partition(|(index, _)| index % 5 == 0);
            let full = resident();
            for (_, block) in freed {
                Wiping.dealloc(block, layout);
            }
            give_back();
            assert!(resident() + 2000 < full, "{} of {full} pages are still there", resident());
            for (_, block) in kept {
                assert!(std::slice::from_raw_parts(block, layout.size()).iter().all(|byte| *byte == 1));
                Wiping.dealloc(block, layout);
            }
        }
    }
}
