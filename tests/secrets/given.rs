//! Options, variables, and the fields of files.

use std::collections::BTreeSet;

use fedboot_sandbox::AwsPlace;
use serde_json::{Value, json};

use crate::common::{NOBODY, Stage, write};
use crate::{Case, LOOK, SHAPES, none_is_shown, source, to_aws, to_google};

/// Whether this option may have a value of this shape: then it is no secret, and may be shown.
fn is_meant(option: &str, shape: &str) -> bool {
    match option {
        // A name of letters and digits is a name.
        "role-session-name" | "audience" | "aws-profile" | "project" | "scope" => shape == "a word",
        // And makes a file of that name.
        "credentials-file" | "cache-file" | "log-file" | "web-identity-token-file" | "access-token-file" => {
            shape == "a word"
        }
        _ => false,
    }
}

/// Name, and whether it has a value; then the variables behind it.
fn options() -> Vec<(String, bool, Vec<String>)> {
    let help = Case::new("help", &["--help"]).run(&Stage::new());
    let lines = help.lines().filter(|line| line.starts_with("  --"));
    let options = lines.map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next().expect("a name").trim_start_matches("--").to_owned();
        let has_value = line.trim_start().split("  ").next().is_some_and(|left| left.contains(' '));
        let variables = line.rsplit_once('(').map_or("", |(_, rest)| rest.trim_end_matches(')'));
        let variables = variables.split(", ").filter(|name| name.contains('_') && !name.contains(' '));
        (name, has_value, variables.map(str::to_owned).collect())
    });
    let options: Vec<_> = options.collect();
    assert!(options.len() > 40, "{help}");
    options
}

/// An option that is given what has this shape.
struct InputValue {
    number: usize,
    turn: usize,
    option: String,
    /// The variables behind it, and its own.
    variables: Vec<String>,
    own: String,
    shape: &'static str,
    value: &'static str,
    what: String,
    flag: String,
}

fn every_option() -> Vec<InputValue> {
    let mut all = Vec::new();
    for (number, (option, has_value, variables)) in options().into_iter().enumerate() {
        for (turn, (shape, value)) in SHAPES.iter().enumerate() {
            if is_meant(&option, shape) {
                continue;
            }
            let flag = if has_value { format!("--{option}={value}") } else { format!("--{option}=x{value}") };
            all.push(InputValue {
                number,
                turn,
                own: format!("FEDBOOT_{}", option.to_uppercase().replace('-', "_")),
                what: format!("--{option}: {shape}"),
                option: option.clone(),
                variables: variables.clone(),
                shape,
                value,
                flag,
            });
        }
    }
    all
}

/// Each option with each shape; variables and the other ways to call fedboot take turns.
#[test]
fn options_on_the_way_to_aws() {
    let stage = to_aws();
    let mut cases = Vec::new();
    for InputValue { number, turn, option, variables, own, shape, value, what, flag } in &every_option() {
        let format = ["text", "json"][(number + turn) % 2];
        let log = ["--log-level=debug".to_owned(), format!("--log-format={format}")];
        let log = log.iter().map(String::as_str).filter(|word| !word.starts_with(&format!("--{option}=")));
        let boot: Vec<&str> = log.clone().chain(LOOK).collect();
        cases.push(Case::new(what.as_str(), &[&[flag.as_str()], &boot[..]].concat()));
        let subcommand: &[&str] = match (number + turn) % 5 {
            0 => &["credential-process"],
            1 => &["status"],
            2 => &["agent", "--foreground"],
            3 => &["doctor"],
            _ => &["credential-process", "--no-refresh"],
        };
        // An agent that may start does so, and goes on.
        let may_last = subcommand.contains(&"--foreground") && !["log-file", "follow-pid"].contains(&option.as_str());
        let subcommand = if may_last { &["status"] } else { subcommand };
        if turn % 2 == 0 {
            cases.push(Case::new(format!("{subcommand:?} {what}"), &[subcommand, &[flag.as_str()]].concat()));
        } else {
            cases.push(Case::new(format!("{own}: {shape}"), &boot).with(own, value));
        }
        cases.extend(
            variables.iter().map(|name| Case::new(format!("{name}: {shape}"), &boot).with(name, value).with(own, "")),
        );
    }
    none_is_shown(&stage, cases);
}

