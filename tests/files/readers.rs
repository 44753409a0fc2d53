//! The file as the SDKs read it, before and after: the oracle is botocore itself, where `scripts/test` has installed it.
//!
//! The rows are facts from the SDKs' own test files, and files as people have them. Go reads them with the same values
//! unless a row says otherwise; fedboot then follows botocore, or keeps both readings.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use serde_json::Value;

use crate::common::launch::skip;
use crate::common::{self, Stage};
use crate::default_keys;

/// A file, and the line that botocore trips over, if there is one, before and after.
pub type Row = (&'static str, &'static str, Option<usize>);

pub const ROWS: &[Row] = &[
    ("indented", "[default]\n  region = us-east-1\n  aws_access_key_id = A\n  aws_secret_access_key = b\n", None),
    ("indented by tabs", "[default]\n\tregion = us-east-1\n\taws_access_key_id = A\n[b]\n\tk = v\n", None),
    ("an indented section behind ours", "[default]\n  aws_access_key_id = A\n  [b]\n  k = v\n", None),
    ("an empty section before an indented one", "[default]\n\n  [b]\n  k = v\n", None),
    ("indented less and less", "[default]\n    a = 1\n  b = 2\nc = 3\n  d\n[e]\nf = 4\n", None),
    ("indented, with a block", "[default]\n  s3 =\n    max = 1\n  aws_access_key_id = A\n[b]\nk = v\n", None),
    ("a value on more lines", "[a]\nk = v\n  w = x\n\n  y\n[default]\nk = v\n  w\n", None),
    ("a comment with a bracket", "[default] # [x]\nregion = x\n[b] ; see [c]\nk = v\n", None),
    ("blanks in the brackets", "[ default ]\nregion = x\n[ b ]\nk = v\n", None),
    ("colons", "[default]\nregion : x\naws_access_key_id:A\n[b]\nurl = http://h:1/\n", None),
    ("a role", "[default]\nrole_arn = arn\nsource_profile = b\n[b]\naws_access_key_id = B\n", None),
    ("a role, indented", "[default]\n  role_arn = arn\n  source_profile = b\n[b]\nk = v\n", None),
    ("sso", "[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\nregion = x\n", None),
    ("a process on two lines", "[default]\ncredential_process = cat\n  /etc/keys\noutput = json\n", None),
    ("quotes", "[default]\nregion = \"eu-west-1\"\n[b]\nk = 'v'\n", None),
    ("old Macs", "[a]\rk = v\r[b]\rl = w\r", None),
    // botocore: tests/unit/cfg and tests/unit/test_configloader.py.
    (
        "aws_config_nested",
        "[default]\naws_access_key_id = foo\naws_secret_access_key = bar\ns3 =\n    signature_version = s3v4\ncloudwatch =\n    signature_version = v4\nregion=us-west-2\n",
        None,
    ),
    ("aws_config_nested_bad", "[default]\naws_access_key_id = foo\ns3 =\n    bad_syntax\n", Some(4)),
    ("aws_config_keyring", "[default]\nkeyring = k\n[profile \"personal\"]\naws_security_token = t\n", None),
    // Go: config/testdata and internal/ini/testdata/valid.
    ("leading_ws", "\t\t[profile a]\n        retry_mode = standard", None),
    (
        "array_profile",
        "[ foo ]\nbar = \"one\",\"two\", \"three\"\nqux =\n\tmoo = 123,456\n\tcow = 1\nzed = \"zee\"\n",
        None,
    ),
    ("op_sep_in_values", "[case1]\nsep = =:[foo]]bar[\nkey:= value1\n[case4]\nsep = [value] x=a\nkey:=value4\n", None),
    // Go takes [bar] for a section.
    (
        "nested_fields",
        "[foo]\naws_session_token = valid\n  [bar]\n  aws_access_key_id = valid ; comment\nk = i\n",
        None,
    ),
    ("comments", "[profile comments];comment\na = foo#notcomment\ng = foo\t\t# comment\ni = # comment\n", None),
    // smithy: aws-config/test-data/profile-parser-tests.json.
    ("continuations with comments", "[profile foo]\nname = value\n -continued # Comment\n -and-continued\n", None),
    ("blank lines", "\t \n[profile foo]\n\t\n \nname = value\n\t \n[profile bar]\n \t", None),
    ("blank lines in a block", "[foo]\ns3 =\n name = value\n\t \n name2 = value2", None),
    ("an indented line in no property", "[profile foo]\n name = value\n", None),
    // All but botocore read these; it reads none of the file.
    ("a section twice", "[a]\nk = v\n[b]\n[a]\nl = w\n", Some(4)),
    ("a setting twice", "[a]\nk = v\nK = w\n", Some(3)),
    ("Windows' mark", "\u{feff}[a]\nk = v\n", Some(1)),
    // Mended with our section.
    ("a key twice in ours", "[default]\naws_access_key_id = A\naws_access_key_id = B\n", None),
];

