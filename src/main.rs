//! The program: see the library.
#![no_main]

fedboot::entry!(fedboot::boot::run);

#[global_allocator]
static ALLOCATOR: fedboot::process::heap::Wiping = fedboot::process::heap::Wiping;