#[test]
fn options_on_the_way_to_google() {
    let stage = to_google(AwsPlace::Environment);
    let mut cases = Vec::new();
    for InputValue { number, turn, variables, own, shape, value, what, flag, .. } in &every_option() {
        let words: &[&str] = match (number + turn) % 4 {
            0 => &["token", "access"],
            1 => &["token", "id"],
            2 => &["doctor", "--clients"],
            _ => &["token", "subject"],
        };
        if (number + turn) % 2 == 0 {
            cases.push(Case::new(format!("{words:?} {what}"), &[words, &[flag.as_str()]].concat()));
            continue;
        }
        let words: &[&str] = if turn % 4 < 2 { &["token", "access"] } else { &LOOK };
        cases.extend(
            [own]
                .into_iter()
                .chain(variables)
                .map(|name| Case::new(format!("{name}: {shape}"), words).with(name, value)),
        );
    }
    none_is_shown(&stage, cases);
}

/// Words that are no option, and a command line that is none.
#[test]
fn stray_words() {
    let stage = to_aws();
    let mut cases = Vec::new();
    for (shape, value) in SHAPES {
        for words in [
            vec![value.to_string(), "--".into(), "true".into()],
            vec![format!("--frob={value}"), "--".into(), "true".into()],
            vec![format!("--{value}"), "--".into(), "true".into()],
            vec![format!("-{value}")],
            vec!["status".into(), value.to_string()],
            vec!["token".into(), value.to_string()],
            vec!["token".into(), "access".into(), value.to_string()],
            vec!["agent".into(), format!("--{value}=x")],
            vec!["credential-process".into(), "--no-refresh".into(), value.to_string()],
        ] {
            // `-h` is for help, and one letter is no secret.
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            // The name of an option is shown where it can be one.
            if *shape != "a word" || !words.iter().any(|word| word.starts_with("--hunter2")) {
                cases.push(Case::new(format!("{words:?}: {shape}"), &words));
            }
        }
    }
    none_is_shown(&stage, cases);
}

/// All names in the source that may be those of variables.
fn variables() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for text in source() {
        for literal in text.split('"') {
            let is_name = literal.contains('_')
                && literal.starts_with(|c: char| c.is_ascii_alphabetic())
                && literal.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
            if is_name {
                names.insert(literal.to_owned());
            }
        }
    }
    for name in ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "GCE_METADATA_HOST", "HTTPS_PROXY", "AWS_CA_BUNDLE"] {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
    let small = ["https_proxy", "http_proxy", "all_proxy", "no_proxy", "HOME", "TMPDIR"];
    names.into_iter().chain(small.map(str::to_owned)).collect()
}

/// Where a word is a name, or the name of a file that is then made.
const MEANT: &[&str] = &[
    "AWS_ROLE_SESSION_NAME",
    "AWS_SHARED_CREDENTIALS_FILE",
    "CLOUDSDK_CORE_PROJECT",
    "GCLOUD_PROJECT",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE",
];

