use std::collections::HashMap;

use fedboot::format::ini::read;

#[test]
fn reads_a_section() {
    let text = b"# [a]\n[ profile a ]\nRegion = \"eu-west-1\" # here\ns3 =\n  endpoint = x\nkey=a=b;c\nline = 1\n  2\n[b]\n  key = 2\n  k = '3'\n    4\n[empty]\n";
    let read = |section: &str| read(text, &|name| name == section).expect("a file");
    let values = read("profile a").expect("the section");
    assert_eq!((values["region"].as_str(), values["line"].as_str()), ("eu-west-1", "1\n2"));
    assert_eq!((values["key"].as_str(), values["s3"].as_str(), values.len()), ("a=b;c", "", 4));
    let values = read("b").expect("the section");
    assert_eq!((values["key"].as_str(), values["k"].as_str()), ("2", "3\n4"));
    assert_eq!(read("empty"), Some(HashMap::new()));
    assert_eq!(read("a"), None);
}

#[test]
fn what_is_for_all_sections() {
    let text = b"[DEFAULT]\nregion = x\nk = v\n[a]\nk = w\n";
    let read = |section: &str| read(text, &|name| name == section).expect("a file");
    let values = read("a").expect("the section");
    assert_eq!((values["region"].as_str(), values["k"].as_str()), ("x", "w"));
    assert_eq!(read("default"), None);
}

/// What SDKs read with different credentials is for nobody to guess.
#[test]
fn says_where_readers_differ() {
    for (text, line) in [
        ("[a]\nregion = x\n  aws_access_key_id = A\n", Some(3)),
        ("[b]\nregion = x\n  [a]\n", Some(3)),
        ("[b]\nregion = x\n  aws_access_key_id = A\n[a]\n", None),
        ("[a]\ns3 =\n  aws_access_key_id = A\n", None),
        ("[a]\nregion = x\n  [c]\n  aws_access_key_id = A\n", None),
    ] {
        assert_eq!(read(text.as_bytes(), &|name| name == "a").err().map(|e| e.line), line, "{text}");
    }
}
