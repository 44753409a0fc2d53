//! The file as a reader sees it that shares nothing with the SDKs: rust-ini, over the files of `readers`.

use std::fs;

use ini::{Ini, ParseOption};

use crate::common::{self, Stage};
use crate::default_keys;
use crate::readers::ROWS;

/// Where it does not find the keys, and why: in no case for what fedboot writes, but for what stood there before, which
/// stays. There botocore alone is the oracle.
const NOT_READ: &[(&str, &str)] = &[
    ("a value on more lines", "a line without `=` and the next one are one key"),
    ("a comment with a bracket", "no comment may follow a section's name"),
    ("aws_config_nested_bad", "a line without `=` and the next one are one key"),
    ("comments", "no comment may follow a section's name"),
    ("continuations with comments", "a line without `=` and the next one are one key"),
];

#[test]
fn a_foreign_reader_finds_the_keys() {
    let plain = || ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
    let stage = Stage::new();
    let mut wrong = Vec::new();
    for (name, before, _) in ROWS {
        common::write(&stage.credentials_file(), before);
        let found = stage.directory.path().join("found");
        stage.run(["--".as_ref(), "cp".as_ref(), stage.credentials_file().as_path(), &found]).assert_succeeded();
        let text = fs::read_to_string(&found).expect("a file");
        let read = Ini::load_from_str_opt(&text, plain());
        let keys = default_keys(&stage);
        let missing: Vec<&str> = keys
            .split_terminator('|')
            .filter(|line| {
                let (key, value) = line.split_once(" = ").expect("a line");
                read.as_ref().ok().and_then(|read| read.get_from(Some("default"), key)) != Some(value)
            })
            .collect();
        let known = NOT_READ.iter().find(|(row, _)| row == name);
        if missing.is_empty() == known.is_some() {
            wrong.push(format!("{name}: {known:?}, {:?}, {} lines missing in\n{text}", read.err(), missing.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
