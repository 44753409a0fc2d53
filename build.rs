//! The shipped binary ends at a panic and never unwinds, so the tables for that, a ninth of it, are left out when it is
//! linked. rustc has a flag for this, but not for the standard library, which comes compiled.

#![expect(clippy::disallowed_methods, reason = "cargo speaks to a build script through its environment")]

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
    let is = |name: &str, value: &str| var(name).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_ENV", "musl") && is("PROFILE", "release") {
        // Copied beside what is built: two checkouts that share a target directory share what this script said, and the
        // first may be gone when the second links.
        let script = format!("{}/link.ld", var("OUT_DIR").expect("cargo names a directory for a build script"));
        std::fs::copy("link.ld", &script).expect("link.ld can be copied beside what is built");
        // Compiler drivers and linkers alike know -T and -z.
        println!("cargo::rustc-link-arg-bins=-T{script}");
        // A position-independent program has thousands of places to adjust when it starts; in this form they take a
        // bit each instead of 24 bytes. musl's start-up code knows it since 1.2.4.
        println!("cargo::rustc-link-arg-bins=-z");
        println!("cargo::rustc-link-arg-bins=pack-relative-relocs");
    }
}
