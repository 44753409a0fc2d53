//! The program: see the library.
#![no_main]

fedboot::entry!(fedboot::commands::run);

#[global_allocator]
static ALLOCATOR: fedboot::system::process::heap::Wiping = fedboot::system::process::heap::Wiping;