/// Whether a setting is a credential, or says where to get one.
pub fn is_of_credentials(key: &str) -> bool {
    const FURTHER: &[&str] = &["mfa_serial", "role_session_name", "external_id", "duration_seconds", "sso_region"];
    [fedboot::format::ini::STATIC_KEYS, fedboot::format::ini::OTHER_SOURCES, FURTHER].concat().contains(&key)
}

type Sections = BTreeMap<String, Value>;

pub fn python(name: &str) -> Option<PathBuf> {
    let cache = env::var_os("FEDBOOT_CACHE").map(PathBuf::from).or_else(|| {
        let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache"));
        Some(env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?.join("fedboot"))
    });
    let names = cache.and_then(|cache| fs::read_dir(cache).ok()).into_iter().flatten().flatten();
    let is_it = |path: &PathBuf| path.to_string_lossy().contains("/venv-conformance-boto3-");
    let found =
        names.map(|entry| entry.path()).filter(is_it).map(|path| path.join("bin/python")).find(|it| it.is_file());
    if found.is_none() {
        skip(name, "no boto3 here: scripts/test conformance installs it");
    }
    found
}

/// What botocore makes of the files: sections, or an error.
fn botocore(python: &Path, files: &[PathBuf]) -> Vec<Result<Sections, String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/readers.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
    let list = serde_json::to_vec(files).expect("paths");
    child.stdin.take().expect("a pipe").write_all(&list).expect("it reads");
    let output = child.wait_with_output().expect("its end");
    let read: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    read.into_iter()
        .map(|value| match value {
            Value::String(error) => Err(error),
            sections => Ok(serde_json::from_value(sections).expect("sections")),
        })
        .collect()
}