#[test]
fn variables_of_the_ecosystem() {
    let names = variables();
    // Where nothing is there but what a variable says; and where all is well but for that.
    let mut bare = to_google(AwsPlace::Environment);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        bare.unset(name);
    }
    bare.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{NOBODY}"));
    let whole = to_google(AwsPlace::Environment);
    let mut aws = to_aws();
    aws.set("HTTPS_PROXY", "").set("NO_PROXY", "");
    for (stage, words, part) in [
        (&bare, &["token", "access"][..], 1),
        (&whole, &["token", "access"], 3),
        (&aws, &LOOK, 3),
        (&whole, &["doctor"], 7),
        (&aws, &["doctor"], 5),
    ] {
        let cases = names.iter().enumerate().flat_map(|(number, name)| {
            let shapes = SHAPES.iter().enumerate().filter(move |(turn, _)| (number + turn) % part == 0);
            shapes.map(move |(_, (shape, value))| {
                let is_meant = *shape == "a word" && MEANT.contains(&name.as_str());
                let value = if is_meant { "x" } else { value };
                Case::new(format!("{name}: {shape}"), words).with(name, value)
            })
        });
        none_is_shown(stage, cases.collect());
    }
    // Keys of one kind are read where another one names them.
    let cases = SHAPES.iter().flat_map(|(shape, value)| {
        let token = |name: &str| {
            Case::new(format!("{name}: {shape}"), &["token", "access"])
                .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("http://{NOBODY}/v2/credentials/{}", "hunter2"))
                .with(name, value)
        };
        let role = "arn:aws:iam::123456789012:role/fedboot-demo";
        let web = |name: &str| {
            Case::new(format!("{name}: {shape}"), &["token", "access"])
                .with("AWS_WEB_IDENTITY_TOKEN_FILE", "/dev/null")
                .with("AWS_ROLE_ARN", role)
                .with(name, value)
        };
        [
            token("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
            token("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
            web("AWS_WEB_IDENTITY_TOKEN_FILE"),
            web("AWS_ROLE_ARN"),
        ]
    });
    none_is_shown(&bare, cases.collect());
}

/// Proxies that are asked, and certificates that are read.
#[test]
fn proxies_and_certificates() {
    let mut stage = Stage::new();
    stage.set("FEDBOOT_TIMEOUT", "1").set("FEDBOOT_STS_ENDPOINT", "https://sts.eu-west-1.amazonaws.com");
    let cases = SHAPES.iter().flat_map(|(shape, value)| {
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "AWS_CA_BUNDLE", "SSL_CERT_FILE"].map(|name| {
            let case = Case::new(format!("{name}: {shape}"), &LOOK).with(name, value);
            if name.to_lowercase().ends_with("proxy") {
                case
            } else {
                case.with("HTTPS_PROXY", &format!("http://{NOBODY}"))
            }
        })
    });
    none_is_shown(&stage, cases.collect());
    let stage = to_aws();
    let tls = stage.sandbox.sts_url();
    let cases = SHAPES.iter().flat_map(|(shape, value)| {
        ["AWS_CA_BUNDLE", "SSL_CERT_FILE"].map(|name| {
            Case::new(format!("{name}: {shape}"), &LOOK).with("FEDBOOT_STS_ENDPOINT", &tls).with(name, value)
        })
    });
    none_is_shown(&stage, cases.collect());
}

/// The paths to all texts in a JSON document.
fn texts(json: &Value, path: &str, found: &mut Vec<String>) {
    match json {
        Value::Object(object) => object.iter().for_each(|(name, value)| texts(value, &format!("{path}/{name}"), found)),
        _ => found.push(path.into()),
    }
}

