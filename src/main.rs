//! The program: see the library.
#![no_main]

fedboot::entry!(fedboot::commands::main);

#[global_allocator]
static ALLOCATOR: fedboot::system::process::heap::Wiping = fedboot::system::process::heap::Wiping;
