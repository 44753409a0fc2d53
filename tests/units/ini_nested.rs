use std::collections::HashMap;

use fedboot::format::ini::{block, is_services};

#[test]
fn reads_a_block() {
    let text = b"[services a]\ns3 =\n  endpoint_url = https://s3\nsts =\n  endpoint_url = \"https://sts\" # here\n  # no\n\n  x=1\n[services \"b c\"]\nsts = x\n  endpoint_url = https://no\n[services d]\n  sts =\n    endpoint_url=https://d\n";
    let read = |name: &str| block(text, &|section| is_services(section, name), "sts").expect("a file");
    let values = read("a").expect("a section");
    assert_eq!((values["endpoint_url"].as_str(), values["x"].as_str(), values.len()), ("https://sts", "1", 2));
    assert_eq!(read("b c"), Some(HashMap::new()));
    assert_eq!(read("d").expect("a section")["endpoint_url"], "https://d");
    assert_eq!(read("b"), None);
}