#[test]
fn fields_of_an_external_account() {
    let stage = to_google(AwsPlace::Environment);
    let file = |number: usize| stage.directory.path().join(format!("account-{number}.json"));
    let mut aws = stage.sandbox.external_account();
    for (name, value) in [
        ("universe_domain", "googleapis.com"),
        ("quota_project_id", "q"),
        ("client_id", "c"),
        ("client_secret", "s"),
        ("workforce_pool_user_project", "u"),
    ] {
        aws[name] = value.into();
    }
    aws["service_account_impersonation"] = json!({"token_lifetime_seconds": 2800});
    let (mut by_file, mut by_url) = (aws.clone(), aws.clone());
    for account in [&mut by_file, &mut by_url] {
        account["subject_token_type"] = "urn:ietf:params:oauth:token-type:jwt".into();
    }
    let format = json!({"type": "json", "subject_token_field_name": "t"});
    by_file["credential_source"] = json!({"file": "/nonexistent/token", "format": format});
    by_url["credential_source"] =
        json!({"url": format!("http://{NOBODY}/t"), "headers": {"X-Mine": "x"}, "format": format});
    let mut cases = Vec::new();
    for account in [aws, by_file, by_url] {
        let mut paths = Vec::new();
        texts(&account, "", &mut paths);
        // What they have in common is tried with the first.
        let is_first = cases.is_empty();
        for path in paths.iter().filter(|path| is_first || path.starts_with("/credential_source")) {
            for (shape, value) in SHAPES {
                let mut changed = account.clone();
                *changed.pointer_mut(path).expect("a field") = (*value).into();
                let name = file(cases.len());
                write(&name, changed.to_string());
                let case = Case::new(format!("{path}: {shape}"), &["token", "access"]);
                cases.push(case.with("GOOGLE_APPLICATION_CREDENTIALS", name.to_str().expect("text")));
            }
        }
        for (shape, value) in SHAPES {
            let mut changed = account.clone();
            changed["credential_source"]["headers"] = json!({*value: "x"});
            let name = file(cases.len());
            write(&name, changed.to_string());
            let case = Case::new(format!("a header's name: {shape}"), &["token", "access"]);
            cases.push(case.with("GOOGLE_APPLICATION_CREDENTIALS", name.to_str().expect("text")));
        }
    }
    // And a file that is none.
    for (shape, value) in SHAPES {
        let name = file(cases.len());
        write(&name, value);
        for variable in ["GOOGLE_APPLICATION_CREDENTIALS", "FEDBOOT_GOOGLE_TOKEN_FILE", "FEDBOOT_SESSION_POLICY"] {
            let case = Case::new(format!("in {variable}: {shape}"), &LOOK);
            cases.push(case.with(variable, name.to_str().expect("text")));
        }
    }
    none_is_shown(&stage, cases);
}

#[test]
fn what_a_profile_says() {
    let mut stage = to_google(AwsPlace::Environment);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        stage.unset(name);
    }
    stage.set("AWS_EC2_METADATA_DISABLED", "true");
    let role = "role_arn = arn:aws:iam::123456789012:role/fedboot-demo\n";
    let keys = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = x\n";
    let mut cases = Vec::new();
    for (shape, value) in SHAPES {
        let line = value.replace('\n', "\\n");
        for text in [
            format!("[default]\nrole_arn = {line}\nsource_profile = default\n{keys}"),
            format!("[default]\n{role}source_profile = {line}\n"),
            format!("[default]\n{role}credential_source = {line}\n"),
            format!("[default]\n{role}web_identity_token_file = {line}\n"),
            format!("[default]\n{role}mfa_serial = {line}\nsource_profile = default\n{keys}"),
            format!("[default]\n{role}role_session_name = {line}\nsource_profile = default\n{keys}"),
            format!("[default]\n{role}external_id = {line}\nsource_profile = default\n{keys}"),
            format!("[default]\naws_access_key_id = {line}\naws_secret_access_key = {line}\n"),
            format!("[default]\naws_access_key_id = {line}\n"),
            format!("[default]\n{keys}aws_session_token = {line}\nregion = {line}\n"),
            format!("[default]\ncredential_process = {line}\n"),
            format!("[default]\ncredential_process = /nonexistent {line}\n"),
            format!("[default]\ncredential_process = sh -c 'echo \"$0\" no >&2; exit 1' '{line}'\n"),
            format!("[default]\ncredential_process = sh -c 'echo \"$0\"' '{line}'\n"),
            format!("[default]\nsso_session = {line}\n"),
            format!("[{line}]\n{keys}"),
            format!("[default]\n{line}\n"),
            (*value).to_owned(),
        ] {
            if *shape == "a word" && text.contains("role_session_name") {
                continue;
            }
            let name = stage.directory.path().join(format!("config-{}", cases.len()));
            write(&name, &text);
            let variable = if cases.len() % 2 == 0 { "AWS_CONFIG_FILE" } else { "AWS_SHARED_CREDENTIALS_FILE" };
            let case = Case::new(format!("{text}: {shape}"), &["token", "access"]);
            cases.push(case.with("AWS_CONFIG_FILE", "/dev/null").with(variable, name.to_str().expect("text")));
        }
    }
    none_is_shown(&stage, cases);
}
