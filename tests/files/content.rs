//! What stands in the file before and after.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::common::{self, Stage};
use crate::{OTHER, beside, default_keys, mode};

fn path(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Rows: before and after, byte by byte. `|` is a line end, `KEYS` the four keys in their order.
#[test]
fn what_stands_there_stays() {
    let profile = "[fedboot]|region = us-east-1|";
    let fresh = format!("[default]|KEYS|{profile}");
    let aside = "# set aside by fedboot: ";
    let carried = |settings: &str| format!("# fedboot: from the profile default|{settings}|# fedboot: end|");
    let rows: Vec<(&str, String, String)> = vec![
        ("nothing", String::new(), fresh.clone()),
        ("other profiles", "[a]|x = 1|[b]|y=2|".into(), format!("[a]|x = 1|[b]|y=2||{fresh}")),
        (
            "comments and blank lines",
            "# top||; second|[a]|# in a|x = 1 # not a comment||# after a||".into(),
            format!("# top||; second|[a]|# in a|x = 1 # not a comment||# after a||{fresh}"),
        ),
        ("no final newline", "[a]|x = 1".into(), format!("[a]|x = 1||{fresh}")),
        ("only blanks", "||".into(), format!("||{fresh}")),
        ("an empty [default]", "[default]|".into(), fresh.clone()),
        (
            "a partial [default]",
            "[default]|region = eu-west-3|aws_access_key_id = OLD|[z]|k = v|".into(),
            format!(
                "[default]|region = eu-west-3|ID|{aside}aws_access_key_id = OLD|SECRET|TOKEN|EXPIRES|[z]|k = v||[fedboot]|region = eu-west-3|"
            ),
        ),
        (
            "a [default] of long-lived keys in other letters, with an old token",
            "[default]|AWS_ACCESS_KEY_ID=A|aws_secret_access_key :B|aws_security_token=C|output = json|".into(),
            format!("[default]|ID|SECRET|output = json|TOKEN|EXPIRES||{profile}{}", carried("output = json")),
        ),
        (
            "a [fedboot] with static keys",
            "[fedboot]|aws_access_key_id = A|aws_secret_access_key = B|output = text|region = old|".into(),
            "[fedboot]|output = text|region = us-east-1||[default]|KEYS".into(),
        ),
        (
            "a [fedboot] with a process, of an older version",
            "[fedboot]|credential_process = /bin/false|  --with continuation||[default]|role_session_name = x|".into(),
            "[fedboot]|region = us-east-1||[default]|role_session_name = x|KEYS".into(),
        ),
        (
            "fedboot's own, from before",
            "[default]|aws_access_key_id = A|aws_secret_access_key = B|aws_session_token = C|x_security_token_expires = D||[fedboot]|region = us-east-1|".into(),
            "[default]|KEYS|[fedboot]|region = us-east-1|".into(),
        ),
        ("names that begin alike", "[default2]|x=1|[fedboot-x]|y=1|".into(), format!("[default2]|x=1|[fedboot-x]|y=1||{fresh}")),
        ("bytes that are not UTF-8", "[ü]|name = \u{1}\u{7f}|".into(), format!("[ü]|name = \u{1}\u{7f}||{fresh}")),
        ("nested values", "[a]|s3 =|  max = 1|  min = 2|".into(), format!("[a]|s3 =|  max = 1|  min = 2||{fresh}")),
    ];
    let stage = Stage::new();
    for (name, before, after) in rows {
        for newline in ["\n", "\r\n"] {
            for mark in ["", "\u{feff}"] {
                if before.is_empty() && (newline == "\r\n" || !mark.is_empty()) || before == "||" && !mark.is_empty() {
                    continue;
                }
                let raw = |text: &str| text.replace('|', newline);
                let before = format!("{mark}{}", raw(&before));
                if before.is_empty() {
                    let _ = fs::remove_file(stage.credentials_file());
                } else {
                    common::write(&stage.credentials_file(), &before);
                }
                // As the command finds it.
                let found = stage.directory.path().join("found");
                stage.run(["--", "cp", "-p", path(&stage.credentials_file()), path(&found)]).assert_succeeded();
                let keys = default_keys(&stage);
                let lines: Vec<_> = keys.split_inclusive('|').collect();
                let mut after = after.replace("KEYS", &keys);
                for (word, line) in ["ID|", "SECRET|", "TOKEN|", "EXPIRES|"].into_iter().zip(lines) {
                    after = after.replacen(&format!("|{word}"), &format!("|{line}"), 1);
                }
                let found_text = fs::read_to_string(&found).expect("text");
                assert_eq!(found_text, format!("{mark}{}", raw(&after)), "{name} {newline:?} {mark:?}");
                assert_eq!(mode(&found), 0o600, "{name}");
                // Afterwards it stays, but for a section of which something was set aside.
                let left = if after.contains(aside) { before } else { found_text };
                assert!(stage.credentials_text().starts_with(&left), "{name}: {}", stage.credentials_text());
            }
        }
    }
}

#[test]
fn foreign_bytes_stay() {
    let stage = Stage::new();
    let before = b"[latin]\nname = caf\xe9 \xff\xfe\x00 zero\n# \x80\n";
    common::write(&stage.credentials_file(), before);
    stage.run(["--", "true"]).assert_succeeded();
    let after = fs::read(stage.credentials_file()).expect("a file");
    assert_eq!(&after[..before.len()], before);
    assert!(after.len() > before.len() + 100);
}

#[test]
fn alone_the_file_has_no_profile() {
    let stage = Stage::new();
    common::write(&stage.credentials_file(), OTHER);
    let outcome =
        stage.run_shell(&["--delivery=file"], "echo ${AWS_PROFILE-none} ${AWS_CONTAINER_CREDENTIALS_FULL_URI-none}");
    assert_eq!(outcome.stdout, "none none\n");
    let keys = default_keys(&stage).replace('|', "\n");
    assert_eq!(stage.credentials_text(), format!("{OTHER}\n[default]\n{keys}"));
}

#[test]
fn malformed_files_are_left_alone() {
    let stage = Stage::new();
    for (text, line) in [
        ("key = 1\n[default]\n", "line 1"),
        ("[default\n", "line 1"),
        ("[]\n", "line 1"),
        ("[a]\n= 1\n", "line 2"),
        ("[a]\nb=1\nSECRETgarbage\n", "line 3"),
        ("[default]\na=1\n\n[default]\n", "line 4"),
        ("[fedboot]\n[fedboot]\n", "line 2"),
        ("{\"json\": \"SECRET\"}\n", "line 1"),
        ("\0\0\0\0", "line 1"),
    ] {
        common::write(&stage.credentials_file(), text);
        let before = fs::metadata(stage.credentials_file()).expect("a file");
        let outcome = stage.run(["--", "touch", "ran"]);
        outcome.assert_failed(125, &["credentials", line, "as it was"]);
        assert!(!outcome.stderr.contains("SECRET"), "{}", outcome.stderr);
        assert_eq!(stage.credentials_text(), text);
        let after = fs::metadata(stage.credentials_file()).expect("a file");
        assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()), "it was touched");
        assert_eq!(beside(&stage.credentials_file()), ["credentials"]);
    }
    assert!(!stage.directory.path().join("ran").exists());
}
