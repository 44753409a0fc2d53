//! `fedboot-tools` writes what is made of fedboot's tables of options and reasons: manual pages, completions, docs/options.md,
//! docs/troubleshooting.md.
//! `fedboot-tools --check` writes nothing, and fails where a file says something else than the table.

mod completions;
mod man;
mod options;
mod troubleshooting;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> io::Result<ExitCode> {
    let is_check = match env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(_) => {
            eprintln!("usage: fedboot-tools [--check]");
            return Ok(ExitCode::from(2));
        }
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let files = man::pages()
        .into_iter()
        .chain(completions::scripts())
        .chain([options::document(), troubleshooting::document()]);
    let mut stale = Vec::new();
    for (name, text) in files {
        let path = root.join(&name);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        if !is_check {
            fs::create_dir_all(path.parent().unwrap_or(root))?;
            fs::write(&path, text)?;
        }
        stale.push(name);
    }
    for name in &stale {
        eprintln!("{name} {}", if is_check { "is not what the tables say" } else { "is written" });
    }
    if is_check && !stale.is_empty() {
        eprintln!("write them anew: cargo run -p fedboot-tools");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
