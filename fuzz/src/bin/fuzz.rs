//! libFuzzer's side: `FEDBOOT_FUZZ_TARGET=NAME fuzz CORPUS… -max_total_time=SECONDS`.
#![no_main]

use std::sync::OnceLock;

use fedboot_fuzz::{Target, target};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let chosen = TARGET.get_or_init(|| {
        let name = std::env::var("FEDBOOT_FUZZ_TARGET").expect("FEDBOOT_FUZZ_TARGET names a target");
        target(&name).expect("a known target")
    });
    chosen(bytes);
});
