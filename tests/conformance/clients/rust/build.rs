//! Tells the program which aws-config it is really built with.

use std::fs;

fn main() {
    let lock = fs::read_to_string("Cargo.lock").expect("there is a Cargo.lock");
    let (_, rest) = lock.split_once("name = \"aws-config\"\nversion = \"").expect("aws-config is in it");
    let (version, _) = rest.split_once('"').expect("a version is quoted");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rustc-env=AWS_CONFIG_VERSION={version}");
}
