//! `--delivery process` and `--aws-profile`: the profile, and its line as an SDK runs it.

use std::fs;
use std::process::Command;

use fedboot_sandbox::{Fault, Sandbox, Service};

use crate::common::launch::{HOLD, Held};
use crate::common::{Stage, binary, eventually, write};
use crate::{
    ASSUME_ROLE, URI, arn, asked, aws, caches_in, environment, filed, hold, in_section, key, newest, newest_key,
};
use crate::{
    once, process_line, refused, refused_words, run_line, short_lived, surroundings, variable, wait_for, with_roles,
};

#[test]
fn a_line_that_any_sdk_can_run() {
    let stage = short_lived(6, Sandbox::builder());
    let held = hold(&stage, "--delivery process");
    assert_eq!(held.variable("AWS_PROFILE"), "fedboot");
    assert_eq!(held.variable("AWS_SHARED_CREDENTIALS_FILE"), stage.credentials_file().display().to_string());
    for name in [URI, "AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"] {
        assert_eq!(variable(&held, name), None, "{name}");
    }
    let text = stage.credentials_text();
    assert!(!text.contains("aws_access_key_id") && !text.contains("[default]"), "{text}");
    assert_eq!(in_section(&text, "fedboot", "region"), Some("us-east-1"));
    let line = process_line(&stage, "fedboot");
    let program = fs::canonicalize(binary()).expect("a binary");
    assert!(line.starts_with(&format!("{} credential-process --", program.display())), "{line}");
    for environment in [environment(&held), vec![]] {
        let before = newest_key(&stage);
        let outcome = run_line(&line, &environment);
        assert!([before, newest_key(&stage)].contains(&key(&outcome)));
        assert_eq!(outcome.stderr, "");
    }
    let first = key(&run_line(&line, &vec![]));
    wait_for(&stage, 3, ASSUME_ROLE);
    eventually("the line gives new ones", || {
        let now = key(&run_line(&line, &vec![]));
        now != first && now == newest_key(&stage)
    });
    held.release(&stage).assert_succeeded();
}

/// The line outlives the agent, and asks for the same.
#[test]
fn a_line_without_its_agent() {
    let mut stage = Stage::with(with_roles(&["fedboot-demo", "a=b,c@d+e", "worker"]));
    write(&stage.directory.path().join("policy"), r#"{"Statement": []}"#);
    write(&stage.directory.path().join("token"), stage.sandbox.id_token("sts.amazonaws.com"));
    stage.set("FEDBOOT_DURATION", "20m");
    for (options, name, duration) in [
        ("", "fedboot-demo", 1200),
        ("--role-session-name me --duration 30m", "fedboot-demo", 1800),
        ("--role-arn arn:aws:iam::123456789012:role/a=b,c@d+e", "a=b,c@d+e", 1200),
        ("--role-arn arn:aws:iam::123456789012:role/{service_account} --session-policy policy", "worker", 1200),
        ("--google-token-file token --role-session-name {service_account}", "fedboot-demo", 1200),
    ] {
        once(&stage, &format!("--delivery process {options}"));
        let delivered = newest(&stage);
        assert_eq!((&delivered.role_arn, delivered.duration_seconds), (&arn(name), duration));
        forget_caches(&stage);
        assert_eq!(key(&run_line(&process_line(&stage, "fedboot"), &surroundings(&stage))), newest_key(&stage));
        let issued = newest(&stage);
        assert_ne!(issued.access_key_id, delivered.access_key_id);
        assert_eq!((&issued.role_arn, &issued.session_name), (&delivered.role_arn, &delivered.session_name));
        assert_eq!((issued.session_policy, issued.duration_seconds), (delivered.session_policy, duration));
    }
}

/// So that a line has to ask.
pub fn forget_caches(stage: &Stage) {
    for cache in caches_in(&aws(stage)) {
        fs::remove_file(cache).expect("gone");
    }
}

/// The command starts without, and its profile works as soon as there are some.
#[test]
fn a_line_before_there_are_any() {
    let stage = Stage::with(Sandbox::builder().fault(Service::Sts, Fault::error("AccessDenied").always()));
    let held = hold(&stage, "--delivery process --on-failure run");
    assert_eq!(held.variable("AWS_PROFILE"), "fedboot");
    let line = process_line(&stage, "fedboot");
    let count = asked(&stage, ASSUME_ROLE);
    run_line(&line, &surroundings(&stage)).assert_failed(1, &["AccessDenied", "trust policy"]);
    assert!(asked(&stage, ASSUME_ROLE) <= count + 1, "the agent alone asks");
    stage.sandbox.clear_faults();
    eventually("there are some", || run_line(&line, &surroundings(&stage)).code() == Some(0));
    held.release(&stage).assert_succeeded();
}

/// Static keys that stood in the profile would win over the line, or lose against it, by the SDK.
#[test]
fn nothing_else_is_left_in_the_profile() {
    let stage = Stage::new();
    let old = "[fedboot] # mine\naws_access_key_id = AKIA-old\ncredential_process = old-helper \\\nrole_arn = old-role\noutput = json\n";
    write(&stage.credentials_file(), format!("{old}[other]\nrole_arn = z\n"));
    once(&stage, "--delivery process,file");
    let text = stage.credentials_text();
    assert!(!["AKIA-old", "old-helper", "old-role"].iter().any(|old| text.contains(old)), "{text}");
    assert!(text.contains("output = json\n") && text.contains("[other]\nrole_arn = z\n"), "{text}");
    assert_eq!(text.matches("credential_process").count(), 1, "{text}");
    assert_eq!((filed(&stage, "default"), filed(&stage, "fedboot")), (Some(newest_key(&stage)), None));
}

#[test]
fn deliveries_that_exclude_each_other() {
    let stage = Stage::new();
    for list in "process,endpoint process,env process,token-file token-file,file token-file,endpoint token-file,env \
                 env,endpoint file,endpoint,process file,endpoint,env"
        .split_whitespace()
    {
        let part = "one would keep clients from the other";
        refused(&stage, 125, &format!("--delivery {list} -- touch ran"), &[part]);
    }
}

#[test]
fn names_of_profiles() {
    for (delivery, name, profile, keys, bare) in [
        ("file,endpoint", "mine", "mine", "default", "mine"),
        ("file,endpoint", "none", "", "default", ""),
        ("process", "mine", "mine", "", "mine"),
        ("process", "default", "default", "", "default"),
        ("file,process", "a-b_c.d/e@f%h+i", "a-b_c.d/e@f%h+i", "default", "a-b_c.d/e@f%h+i"),
        ("file", "mine", "mine", "mine", ""),
        ("file", "none", "", "default", ""),
        ("endpoint", "mine", "mine", "", "mine"),
        ("endpoint", "none", "", "", ""),
        ("token-file", "none", "", "", ""),
        ("env", "none", "", "", ""),
    ] {
        // A first role may have its profile before its ARN as well.
        let by_role = format!("--role-arn {name}={}", arn("fedboot-demo"));
        for options in [format!("--aws-profile {name}"), by_role].iter().take(if name == "none" { 1 } else { 2 }) {
            let mut stage = Stage::new();
            stage.set("AWS_PROFILE", "inherited");
            let held = hold(&stage, &format!("--delivery {delivery} {options}"));
            assert_eq!(variable(&held, "AWS_PROFILE").unwrap_or_default(), profile, "{delivery} {options}");
            let text = fs::read_to_string(stage.credentials_file()).unwrap_or_default();
            let sections: Vec<_> = text.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']')).collect();
            let expected: Vec<_> = [keys, bare].into_iter().filter(|name| !name.is_empty()).collect();
            assert_eq!(sections, expected, "{delivery} {options}: {text}");
            assert_eq!(filed(&stage, keys).is_some(), !keys.is_empty(), "{delivery} {options}: {text}");
            assert_eq!(filed(&stage, bare), None, "{delivery} {options}: {text}");
            let line = in_section(&text, bare, "credential_process");
            assert_eq!(line.is_some(), delivery.contains("process"), "{delivery} {options}: {text}");
            held.release(&stage).assert_succeeded();
        }
    }
}

