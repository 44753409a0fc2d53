use fedboot::format::ini::{Carried, OTHER_SOURCES, Section, edit, put_back};

/// Before, and between an edit and the end; `|` ends a line. In the end it is as before.
#[test]
fn comes_back() {
    let aside = "# set aside by fedboot: ";
    let keys = "aws_access_key_id = ASIA|";
    let carried = "# fedboot: from the profile other|output = json|# fedboot: end|";
    for (before, during) in [
        ("role_arn = a|  more|", format!("{aside}role_arn = a|{aside}  more|{keys}{carried}")),
        ("aws_access_key_id = A|# b|", format!("{keys}{aside}aws_access_key_id = A|{carried}# b|")),
        // The user's own comments.
        (
            "# set aside by fedboot: see there|role_arn = a|# set aside by fedboot: [b]|",
            format!("{aside}see there|{aside}role_arn = a|{aside}[b]|{keys}{carried}"),
        ),
        (
            "# fedboot: end|role_arn = a|# fedboot: from the profile b|k = v|",
            format!("# fedboot: end|{aside}role_arn = a|# fedboot: from the profile b|k = v|{keys}{carried}"),
        ),
    ] {
        let [before, during] = [before, &during].map(|text| format!("[a]|{text}").replace('|', "\n"));
        let settings = vec![("output".into(), "json".into())];
        let section = Section {
            name: "a",
            set: vec![("aws_access_key_id", "ASIA".into())],
            remove: vec!["aws_security_token"],
            aside: OTHER_SOURCES,
            keeps_keys: true,
            carried: Some(Carried { from: "other".into(), settings }),
        };
        let edited = edit(before.as_bytes(), &section).expect("an edit");
        assert_eq!(String::from_utf8_lossy(&edited), during);
        let again = edit(&edited, &Section { keeps_keys: false, ..section.clone() }).expect("again");
        assert_eq!(again, edited, "a second time");
        let after = put_back(&edited, &section).expect("it can be read");
        assert_eq!(String::from_utf8_lossy(&after), before);
    }
}

/// Of two the last, each with all its lines.
#[test]
fn what_is_older_goes_whole() {
    let text = b"[a]\nk = v\n# set aside by fedboot: role_arn = old\n# set aside by fedboot:   more\nrole_arn = new\n";
    let (set, remove) = (Vec::new(), Vec::new());
    let section = Section { name: "a", set, remove, aside: OTHER_SOURCES, keeps_keys: false, carried: None };
    let edited = edit(text, &section).expect("an edit");
    let after = put_back(&edited, &section).expect("it can be read");
    assert_eq!(String::from_utf8_lossy(&after), "[a]\nk = v\nrole_arn = new\n");
}
