//! The program: see the library.
#![no_main]

fedboot::entry!(fedboot::boot::run);

/// musl's own allocator maps and unmaps pages for nearly every new size of block; in a program that lives for
/// milliseconds that was an eighth of its time.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
