//! packaging/packages.zlib: the packages that the binary is made of, in the form of
//! [cargo-auditable](https://github.com/rust-secure-code/cargo-auditable/blob/master/PARSING.md), which scanners read in it.
//!
//! cargo-auditable itself would have to be compiled before each build, in containers too.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::Command;

use auditable_serde::{DependencyKind, Package, Source, VersionInfo};

/// Both kinds of machines, as one list serves them.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];
const ROOT: &str = "fedboot";

/// Name and version.
type Id = (String, semver::Version);

/// The file, and what stands in it.
///
/// # Errors
/// cargo could not say what there is.
pub fn file() -> io::Result<(String, Vec<u8>)> {
    let json = serde_json::to_vec(&list()?)?;
    Ok(("packaging/packages.zlib".into(), miniz_oxide::deflate::compress_to_vec_zlib(&json, 10)))
}

/// Whether a binary says of itself what Cargo.lock says of it; the number of packages.
///
/// # Errors
/// It does not, or no list is in it.
pub fn check(binary: &Path) -> io::Result<usize> {
    let found = auditable_info::audit_info_from_file(binary, auditable_info::Limits::default())
        .map_err(|error| io::Error::other(format!("{}: {error}", binary.display())))?;
    if found != list()? {
        return Err(io::Error::other(format!("{}: its list of packages is another one", binary.display())));
    }
    Ok(found.packages.len())
}

fn list() -> io::Result<VersionInfo> {
    let mut edges: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    let mut runs = BTreeSet::new();
    for target in TARGETS {
        for (package, parent) in tree("normal,build", target)? {
            edges.entry(package.clone()).or_default();
            if let Some(parent) = parent {
                edges.entry(parent).or_default().insert(package);
            }
        }
        runs.extend(tree("normal,no-proc-macro", target)?.into_iter().map(|(package, _)| package));
    }
    let ids: Vec<Id> = edges.keys().cloned().collect();
    let number = |id: &Id| ids.binary_search(id).map_err(|_| io::Error::other("a package that nobody named"));
    let mut packages = Vec::new();
    for (id, needs) in &edges {
        let (name, version) = id.clone();
        let is_ours = name.starts_with(ROOT);
        packages.push(Package {
            root: name == ROOT,
            source: if is_ours { Source::Local } else { Source::CratesIo },
            kind: if runs.contains(id) { DependencyKind::Runtime } else { DependencyKind::Build },
            dependencies: needs.iter().map(number).collect::<io::Result<_>>()?,
            name,
            version,
        });
    }
    Ok(VersionInfo { packages, format: 0 })
}

/// Each package that fedboot needs, and who needs it.
fn tree(edges: &str, target: &str) -> io::Result<Vec<(Id, Option<Id>)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let words = ["tree", "--locked", "--package", ROOT, "--edges", edges, "--target", target, "--prefix", "depth"];
    let output = Command::new(env!("CARGO")).args(words).current_dir(root).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let mut above: Vec<Id> = Vec::new();
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let digits = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(line.len());
        let (depth, rest) = line.split_at(digits);
        let mut words = rest.split(' ');
        let (Ok(depth), Some(name), Some(version)) = (depth.parse(), words.next(), words.next()) else { continue };
        let version = version.trim_start_matches('v').parse().map_err(io::Error::other)?;
        above.truncate(depth);
        found.push(((name.to_owned(), version), above.last().cloned()));
        above.push(found[found.len() - 1].0.clone());
    }
    Ok(found)
}