#[test]
fn every_reader_reads_what_it_read() {
    let Some(python) = python("every_reader_reads_what_it_read") else { return };
    let stage = Stage::new();
    let mut files = Vec::new();
    let mut keys = Vec::new();
    for (index, (name, before, trouble)) in ROWS.iter().enumerate() {
        common::write(&stage.credentials_file(), before);
        // What was set aside is put back in the end: so as the command finds it.
        let (found, again) = (stage.directory.path().join("found"), stage.directory.path().join("again"));
        let copy = |to: &Path| stage.run(["--".as_ref(), "cp".as_ref(), stage.credentials_file().as_path(), to]);
        let outcome = copy(&found);
        outcome.assert_succeeded();
        let said = outcome.stderr.contains("boto3 and the AWS CLI cannot read");
        assert_eq!(said, trouble.is_some(), "{name}: {}", outcome.stderr);
        if let Some(line) = trouble {
            assert!(outcome.stderr.contains(&format!("in line {line}")), "{name}: {}", outcome.stderr);
        }
        let after = fs::read(&found).expect("a file");
        copy(&again).assert_succeeded();
        let again = fs::read(&again).expect("a file");
        let shape = |text: &[u8]| {
            String::from_utf8_lossy(text)
                .lines()
                .map(|line| line.split('=').next().map(str::to_owned))
                .collect::<Vec<_>>()
        };
        assert_eq!(shape(&after), shape(&again), "{name}, a second time");
        for (kind, text) in [("before", before.as_bytes()), ("after", &again)] {
            let file = stage.directory.path().join(format!("{index}-{kind}"));
            common::write(&file, text);
            files.push(file);
        }
        keys.push(default_keys(&stage));
    }
    let read = botocore(&python, &files);
    for (((name, _, trouble), keys), pair) in ROWS.iter().zip(&keys).zip(read.chunks(2)) {
        let [before, after] = pair else { unreachable!() };
        if trouble.is_some() {
            assert!(before.is_err() && after.is_err(), "{name}: botocore reads it");
            continue;
        }
        let after = after.as_ref().unwrap_or_else(|error| panic!("{name}: {error}"));
        for key in keys.split_terminator('|').map(|line| line.split_once(" = ").expect("a line")) {
            assert_eq!(after["default"][key.0], key.1, "{name}");
        }
        for other in ["role_arn", "source_profile", "credential_process", "sso_session"] {
            assert!(after["default"].get(other).is_none(), "{name}: {other}");
        }
        let Ok(before) = before else { continue };
        let is_default = |section: &str| section.trim() == "default" || section.starts_with("default]");
        let default = before.iter().find(|(section, _)| is_default(section)).map(|(_, values)| values);
        carries(name, &after["fedboot"], default);
        for (section, values) in before.iter().filter(|(section, _)| !is_default(section)) {
            assert_eq!(after.get(section), Some(values), "{name}: [{section}]");
        }
    }
}

/// The profile that clients use says what `[default]` says beside credentials, and a region in any case.
fn carries(name: &str, profile: &Value, default: Option<&Value>) {
    let mut expected = serde_json::json!({"region": "us-east-1"});
    let settings = default.and_then(Value::as_object).into_iter().flatten();
    for (key, value) in settings.filter(|(key, _)| !is_of_credentials(key)) {
        expected[key] = value.clone();
    }
    assert_eq!(*profile, expected, "{name}");
}

/// What fedboot looks an identity up in is what botocore finds there, but for comments and quotes, which Go takes away.
#[test]
fn reads_what_botocore_reads() {
    let Some(python) = python("reads_what_botocore_reads") else { return };
    let stage = Stage::new();
    let file = |index: usize| stage.directory.path().join(index.to_string());
    for (index, (_, text, _)) in ROWS.iter().enumerate() {
        common::write(&file(index), text);
    }
    let files: Vec<_> = (0..ROWS.len()).map(file).collect();
    for ((name, text, _), sections) in ROWS.iter().zip(botocore(&python, &files)) {
        for (section, values) in sections.unwrap_or_default() {
            // A name with a bracket in it is no section's to any other SDK.
            if section.contains(']') {
                continue;
            }
            let read = fedboot::format::ini::read(text.as_bytes(), &|name| name == section.trim());
            // The SDKs differ over it, and so it is an error.
            if *name == "nested_fields" && section == "foo" {
                continue;
            }
            let read = read.unwrap_or_else(|error| panic!("{name}: {error:?}")).unwrap_or_default();
            for (key, value) in values.as_object().expect("settings") {
                let Some(value) = value.as_str() else {
                    assert_eq!(read[key], "", "{name}: a block");
                    continue;
                };
                let bare = |text: &str| {
                    text.split([' ', '\t'])
                        .take_while(|word| !word.starts_with(['#', ';']))
                        .collect::<Vec<_>>()
                        .join(" ")
                        .trim()
                        .replace(['"', '\''], "")
                };
                let (value, read) = (bare(&value.replace('\n', " ")), bare(&read[key].replace('\n', " ")));
                assert_eq!(
                    read.split_whitespace().collect::<Vec<_>>(),
                    value.split_whitespace().collect::<Vec<_>>(),
                    "{name}: [{section}] {key}"
                );
            }
        }
    }
}

