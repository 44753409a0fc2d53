//! What the user had goes on to count: settings of the profile that is replaced, other profiles, long-term keys.
//! The oracle is botocore, where `scripts/test` has installed it: what it says without fedboot and with it.

use std::fs;
use std::time::Duration;

use fedboot_sandbox::Sandbox;
use serde_json::Value;

use crate::common::launch::may_unshare;
use crate::common::{self, Stage, agents_of, eventually};
use crate::readers::{is_of_credentials, python};

const KEYS: &str = "aws_access_key_id = AKIAMINE\naws_secret_access_key = mine\n";

type Variables = &'static [(&'static str, &'static str)];

fn files(stage: &Stage, credentials: &str, config: &str) {
    for (name, text) in [("credentials", credentials), ("config", config)] {
        let path = stage.home().join(".aws").join(name);
        if text.is_empty() {
            let _ = fs::remove_file(path);
        } else {
            common::write(&path, text);
        }
    }
}

/// What botocore's session says of its profile and region.
const SCOPED: &str = "import botocore.session, json; s = botocore.session.Session()\n\
                      print(json.dumps(dict(s.get_scoped_config(), found=s.get_config_variable('region'))))";

/// The settings without credentials that `program` with these arguments prints.
fn settings(output: &str) -> Value {
    let mut all: Value = serde_json::from_str(output).unwrap_or_else(|error| panic!("{error}: {output}"));
    all.as_object_mut().expect("settings").retain(|key, _| !is_of_credentials(key));
    all
}

/// Rows: credentials file, config file, variables, options.
#[test]
fn settings_live_on() {
    let Some(python) = python("settings_live_on") else { return };
    let rich = "region = eu-west-1\nretry_mode = standard\nendpoint_url = http://127.0.0.1:9\ns3 =\n  addressing_style = path\n  max_concurrent_requests = 3\nservices = local\nca_bundle = /x\n";
    let keys = format!("[default]\n{KEYS}");
    let default = format!("[default]\n{rich}[services local]\nsts =\n  endpoint_url = http://127.0.0.1:8\n");
    let prod = format!("[default]\nregion = ap-south-1\noutput = text\n[profile prod]\n{rich}");
    let quoted = format!("[profile 'prod']\n{rich}");
    let indented = format!("[profile prod]\n  {}\n", rich.trim_end().replace('\n', "\n  "));
    let role = "[profile prod]\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = base\nrole_session_name = me\nmfa_serial = m\nexternal_id = e\nduration_seconds = 900\nregion = eu-central-1\noutput = json\n[profile base]\nregion = x\n";
    let split = ("[prod]\nregion = eu-west-2\ns3 =\n  addressing_style = virtual\n", format!("[profile prod]\n{rich}"));
    let sso = "[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\nregion = eu-west-1\ncli_pager = less\n[sso-session s]\nsso_region = x\n";
    let own =
        format!("[default]\n{rich}[profile fedboot]\nregion = eu-north-1\noutput = yaml\nretry_mode = adaptive\n");
    let rows: Vec<(&str, &str, String, Variables, &[&str])> = vec![
        ("the usual profile", "", default.clone(), &[], &[]),
        ("with keys", &keys, default.clone(), &[], &[]),
        ("another profile", "", prod.clone(), &[("AWS_PROFILE", "prod")], &[]),
        ("by the older variable", "", prod.clone(), &[("AWS_DEFAULT_PROFILE", "prod")], &[]),
        ("in quotes", "", quoted, &[("AWS_PROFILE", "prod")], &[]),
        ("indented", "", indented, &[("AWS_PROFILE", "prod")], &[]),
        ("a role's", "", role.into(), &[("AWS_PROFILE", "prod")], &[]),
        ("from both files", split.0, split.1, &[("AWS_PROFILE", "prod")], &[]),
        ("single sign-on", "", sso.into(), &[], &[]),
        ("under another name", "", default.clone(), &[], &["--aws-profile=work"]),
        ("with a process", "", default.clone(), &[], &["--delivery=process"]),
        ("in the file alone", "", prod.clone(), &[("AWS_PROFILE", "prod")], &["--delivery=file"]),
        ("at the endpoint alone", "", prod.clone(), &[("AWS_PROFILE", "prod")], &["--delivery=endpoint"]),
        ("at the endpoint alone, the usual one", "", default, &[], &["--delivery=endpoint"]),
        ("a token", "", prod, &[("AWS_PROFILE", "prod")], &["--delivery=token-file"]),
        ("with settings of fedboot's own profile", "", own, &[], &[]),
    ];
    for (name, credentials, config, variables, options) in rows {
        let mut stage = Stage::new();
        for (name, value) in variables {
            stage.set(name, *value);
        }
        files(&stage, credentials, &config);
        let alone = stage.wrapper(&python).args(["-c", SCOPED]).output().expect("python runs");
        let mut before = settings(&String::from_utf8_lossy(&alone.stdout));
        let program = python.to_str().expect("text");
        let outcome = stage.run(options.iter().copied().chain(["--", program, "-c", SCOPED]));
        outcome.assert_succeeded();
        let after = settings(&outcome.stdout);
        if name.contains("own profile") {
            for (key, value) in [("output", "yaml"), ("retry_mode", "adaptive")] {
                before[key] = value.into();
            }
        }
        if name.contains("file alone") {
            // What [default] says itself in the config file.
            before["output"] = "text".into();
        }
        assert_eq!(after, before, "{name}");
    }
}

