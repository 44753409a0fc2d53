use std::path::Path;

use fedboot::system::input::{InputValue, closest};

use crate::world;

#[test]
fn one_of_the_known() {
    let choose =
        |text: &str| InputValue::new("--x", text).one_of(&[("text", 1), ("json", 2)]).map_err(|e| e.to_string());
    assert_eq!(choose("json"), Ok(2));
    assert_eq!(choose("jsn"), Err("--x is none of text, json; did you mean json? [FB001]".into()));
    assert_eq!(choose("hunter2"), Err("--x is none of text, json [FB001]".into()));
    assert_eq!(closest(["exit", "run"].into_iter(), "rum"), Some("run"));
    assert_eq!(closest(["exit", "run"].into_iter(), "x"), None);
}

#[test]
fn homes() {
    let mut world = world(&[]);
    world.home = Some("/home/me".into());
    for (given, path) in [
        ("~/.aws/x", "/home/me/.aws/x"),
        ("~root/x", "/root/x"),
        ("~nobody of this name/x", "/~nobody of this name/x"),
        ("a/~/x", "/a/~/x"),
        ("~", "/home/me/"),
    ] {
        assert_eq!(InputValue::new("--x", given).file(&world).path(), Path::new(path), "{given}");
    }
}

#[test]
fn cannot_be_printed() {
    let given = InputValue::new("--x", "hunter2");
    let file = given.clone().file(&world(&[]));
    let error = given.bad("is wrong").to_string();
    for text in [format!("{given:?}"), format!("{file:?}"), file.shown(), file.origin_and_path(), error] {
        assert!(text.contains("--x") && !text.contains("hunter2"), "{text}");
    }
}