#[test]
fn what_would_win_is_set_aside_or_named() {
    let stage = Stage::new();
    common::write(&stage.credentials_file(), "[default]\nrole_arn = arn\n  more\nsource_profile = b\nregion = x\n");
    common::write(
        &stage.home().join(".aws/config"),
        "[default]\nsso_session = s\n[profile \"fedboot\"]\naws_access_key_id = A\n",
    );
    let before = stage.credentials_text();
    let held = stage.hold(&[]);
    let text = stage.credentials_text();
    let outcome = held.release(&stage);
    assert!(text.starts_with("[default]\n# set aside by fedboot: role_arn = arn\n# set aside by fedboot:   more\n# set aside by fedboot: source_profile = b\nregion = x\naws_access_key_id = "), "{text}");
    for part in [
        ".aws/credentials: role_arn, source_profile would have been taken before",
        ".aws/config has sso_session in the profile default",
        ".aws/config has aws_access_key_id in the profile fedboot",
    ] {
        assert_eq!(outcome.stderr.matches(part).count(), 1, "{part}: {}", outcome.stderr);
    }
    assert_eq!(stage.credentials_text(), format!("{before}\n[fedboot]\nregion = x\n"), "as it was");
}

#[test]
fn a_config_file_that_boto3_cannot_read_is_named() {
    for (text, line) in [("[default]\ns3 =\n    bad_syntax\n", 3), ("[a]\nk = 1\nk = 2\n", 3), ("[a]\ngarbage\n", 2)] {
        let stage = Stage::new();
        common::write(&stage.home().join(".aws/config"), text);
        let outcome = stage.run(["--", "true"]);
        outcome.assert_succeeded();
        assert!(outcome.stderr.contains(&format!("in line {line}: boto3")), "{text}: {}", outcome.stderr);
    }
}

/// As botocore has it: a container's ENV has no shell.
#[test]
fn a_literal_home_is_the_home() {
    for (value, option) in [
        ("~/.aws/credentials", None),
        ("$HOME/.aws/credentials", None),
        ("${HOME}/.aws/credentials", None),
        ("/nonexistent", Some("--credentials-file=~/.aws/credentials")),
    ] {
        let mut stage = Stage::new();
        stage.set("AWS_SHARED_CREDENTIALS_FILE", value).set("AWS_CONFIG_FILE", "~/config");
        common::write(&stage.home().join("config"), "[default]\nrole_arn = arn\n");
        let outcome = stage.run(option.into_iter().chain(["--", "sh", "-c", "echo $AWS_SHARED_CREDENTIALS_FILE"]));
        outcome.assert_succeeded();
        assert_eq!(outcome.stdout.trim(), stage.credentials_file().to_str().expect("text"));
        assert!(stage.credentials_text().contains("[default]"), "{value}");
        assert!(outcome.stderr.contains("home/config has role_arn"), "{}", outcome.stderr);
        assert!(!stage.directory.path().join("~").exists(), "{value}");
    }
}

/// What another tool adds to fedboot's sections is taken out within the minute.
#[test]
#[ignore = "waits for the check that comes once a minute"]
fn own_sections_are_compared_by_content() {
    let stage = Stage::new();
    let file = stage.credentials_file();
    let held = stage.hold(&[]);
    let before = stage.credentials_text();
    for (from, to) in [
        ("[fedboot]\n", "[fedboot]\naws_access_key_id = A\naws_secret_access_key = b\n"),
        ("[default]\n", "[default]\naws_security_token = t\n"),
    ] {
        let written = Instant::now();
        common::write(&file, before.replace(from, to));
        while stage.credentials_text() != before {
            assert!(written.elapsed() < Duration::from_secs(90), "it is not put back");
            thread::sleep(Duration::from_millis(100));
        }
    }
    held.release(&stage);
}
