//! The README's option table says what `--help` knows, and the examples are up to date with it.

use std::ffi::OsString;
use std::fs;

use fedboot::cli::{OPTIONS, Options, parse_options};

#[test]
fn options_are_those_of_the_program() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a README");
    let rows: Vec<Vec<String>> = readme
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .map(|line| line.replace("\\|", "¦").split('|').map(|cell| cell.trim().replace('¦', "|")).collect())
        .collect();
    assert_eq!(rows.len(), OPTIONS.len());
    for (row, option) in rows.iter().zip(OPTIONS) {
        let name = format!("`--{} {}", option.name, option.value);
        let mark = if option.attribute { " ⁺" } else { "" };
        assert_eq!(row[1], format!("{}`{mark}", name.trim_end()));
        let variables: Vec<_> = option.variables.iter().map(|variable| format!("`{variable}`")).collect();
        assert_eq!(row[2], variables.join(", "), "{name}");
    }
}

#[test]
fn the_examples_use_options_that_there_are() {
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kubernetes.yaml")).expect("it");
    let items = example.split(|c: char| c.is_whitespace() || "[],{}".contains(c));
    let flags: Vec<OsString> = items.filter(|word| word.starts_with("--") && *word != "---").map(Into::into).collect();
    assert!(flags.len() > 10, "{flags:?}");
    for flag in flags {
        // Each by itself, as several containers use the same.
        let parsed = parse_options(std::slice::from_ref(&flag), false, &mut Options::default());
        assert!(parsed.is_ok(), "{}: {}", flag.display(), parsed.expect_err("an error"));
    }
}
