use fedboot::config::template::{Template, placeholder};

#[test]
fn expands() {
    let template = Template::parse("role-arn", "arn:{project}:{attribute:team}{hostname}").expect("a template");
    assert_eq!(template.facts().count(), 3);
    assert_eq!(template.literal(), None);
    assert_eq!(template.expand(|fact| placeholder(fact).to_uppercase()), "arn:{PROJECT}:{ATTRIBUTE:TEAM}{HOSTNAME}");
    assert_eq!(Template::parse("role-arn", "plain").expect("a template").literal().as_deref(), Some("plain"));
}

#[test]
fn names_what_is_wrong() {
    for (text, part) in [
        ("{nope}", "unknown placeholder"),
        ("{projet}", "did you mean {project}?"),
        ("{attribute:}", "unknown placeholder"),
        ("{attribute:a b}", "unknown placeholder"),
        ("a{project", "twin"),
        ("a}b", "twin"),
        ("{}", "unknown placeholder"),
    ] {
        let error = Template::parse("--role-arn", text).expect_err(text).to_string();
        assert!(error.contains(part) && error.starts_with("--role-arn has"), "{error}");
    }
}