#[test]
fn names_that_no_profile_can_have() {
    let stage = Stage::new();
    let names = "a'b a\"b a]b [a a#b a;b a=b ä a\\b $a \u{1b}[31m";
    for name in names.split(' ').chain(["a b", "a\nb", "a\tb", "", " "]) {
        for delivery in ["--delivery=file,endpoint", "--delivery=process"] {
            refused_words(&stage, 125, &[delivery, "--aws-profile", name, "--", "touch", "ran"], &["--aws-profile"]);
            let (first, further) = (arn("a"), format!("{name}={}", arn("b")));
            let words = [delivery, "--role-arn", &first, "--role-arn", &further, "--", "touch", "ran"];
            refused_words(&stage, 125, &words, &["--role-arn"]);
        }
    }
    for (delivery, name, part) in [
        ("file,endpoint", "default", "holds the static keys"),
        ("file,process", "default", "holds the static keys"),
        ("process", "none", "needs a profile"),
        ("token-file", "mine", "would keep clients"),
        ("env", "mine", "would keep clients"),
        ("env,file", "mine", "would keep clients"),
    ] {
        let line = format!("--delivery {delivery} --aws-profile {name} -- touch ran");
        refused(&stage, 125, &line, &[name, part]);
    }
    assert!(stage.sandbox.requests().is_empty() && !stage.credentials_file().exists());
}

#[test]
fn paths_that_need_quotes() {
    let mut stage = Stage::new();
    let directory = stage.directory.path().join("a (b) $HOME & c");
    let program = directory.join("fed boot");
    fs::create_dir(&directory).expect("a directory");
    // Not a link, which would be followed; by another process, as a file that this one has open for writing, if only in a
    // child that another test has just forked, cannot be executed.
    let installed = Command::new("install").args(["-m", "755"]).args([&binary(), &program]).status();
    assert!(installed.expect("install").success());
    stage.set("HOME", &directory);
    let mut command = stage.wrapper(&program);
    let held = Held::from(command.args(["--delivery", "process"]).args(HOLD).spawn().expect("fedboot starts"));
    let text = fs::read_to_string(directory.join(".aws/credentials")).expect("a credentials file");
    let line = in_section(&text, "fedboot", "credential_process").expect("a line");
    assert!(line.starts_with(&format!("'{}' credential-process", program.display())), "{line}");
    assert_eq!(key(&run_line(line, &vec![])), newest_key(&stage));
    held.release(&stage).assert_succeeded();
    // What no SDK reads alike is refused, not half-written.
    for name in ["it's", "a \"b\"", "a\\b", "a\nb", "a #b", "a ;b"] {
        let directory = stage.directory.path().join(name);
        fs::create_dir(&directory).expect("a directory");
        stage.set("HOME", &directory);
        refused(&stage, 125, "--delivery process -- touch ran", &["cannot stand in a profile"]);
        assert!(!directory.join(".aws/credentials").exists(), "{name}");
        once(&stage, "");
    }
}
