//! The README's option table says what `--help` knows.

use std::fs;

use fedboot::cli::OPTIONS;

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
