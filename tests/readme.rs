//! README and docs say of options and variables what the program knows, and the examples are up to date with it.

use std::ffi::OsString;
use std::fs;

use fedboot::config::option_table;
use fedboot::config::options::{Options, parse_options};
use fedboot::delivery::shadowed_variables;

#[test]
fn options_are_those_of_the_program() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a README");
    let rows: Vec<Vec<String>> = readme
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .map(|line| line.replace("\\|", "¦").split('|').map(|cell| cell.trim().replace('¦', "|")).collect())
        .collect();
    assert_eq!(rows.len(), 10, "those that people need");
    for row in &rows {
        let name = row[1].trim_start_matches("`--").split([' ', '`']).next().expect("a name");
        let option = option_table::option(name).unwrap_or_else(|| panic!("no option --{name}"));
        let mark = if option.attribute { " ⁺" } else { "" };
        assert_eq!(row[1], format!("`{}`{mark}", option.typed()));
        let variables: Vec<_> = option.variables.iter().map(|variable| format!("`{variable}`")).collect();
        assert_eq!(row[2], variables.join(", "), "{name}");
    }
}

#[test]
fn what_the_command_loses() {
    let deliveries = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/deliveries.md")).expect("a page");
    let list = deliveries.split("it loses what would be found first:").nth(1).expect("a list");
    let list = list.split("(of these").next().expect("its end");
    let names: Vec<_> = list.split('`').skip(1).step_by(2).collect();
    assert_eq!(names, shadowed_variables::AWS);
    let to_google = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/aws-to-google.md")).expect("a page");
    let list = to_google.split("Google's clients are kept from finding first:").nth(1).expect("a list");
    let list = list.split("\n\n").next().expect("its end");
    let names: Vec<_> = list.split('`').skip(1).step_by(2).collect();
    assert_eq!(names, shadowed_variables::GOOGLE);
}

#[test]
fn the_examples_use_options_that_there_are() {
    let mut flags: Vec<OsString> = Vec::new();
    let kubernetes = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kubernetes")).expect("examples");
    let kubernetes = kubernetes.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let manifests = kubernetes.filter(|name| name.contains(".yaml"));
    let mut names: Vec<_> = manifests.map(|name| format!("kubernetes/{name}")).collect();
    names.extend(
        [
            "cloud-run/job.yaml",
            "cloud-run/service.yaml",
            "compute-engine/app.conf",
            "compute-engine/fedboot.service",
            "ec2/fedboot.service",
            "ecs-task.json",
            "mwaa/startup.sh",
        ]
        .map(String::from),
    );
    for name in names {
        let file = format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"));
        let example = fs::read_to_string(&file).expect(&file);
        // A list's item is fedboot's alone where it is an option; elsewhere the line says whose it is.
        let lines = example.lines().filter(|line| !line.trim().starts_with('#'));
        let lines = lines.filter(|line| line.contains("fedboot") || line.trim().starts_with("- --"));
        let words = lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || "[],{}\"".contains(c)));
        flags.extend(words.filter(|word| word.starts_with("--") && word.len() > 3).map(OsString::from));
    }
    assert!(flags.len() > 15, "{flags:?}");
    for flag in flags {
        // Each by itself, as several containers use the same; with a value, which may stand apart.
        let parsed = parse_options(std::slice::from_ref(&flag), false, &mut Options::default());
        let fine =
            parsed.as_ref().is_ok() || parsed.as_ref().is_err_and(|error| error.to_string().contains("has no value"));
        assert!(fine, "{}: {}", flag.display(), parsed.expect_err("an error"));
    }
}
