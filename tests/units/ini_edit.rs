use fedboot::format::ini::{Section, edit};

fn keys(name: &str) -> Section<'_> {
    Section {
        name,
        set: vec![("aws_access_key_id", "ASIA".into()), ("aws_secret_access_key", "s3cret".into())],
        remove: vec!["aws_security_token"],
        aside: &["role_arn", "source_profile"],
        keeps_keys: false,
        carried: None,
    }
}

/// Before and after; `|` ends a line.
#[test]
fn golden() {
    let new = "[default]|aws_access_key_id = ASIA|aws_secret_access_key = s3cret|";
    for (before, after) in [
        ("", new.to_owned()),
        ("|", format!("|{new}")),
        ("[other]|a=1|", format!("[other]|a=1||{new}")),
        ("[other]|a=1", format!("[other]|a=1||{new}")),
        ("[other]|a=1||", format!("[other]|a=1||{new}")),
        ("# only a note|", format!("# only a note||{new}")),
        ("[default]|", new.to_owned()),
        ("[default]", new.to_owned()),
        // A partial section: what is foreign stays, what is missing comes behind it.
        (
            "[default]|region=eu|aws_access_key_id=OLD||# next|[b]|x: 1|",
            "[default]|region=eu|aws_access_key_id = ASIA|aws_secret_access_key = s3cret||# next|[b]|x: 1|".into(),
        ),
        // Twins and what is to go, in any case of letters, go; continuation lines go with their property.
        (
            "[default]|AWS_ACCESS_KEY_ID=1|aws_access_key_id=2|aws_security_token=x|  y|s3 =|  a = 1|",
            "[default]|aws_access_key_id = ASIA|s3 =|  a = 1|aws_secret_access_key = s3cret|".into(),
        ),
        (" [ default ] # mine|k=v", " [default] # mine|k=v|aws_access_key_id = ASIA|aws_secret_access_key = s3cret|".into()),
        // A header that botocore or Go would not read.
        ("[default] see [x]|", "; see [x]|[default]|aws_access_key_id = ASIA|aws_secret_access_key = s3cret|".into()),
        // What is indented: ours are indented as it is, and come first.
        (
            "[default]|  region = x|  aws_access_key_id = A|  s3 =|    a = 1|  k = v|",
            "[default]|  aws_access_key_id = ASIA|  aws_secret_access_key = s3cret|  region = x|  s3 =|    a = 1|  k = v|".into(),
        ),
        ("[default]||  [b]|  k = v|", "[default]|  aws_access_key_id = ASIA|  aws_secret_access_key = s3cret||  [b]|  k = v|".into()),
        ("[default]|a = 1|  [b]|  k = v|", "[default]|aws_access_key_id = ASIA|aws_secret_access_key = s3cret|a = 1|  [b]|  k = v|".into()),
        // What Go takes for settings.
        (
            "[default]|a = 1|  aws_access_key_id = A|  k = v|aws_secret_access_key = B|  l = w|",
            "[default]|a = 1|  k = v|aws_secret_access_key = s3cret|# taken out by fedboot:   l = w|aws_access_key_id = ASIA|".into(),
        ),
        // What would be taken before the keys.
        (
            "[default]|role_arn = arn|  more|Source_Profile = b|k = v|",
            "[default]|# set aside by fedboot: role_arn = arn|# set aside by fedboot:   more|# set aside by fedboot: Source_Profile = b|k = v|aws_access_key_id = ASIA|aws_secret_access_key = s3cret|".into(),
        ),
        (
            "; a||[a]|k = [default]|; [default]|[default]|# keep|aws_secret_access_key=1|[z]|",
            "; a||[a]|k = [default]|; [default]|[default]|# keep|aws_secret_access_key = s3cret|aws_access_key_id = ASIA|[z]|".into(),
        ),
    ] {
        for newline in ["\n", "\r\n"] {
            let (before, after) = (before.replace('|', newline), after.replace('|', newline));
            // Without any line there is no telling which ending is meant.
            let after = if before.contains('\n') { after } else { after.replace("\r\n", "\n") };
            let edited = edit(before.as_bytes(), &keys("default")).expect(&before);
            assert_eq!(String::from_utf8_lossy(&edited), after, "from {before:?}");
            assert_eq!(edit(&edited, &keys("default")).expect("again"), edited, "a second time");
        }
    }
}

#[test]
fn foreign_bytes_and_a_byte_order_mark_stay() {
    let text = b"\xef\xbb\xbf[default]\nname=\xff\xfe\n";
    let edited = edit(text, &keys("default")).expect("an edit");
    assert!(edited.starts_with(text));
}

#[test]
fn malformed_files_are_named_by_line() {
    for (text, line) in [
        ("key = 1\n[default]\n", 1),
        ("[default\n", 1),
        ("[]\n", 1),
        ("[a]\n= 1\n", 2),
        ("[a]\nb=1\ngarbage\n", 3),
        ("[default]\na=1\n\n[default]\n", 4),
        ("[a]\na=1\n  [default]\n", 3),
        ("[default]\naws_access_key_id=1\n  [b]\n", 3),
        ("{\"json\": true}\n", 1),
    ] {
        assert_eq!(edit(text.as_bytes(), &keys("default")).err().map(|e| e.line), Some(line), "{text}");
    }
}
