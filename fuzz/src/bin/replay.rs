//! Runs every file of the corpora through its target, without libFuzzer: `replay CORPORA`. Without an argument it lists
//! the targets.

use std::path::Path;
use std::{env, fs, process};

use fedboot_fuzz::TARGETS;

fn main() {
    // A panic in a server's thread counts as well.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        process::abort();
    }));
    let Some(corpora) = env::args_os().nth(1) else {
        TARGETS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    };
    let mut count = 0;
    for (name, target) in TARGETS {
        let files = fs::read_dir(Path::new(&corpora).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        for file in files {
            let path = file.expect("a file").path();
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            target(&bytes);
            count += 1;
        }
    }
    println!("{count} passed, 0 failed");
}