/// An option or a variable says more than a profile.
#[test]
fn a_region_that_was_said_counts() {
    let mut stage = Stage::new();
    files(&stage, "", "[default]\nregion = eu-west-1\n");
    let show = "echo $AWS_REGION; grep region $AWS_SHARED_CREDENTIALS_FILE";
    assert_eq!(stage.run_shell(&[], show).stdout, "eu-west-1\nregion = eu-west-1\n");
    assert_eq!(stage.run_shell(&["--region=eu-west-3"], show).stdout, "eu-west-3\nregion = eu-west-3\n");
    stage.set("AWS_DEFAULT_REGION", "eu-west-2");
    assert_eq!(stage.run_shell(&[], show).stdout, "eu-west-2\nregion = eu-west-2\n");
}

#[test]
fn changes_are_followed() {
    let stage = Stage::with(Sandbox::builder().credential_lifetime(Duration::from_secs(6)));
    files(&stage, "", "[default]\noutput = json\ns3 =\n  max_concurrent_requests = 3\n");
    let held = stage.hold(&[]);
    assert!(stage.credentials_text().contains("output = json\ns3 =\n  max_concurrent_requests = 3\n# fedboot: end"));
    files(&stage, &stage.credentials_text(), "[default]\noutput = text\n");
    eventually("the change", || stage.credentials_text().contains("default\noutput = text\n# fedboot: end"));
    assert!(!stage.credentials_text().contains("s3 ="), "{}", stage.credentials_text());
    files(&stage, &stage.credentials_text(), "");
    eventually("the end of it", || !stage.credentials_text().contains("output"));
    held.release(&stage).assert_succeeded();
}

