//! `fedboot-tools` writes what is made of fedboot's tables of options and reasons: manual pages, completions, docs/options.md,
//! docs/troubleshooting.md; and of Cargo.lock: packaging/packages.zlib.
//! `fedboot-tools --check` writes nothing, and fails where a file says something else than the table.
//! `fedboot-tools --packages BINARY` reads the list of packages in a binary, and fails where it says something else.

mod completions;
mod man;
mod options;
mod packages;
mod troubleshooting;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let is_check = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--check"] => true,
        ["--packages", binary] => {
            println!("{} packages", packages::check(Path::new(binary))?);
            return Ok(ExitCode::SUCCESS);
        }
        _ => {
            eprintln!("usage: fedboot-tools [--check | --packages BINARY]");
            return Ok(ExitCode::from(2));
        }
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let files = man::pages()
        .into_iter()
        .chain(completions::scripts())
        .chain([options::document(), troubleshooting::document()])
        .map(|(name, text)| (name, text.into_bytes()))
        .chain([packages::file()?]);
    let mut stale = Vec::new();
    for (name, text) in files {
        let path = root.join(&name);
        if fs::read(&path).is_ok_and(|old| old == text) {
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
