//! The program: see the library.
#![no_main]

fedboot::entry!(fedboot::boot::run);

#[global_allocator]
static ALLOCATOR: fedboot::process::memory::Wiping = fedboot::process::memory::Wiping;