/// Rows: the file, and options.
#[test]
fn what_gave_way_is_put_back() {
    let mine = format!("# top\n[default]\n{KEYS}region = x\n\n# b\n[b]\nk = v\n");
    let rows: &[(&str, String, &[&str])] = &[
        ("long-term keys", mine.clone(), &[]),
        ("without an end", format!("[default]\n{}", KEYS.trim_end()), &[]),
        ("indented", format!("[default]\n  {}", KEYS.replace("\naws", "\n  aws")), &[]),
        ("on a Mac or Windows", mine.replace('\n', "\r\n"), &[]),
        ("a role", "[default]\nrole_arn = arn\n  more\nsource_profile = b\nk = v\n".into(), &[]),
        ("only the file", mine.clone(), &["--delivery=file"]),
        ("in a profile", format!("[work]\n{KEYS}"), &["--delivery=file", "--aws-profile=work"]),
        (
            "of a further role",
            format!("[etl]\n{KEYS}credential_process = /bin/mine\nregion = x\n"),
            &[
                "--role-arn=arn:aws:iam::123456789012:role/fedboot-demo",
                "--role-arn=etl=arn:aws:iam::123456789012:role/fedboot-demo",
            ],
        ),
    ];
    for (name, before, options) in rows {
        let mut stage = Stage::new();
        if name.contains("further") {
            stage.unset("FEDBOOT_ROLE_ARN").unset("AWS_ROLE_ARN");
        }
        files(&stage, before, "");
        let held = stage.hold(options);
        let during = stage.credentials_text();
        assert!(during.contains("# set aside by fedboot:"), "{name}: {during}");
        let values =
            fedboot::format::ini::read(during.as_bytes(), &|section| ["default", "work", "etl"].contains(&section));
        let values = values.expect("it can be read").expect("a section");
        assert_ne!(values.get("aws_access_key_id").map(String::as_str), Some("AKIAMINE"), "{name}: {during}");
        let outcome = held.release(&stage);
        let warned = outcome.events().iter().filter(|event| event.message().contains("put back when")).count();
        assert!((1..=2).contains(&warned), "{name}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("AKIAMINE"), "{name}: {}", outcome.stderr);
        let after = stage.credentials_text();
        assert!(after.starts_with(before.trim_end()), "{name}: {after}");
        let ours = after.strip_prefix(before.trim_end()).unwrap_or_default();
        assert!(
            !after.contains("set aside") && (!ours.contains("ASIA") || ours.contains("[default]")),
            "{name}: {after}"
        );
    }
}

/// An agent that could not put it back leaves that to the next one.
#[test]
fn what_gave_way_outlasts_a_killed_agent() {
    let stage = Stage::new();
    let before = format!("[default]\n{KEYS}");
    files(&stage, &before, "");
    let held = stage.hold(&[]);
    held.kill_agent_for_good();
    held.release(&stage);
    assert!(stage.credentials_text().contains("set aside by fedboot: aws_access_key_id = AKIAMINE"));
    // Somebody sets other keys meanwhile, beside the token that stands there: of two the last are put back.
    let meanwhile = stage.credentials_text();
    let id = meanwhile.lines().find(|line| line.starts_with("aws_access_key_id")).expect("keys");
    files(&stage, &meanwhile.replace(id, "aws_access_key_id = AKIANEWER"), "");
    let held = stage.hold(&[]);
    let during = stage.credentials_text();
    assert!(
        during.contains("aside by fedboot: aws_access_key_id = AKIANEWER") && !during.contains("AKIAMINE"),
        "{during}"
    );
    held.release(&stage);
    let after = stage.credentials_text();
    assert!(after.starts_with("[default]\naws_access_key_id = AKIANEWER\n") && !after.contains("ASIA"), "{after}");
}

/// Of two agents in one file the first to end takes nothing from the other one.
#[test]
fn two_agents_put_it_back_once() {
    let stage = Stage::new();
    let before = format!("[default]\n{KEYS}");
    files(&stage, &before, "");
    let (first, second) = (stage.hold(&[]), stage.hold(&[]));
    let during = stage.credentials_text();
    // The one whose keys stand there.
    second.release(&stage);
    assert_eq!(stage.credentials_text(), during);
    let third = stage.hold(&[]);
    first.release(&stage);
    assert!(!stage.credentials_text().starts_with(&before), "{}", stage.credentials_text());
    third.release(&stage);
    assert!(stage.credentials_text().starts_with(&before), "{}", stage.credentials_text());
}

/// A command that is under way without an agent keeps what it has.
#[test]
fn without_refresh_nothing_is_taken_back() {
    let stage = Stage::new();
    files(&stage, &format!("[default]\n{KEYS}"), "");
    let held = stage.hold(&["--delivery=file", "--no-refresh"]);
    eventually("the agent leaves", || agents_of(held.pid).is_empty());
    let text = stage.credentials_text();
    held.release(&stage).assert_succeeded();
    assert!(text.contains("aws_access_key_id = ASIA") && text.contains("AKIAMINE"), "{text}");
}

/// Where the home cannot be written, the file elsewhere has what stands in it.
#[test]
fn a_file_elsewhere_starts_as_a_copy() {
    if !may_unshare("a_file_elsewhere_starts_as_a_copy", &["--mount"]) {
        return;
    }
    let stage = Stage::new();
    let other = "# mine\n[other]\nregion = x\n  \n[etl]\nk = v\n";
    files(&stage, &format!("[default]\n{KEYS}{other}"), "[default]\noutput = text\n");
    let mounts = "mount -t tmpfs none /dev/shm; mount --bind $h $h; mount -o remount,ro,bind $h";
    let show = "cat $AWS_SHARED_CREDENTIALS_FILE";
    let outcome =
        crate::places::in_mounts(&stage, mounts, &["--", "sh", "-c", show], "echo =====; cat /dev/shm/*/credentials");
    outcome.assert_succeeded();
    let (during, after) = outcome.stdout.split_once("=====\n").expect("both");
    assert!(during.contains(other) && during.contains("= ASIA") && during.contains("output = text"), "{during}");
    assert!(after.starts_with(&format!("[default]\n{KEYS}{other}")), "{after}");
}

/// Python's configparser has a section for all others.
#[test]
fn what_is_for_all_profiles_is_named() {
    for (credentials, config, file) in [
        (format!("[DEFAULT]\n{KEYS}"), "", ".aws/credentials has aws_access_key_id in [DEFAULT]"),
        (String::new(), "[DEFAULT]\nrole_arn = a\n", ".aws/config has role_arn in [DEFAULT]"),
        ("[DEFAULT]\nregion = x\n".into(), "", ""),
    ] {
        let stage = Stage::new();
        files(&stage, &credentials, config);
        let outcome = stage.run(["--", "true"]);
        outcome.assert_succeeded();
        assert_eq!(outcome.stderr.matches("in [DEFAULT]").count(), usize::from(!file.is_empty()), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(file), "{}", outcome.stderr);
        assert!(stage.credentials_text().starts_with(&credentials));
    }
}

/// Rows: files, variables, and what is said of what clients would find first.
#[test]
fn what_is_found_before_the_endpoint_is_named() {
    let keys = format!("[default]\n{KEYS}");
    let prod = format!("[prod]\n{KEYS}");
    let role = "[profile prod]\nrole_arn = a\nsource_profile = b\n";
    let rows: &[(&str, &str, Variables, &str, &str)] = &[
        (&keys, "", &[], "has aws_access_key_id in the profile that clients use", "none"),
        ("", "[default]\nsso_session = s\n", &[], "has sso_session in the profile that clients use", "none"),
        (&prod, "", &[("AWS_PROFILE", "prod")], "loses AWS_PROFILE", "none"),
        ("", role, &[("AWS_DEFAULT_PROFILE", "prod")], "loses AWS_DEFAULT_PROFILE", "none"),
        ("", "[profile prod]\nregion = x\n", &[("AWS_PROFILE", "prod")], "", "prod"),
        ("", "", &[("AWS_PROFILE", "prod")], "", "none"),
        (&prod, "[default]\nregion = x\n", &[], "", "none"),
    ];
    for (credentials, config, variables, warning, profile) in rows {
        let mut stage = Stage::new();
        for (name, value) in *variables {
            stage.set(name, *value);
        }
        files(&stage, credentials, config);
        let outcome = stage.run_shell(&["--delivery=endpoint"], "echo ${AWS_PROFILE-none}");
        outcome.assert_succeeded();
        assert_eq!(outcome.stdout.trim(), *profile, "{credentials}{config}");
        let said: Vec<_> = outcome.events().into_iter().filter(|event| event.severity() == "WARNING").collect();
        assert_eq!(said.len(), usize::from(!warning.is_empty()), "{credentials}{config}: {}", outcome.stderr);
        assert!(said.iter().all(|event| event.message().contains(warning)), "{}", outcome.stderr);
    }
}
