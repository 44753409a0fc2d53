//! The program: see the library.
#![no_main]

fedboot::entry!(fedboot::boot::run);
