//! Who the workload is on AWS: each source through to a token, their order, and what a source that fails says.

mod settings;

use std::fs;
use std::time::{Duration, Instant};

use fedboot_sandbox::{AwsPlace, Fault, Role, Sandbox, Service};
use serde_json::Value;

use crate::common::{NOBODY, Stage, asked, eventually, write};
use crate::{
    ACCESS, EXCHANGE, actions, at, at_with, fails, hold, info, is_live, last, printed, proven, requests_to,
    side_by_side, simple,
};

const DEMO: &str = "arn:aws:iam::123456789012:role/fedboot-demo";
const WEB: &str = "AssumeRoleWithWebIdentity";
const ASSUME: &str = "AssumeRole";
const IMDS_KEYS: [&str; 3] = ["imds-token", "imds-role", "imds-credentials"];

fn arn(name: &str) -> String {
    format!("arn:aws:iam::123456789012:role/{name}")
}

/// `~/.aws/config` of another home than the sandbox's.
fn configure(stage: &mut Stage, config: &str) {
    let file = stage.directory.path().join("config");
    write(&file, config);
    stage.set("AWS_CONFIG_FILE", &file).set("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent");
}

/// The keys that the environment has, as lines of a profile.
fn keys(stage: &Stage) -> String {
    let env = stage.sandbox.aws_env();
    let value = |name: &str| env.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone()).expect(name);
    format!(
        "aws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n",
        value("AWS_ACCESS_KEY_ID"),
        value("AWS_SECRET_ACCESS_KEY"),
        value("AWS_SESSION_TOKEN")
    )
}

fn without_keys(stage: &mut Stage) -> &mut Stage {
    stage.unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY").unset("AWS_SESSION_TOKEN")
}

/// Each place of the sandbox, what it costs, and in whose name.
#[test]
fn every_place() {
    let rows = [
        (AwsPlace::Environment, vec![], "fedboot-demo/environment"),
        (AwsPlace::Profile, vec![], "fedboot-demo/profile"),
        (AwsPlace::WebIdentity, vec![WEB], "fedboot-demo/"),
        (AwsPlace::Ecs, vec!["task-credentials"], "fedboot-demo/"),
        (AwsPlace::PodIdentity, vec!["pod-credentials"], "fedboot-demo/eks-demo-app-"),
        (AwsPlace::Imds, IMDS_KEYS.to_vec(), "fedboot-demo/i-"),
    ];
    side_by_side(rows, |(place, mut before, session)| {
        let stage = at(place);
        let token = printed(&stage, "token access");
        assert_eq!(info(&stage, &token)["email"], crate::ACCOUNT, "{place:?}");
        assert!(proven(&stage).starts_with(session), "{place:?}: {}", proven(&stage));
        before.extend([EXCHANGE, ACCESS]);
        // An instance is asked for its region as well, at the same time.
        let mut made = actions(&stage);
        if place == AwsPlace::Imds {
            let zone = made.iter().position(|action| action == "availability-zone").expect("the region is asked for");
            made.remove(zone);
            let token = made.iter().position(|action| action == "imds-token").expect("a session");
            made.remove(token);
        }
        assert_eq!(made, before, "{place:?}");
        // As the command's agent.
        let held = hold(&stage, "");
        assert!(is_live(&stage, &crate::web::access_token(&crate::server(&held)).0), "{place:?}");
        let outcome = held.release(&stage);
        outcome.assert_succeeded();
        assert_eq!(outcome.events()[0].message(), "Google credentials are ready", "{place:?}");
        assert_eq!(outcome.events()[0].field("service_account"), crate::ACCOUNT, "{place:?}");
    });
}

/// What was signed, as Google received it.
#[test]
fn the_signed_request() {
    for (host, region, flags) in [
        ("sts.eu-west-1.amazonaws.com", "eu-west-1", ""),
        ("sts.eu-central-1.amazonaws.com", "eu-central-1", "--region eu-central-1"),
    ] {
        let stage = simple();
        assert!(is_live(&stage, &printed(&stage, &format!("token access {flags}"))));
        let request = last(&stage, EXCHANGE);
        assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
        let param = |name: &str| request.param(name).unwrap_or_default().to_owned();
        for (name, value) in [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", "urn:ietf:params:aws:token-type:aws4_request"),
            ("scope", crate::CLOUD_PLATFORM),
            ("audience", &format!("//iam.googleapis.com/{}/providers/aws", crate::POOL)),
        ] {
            assert_eq!(param(name), value, "{name}");
        }
        let (url, headers) = signed(&param("subject_token"));
        assert_eq!(url, format!("https://{host}?Action=GetCallerIdentity&Version=2011-06-15"));
        let header = |name: &str| {
            let mut found =
                headers.iter().filter(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
            let first = found.next().unwrap_or_default();
            assert_eq!(found.next(), None, "{name} is there twice");
            first
        };
        assert_eq!(header("host"), host);
        assert_eq!(header("x-goog-cloud-target-resource"), param("audience"));
        let env = stage.sandbox.aws_env();
        let token = env.iter().find(|(name, _)| name == "AWS_SESSION_TOKEN").map(|(_, value)| value.clone());
        assert_eq!(Some(header("x-amz-security-token")), token);
        let authorization = header("authorization");
        for part in
            [&format!("/{region}/sts/aws4_request"), "host", "x-amz-security-token", "x-goog-cloud-target-resource"]
        {
            assert!(authorization.contains(part), "no {part} in {authorization}");
        }
        // A pool that insists that the provider's name is signed takes it, too.
        stage.sandbox.change(|settings| settings.signed_target_resource = true).expect("a setting");
        printed(&stage, &format!("token access --scope {} {flags}", crate::STORAGE));
    }
}

/// The URL and the headers in a subject token.
pub fn signed(token: &str) -> (String, Vec<(String, String)>) {
    // Percent escapes alone: to some a plus is a plus, to others a space.
    assert!(!token.contains(['+', '{', '"', ' ']), "{token}");
    let pair = format!("={token}");
    let (_, decoded) = form_urlencoded::parse(pair.as_bytes()).next().expect("a token");
    let json: Value = serde_json::from_str(&decoded).unwrap_or_else(|error| panic!("{error}: {decoded}"));
    assert_eq!(json["method"], "POST");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let headers = json["headers"].as_array().expect("headers").iter();
    (text(&json["url"]), headers.map(|header| (text(&header["key"]), text(&header["value"]))).collect())
}

/// All that a profile may say. In a row: its file, what else is set, what is asked of AWS, in whose name.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn profiles() {
    let printer = "credential_process = sh -c 'cat \"$HOME/keys.json\"'\n";
    let rows = [
        ("static keys", "[default]\n{keys}", "", vec![], "fedboot-demo/environment"),
        ("in the other way", "[profile default]\n{keys}", "", vec![], "fedboot-demo/environment"),
        (
            "by AWS_PROFILE",
            "[default]\nregion = x\n[profile a]\n{keys}",
            "AWS_PROFILE=a",
            vec![],
            "fedboot-demo/environment",
        ),
        ("by AWS_DEFAULT_PROFILE", "[profile a]\n{keys}", "AWS_DEFAULT_PROFILE=a", vec![], "fedboot-demo/environment"),
        (
            "by --aws-profile",
            "[profile a]\n{keys}\n[profile b]\n",
            "AWS_PROFILE=b --aws-profile a",
            vec![],
            "fedboot-demo/environment",
        ),
        (
            "a role",
            "[default]\nrole_arn = {second}\nsource_profile = a\nrole_session_name = mine\n[profile a]\n{keys}",
            "",
            vec![ASSUME],
            "second/mine",
        ),
        (
            "itself",
            "[default]\nrole_arn = {second}\nsource_profile = default\nrole_session_name = mine\n{keys}",
            "",
            vec![ASSUME],
            "second/mine",
        ),
        (
            "two roles",
            "[default]\nrole_arn = {third}\nsource_profile = a\nexternal_id = secret-handshake\nrole_session_name = end\n\
             [profile a]\nrole_arn = {second}\nsource_profile = b\n[profile b]\n{keys}",
            "",
            vec![ASSUME, ASSUME],
            "third/end",
        ),
        ("a process", "[default]\n{printer}", "", vec![], "fedboot-demo/environment"),
        (
            "a role of a process",
            "[default]\nrole_arn = {second}\nsource_profile = a\n[profile a]\n{printer}",
            "",
            vec![ASSUME],
            "second/",
        ),
        (
            "a token file",
            "[default]\nrole_arn = {demo}\nweb_identity_token_file = {token}\nrole_session_name = pod\n",
            "",
            vec![WEB],
            "fedboot-demo/pod",
        ),
        (
            "a role of a token file",
            "[default]\nrole_arn = {second}\nsource_profile = a\nrole_session_name = mine\n\
             [profile a]\nrole_arn = {demo}\nweb_identity_token_file = {token}\n",
            "",
            vec![WEB, ASSUME],
            "second/mine",
        ),
        (
            "the environment",
            "[default]\nrole_arn = {second}\ncredential_source = Environment\nrole_session_name = env\n",
            "with keys",
            vec![ASSUME],
            "second/env",
        ),
        (
            "the instance",
            "[default]\nrole_arn = {second}\ncredential_source = Ec2InstanceMetadata\nrole_session_name = imds\n",
            "",
            [&IMDS_KEYS[..], &[ASSUME]].concat(),
            "second/imds",
        ),
        (
            "the container",
            "[default]\nrole_arn = {second}\ncredential_source = EcsContainer\nrole_session_name = ecs\n",
            "pod",
            vec!["pod-credentials", ASSUME],
            "second/ecs",
        ),
        ("its region", "[default]\nregion = eu-north-1\n{keys}", "no region", vec![], "fedboot-demo/environment"),
    ];
    side_by_side(rows, |(name, config, more, mut expected, session)| {
        let second = Role::trusting_role(arn("second"), DEMO, None);
        let third = Role::trusting_role(arn("third"), &arn("second"), Some("secret-handshake"));
        let mut stage = at_with(
            AwsPlace::Environment,
            Sandbox::builder()
                .role(Role::for_workload(DEMO, "system:serviceaccount:default:app"))
                .role(second)
                .role(third)
                .workload_identity_user(format!("principalSet://iam.googleapis.com/{}/*", crate::POOL))
                .settings(|settings| settings.instance_role = Some(DEMO.into())),
        );
        let pod = stage.sandbox.directory().join("pod");
        let env: Vec<_> = stage.sandbox.aws_env();
        let value = |name: &str| env.iter().find(|(of, _)| of == name).expect(name).1.clone();
        let process = format!(
            r#"{{"Version": 1, "AccessKeyId": "{}", "SecretAccessKey": "{}", "SessionToken": "{}"}}"#,
            value("AWS_ACCESS_KEY_ID"),
            value("AWS_SECRET_ACCESS_KEY"),
            value("AWS_SESSION_TOKEN")
        );
        write(&stage.home().join("keys.json"), process);
        let config = config
            .replace("{keys}", &keys(&stage))
            .replace("{printer}", printer)
            .replace("{demo}", DEMO)
            .replace("{second}", &arn("second"))
            .replace("{third}", &arn("third"))
            .replace("{token}", &pod.join("token").display().to_string());
        configure(&mut stage, &config);
        let mut flags = String::new();
        match more {
            "with keys" => flags.push_str("--identity profile"),
            other => {
                without_keys(&mut stage);
                match other {
                    "pod" => {
                        stage.set(
                            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                            format!("{}/v1/credentials", stage.sandbox.container_url()),
                        );
                        stage.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", pod.join("eks-pod-identity-token"));
                    }
                    "no region" => drop(stage.unset("AWS_REGION")),
                    other => {
                        let (variable, rest) = other.split_once(' ').unwrap_or((other, ""));
                        flags.push_str(rest);
                        if let Some((name, value)) = variable.split_once('=') {
                            stage.set(name, value);
                        }
                    }
                }
            }
        }
        let token = printed(&stage, &format!("token access {flags}"));
        assert_eq!(info(&stage, &token)["email"], crate::ACCOUNT, "{name}");
        assert!(proven(&stage).starts_with(session), "{name}: {}", proven(&stage));
        expected.extend([EXCHANGE, ACCESS]);
        assert_eq!(actions(&stage), expected, "{name}");
        if more == "no region" {
            let (url, _) = signed(last(&stage, EXCHANGE).param("subject_token").expect("a token"));
            assert!(url.contains("sts.eu-north-1."), "{url}");
        }
    });
}

/// The ladder: all sources are there, then one less, and one less. And each by name, whatever else is there.
#[test]
fn the_order() {
    let mut stage = at_with(
        AwsPlace::Environment,
        Sandbox::builder().settings(|settings| settings.instance_role = Some(settings.workload_role.clone())),
    );
    let pod = stage.sandbox.directory().join("pod");
    let config = format!(
        "[default]\nrole_arn={DEMO}\nweb_identity_token_file={}\nrole_session_name=profile\n",
        pod.join("token").display()
    );
    configure(&mut stage, &config);
    let pods = format!("{}/v1/credentials", stage.sandbox.container_url());
    stage
        .set("AWS_ROLE_ARN", DEMO)
        .set("AWS_WEB_IDENTITY_TOKEN_FILE", pod.join("token"))
        .set("AWS_ROLE_SESSION_NAME", "web")
        .set("AWS_CONTAINER_CREDENTIALS_FULL_URI", pods)
        .set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", pod.join("eks-pod-identity-token"));
    let sources = [
        (
            "environment",
            "fedboot-demo/environment",
            &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"][..],
        ),
        ("profile", "fedboot-demo/profile", &["AWS_CONFIG_FILE"]),
        ("web-identity", "fedboot-demo/web", &["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"]),
        (
            "container",
            "fedboot-demo/eks-demo-",
            &["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"],
        ),
        ("imds", "fedboot-demo/i-", &["AWS_EC2_METADATA_SERVICE_ENDPOINT"]),
    ];
    for (source, session, _) in sources {
        printed(&stage, &format!("token access --identity {source}"));
        assert!(proven(&stage).starts_with(session), "{source}: {}", proven(&stage));
    }
    for (source, session, variables) in sources {
        let before = asked(&stage, EXCHANGE);
        printed(&stage, "token access");
        assert_eq!(asked(&stage, EXCHANGE), before + 1, "{source}: the token of another identity was handed out");
        assert!(proven(&stage).starts_with(session), "{source}: {}", proven(&stage));
        for variable in variables {
            stage.unset(variable);
        }
    }
    stage.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{NOBODY}")).set("AWS_EC2_METADATA_DISABLED", "true");
    fails(
        &stage,
        1,
        "token access",
        &[
            "who this workload is on AWS",
            "AWS_ACCESS_KEY_ID is not set",
            "no profile",
            "AWS_WEB_IDENTITY_TOKEN_FILE is not set",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_EC2_METADATA_DISABLED",
            "--identity",
        ],
    );
}

/// A source that is configured and fails stops all: the next one would be somebody else. In a row: what is set, what the
/// error says, at which of the others nothing may be asked.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_source_that_fails_is_the_last() {
    type Row = (&'static str, Vec<(&'static str, &'static str)>, Vec<&'static str>);
    let rows: Vec<Row> = vec![
        (
            "half a key",
            vec![("AWS_ACCESS_KEY_ID", "AKIA")],
            vec!["AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not"],
        ),
        (
            "the other half",
            vec![("AWS_SECRET_ACCESS_KEY", "x")],
            vec!["AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not"],
        ),
        (
            "no such profile",
            vec![("AWS_PROFILE", "absent")],
            vec!["AWS_PROFILE names a profile that is not in", "AWS_PROFILE"],
        ),
        (
            "half a profile",
            vec![("CONFIG", "[default]\naws_access_key_id = AKIA\n")],
            vec!["default has an aws_access_key_id"],
        ),
        (
            "no source of a role",
            vec![("CONFIG", "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\n")],
            vec!["default has a role_arn", "source_profile"],
        ),
        (
            "a loop",
            vec![(
                "CONFIG",
                "[default]\nrole_arn=arn:aws:iam::123456789012:role/r\nsource_profile=b\n[profile b]\nrole_arn=arn:aws:iam::123456789012:role/r\nsource_profile=default\n",
            )],
            vec!["leads back"],
        ),
        (
            "mfa",
            vec![(
                "CONFIG",
                "[default]\nrole_arn=arn:aws:iam::123456789012:role/r\nsource_profile=default\nmfa_serial=m\n",
            )],
            vec!["mfa_serial"],
        ),
        ("sso", vec![("CONFIG", "[default]\nsso_session=s\n")], vec!["sso", "credential_process"]),
        (
            "no such process",
            vec![("CONFIG", "[default]\ncredential_process=/nonexistent/x y\n")],
            vec!["cannot be run", "/nonexistent/x"],
        ),
        (
            "a process that fails",
            vec![("CONFIG", "[default]\ncredential_process=sh -c 'echo broken >&2; exit 3'\n")],
            vec!["credential_process", "broken", "3"],
        ),
        (
            "a process without JSON",
            vec![("CONFIG", "[default]\ncredential_process=echo hello\n")],
            vec!["no JSON", "\"Version\": 1"],
        ),
        (
            "a process without keys",
            vec![("CONFIG", "[default]\ncredential_process=echo '{\"Version\": 1}'\n")],
            vec!["no AccessKeyId"],
        ),
        (
            "another version",
            vec![("CONFIG", "[default]\ncredential_process=echo '{\"Version\": 2}'\n")],
            vec!["\"Version\": 1"],
        ),
        ("a file that is none", vec![("CONFIG", "nonsense\n")], vec!["config", "line 1"]),
        (
            "a token without a role",
            vec![("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent")],
            vec!["AWS_ROLE_ARN is not", "eks.amazonaws.com/role-arn"],
        ),
        (
            "no token",
            vec![("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent"), ("AWS_ROLE_ARN", DEMO)],
            vec!["web identity token", "/nonexistent", "no such file"],
        ),
        (
            "a token that is none",
            vec![("AWS_WEB_IDENTITY_TOKEN_FILE", "/etc/passwd"), ("AWS_ROLE_ARN", DEMO)],
            vec!["web identity token", "/etc/passwd"],
        ),
        (
            "a host on the way",
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/x")],
            vec!["AWS_CONTAINER_CREDENTIALS_FULL_URI", "10.0.0.1", "https:"],
        ),
        (
            "a host's name",
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/x")],
            vec!["AWS_CONTAINER_CREDENTIALS_FULL_URI", "evil.example"],
        ),
        (
            "a link-local host",
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.3/x")],
            vec!["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
        ),
        (
            "a look-alike",
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1.evil.example/x")],
            vec!["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
        ),
        (
            "no URL",
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", "x")],
            vec!["AWS_CONTAINER_CREDENTIALS_FULL_URI is no endpoint"],
        ),
        (
            "a path that is a host",
            vec![("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "evil.example/x")],
            vec!["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
        ),
        (
            "no authorization token",
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/"),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nonexistent"),
            ],
            vec!["authorization token", "/nonexistent", "no such file"],
        ),
        (
            "an authorization token of two lines",
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/"),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "{lines}"),
            ],
            vec!["authorization token", "more than one line"],
        ),
    ];
    side_by_side(rows, |(name, variables, parts)| {
        // Behind it an instance would answer.
        let mut stage = at(AwsPlace::Imds);
        let lines = stage.directory.path().join("lines");
        write(&lines, "a\nb\n");
        for (variable, value) in &variables {
            match *variable {
                "CONFIG" => configure(&mut stage, value),
                variable => drop(stage.set(variable, value.replace("{lines}", &lines.display().to_string()))),
            }
        }
        let outcome = crate::run(&stage, "--timeout 2 -- touch ran");
        assert_eq!(outcome.code(), Some(125), "{name}: {}", outcome.stderr);
        for part in parts {
            assert!(outcome.error().sentence().contains(part), "{name}: no {part:?} in {}", outcome.stderr);
        }
        let seen = actions(&stage);
        assert!(
            seen.iter().all(|action| ["imds-token", "availability-zone"].contains(&action.as_str())),
            "{name}: {seen:?}"
        );
    });
}

/// A process that hangs, holds its pipe, or never stops printing: in time, and nothing of it is left.
#[test]
fn processes_that_do_not_end() {
    let rows = [
        ("sleep", "exec sleep 4000"),
        ("a child that holds the pipe", "sleep 4000 & exit 0"),
        ("a line and no end", "printf x; exec sleep 4000"),
        ("ever more", "exec yes"),
    ];
    side_by_side(rows, |(name, script)| {
        let mut stage = simple();
        let file = stage.directory.path().join("script");
        write(&file, script);
        let config = format!("[default]\ncredential_process = sh {}\n", file.display());
        configure(&mut stage, &config);
        without_keys(&mut stage);
        let start = Instant::now();
        let outcome = crate::run(&stage, "--timeout 2 -- touch ran");
        assert_eq!(outcome.code(), Some(125), "{name}: {}", outcome.stderr);
        assert!(outcome.error().sentence().contains("credential_process"), "{name}: {}", outcome.stderr);
        assert!(start.elapsed() < Duration::from_secs(6), "{name}: {:?}", start.elapsed());
        // By what they inherited, as others may sleep here, too.
        let home = [b"HOME=", stage.home().as_os_str().as_encoded_bytes()].concat();
        let left = || {
            let all = fs::read_dir("/proc").expect("/proc").flatten();
            let environments = all.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
            environments.filter(|environment| environment.split(|byte| *byte == 0).any(|entry| entry == home)).count()
        };
        eventually("nothing of it is left", || left() == 0);
    });
}

/// What a service answers that will not do.
#[test]
fn a_service_that_refuses() {
    let pod =
        |fault: Fault| at_with(AwsPlace::PodIdentity, Sandbox::builder().fault(Service::Container, fault.always()));
    let imds = |fault: Fault| at_with(AwsPlace::Imds, Sandbox::builder().fault(Service::Imds, fault.always()));
    let web = |fault: Fault| at_with(AwsPlace::WebIdentity, Sandbox::builder().fault(Service::Sts, fault.always()));
    let gone = "Pod Identity agent running on this node";
    let rows = [
        (
            "no association",
            pod(Fault::error("AccessDeniedException").on("pod-credentials")),
            &["container's AWS credentials: http://127.0.0.1:", "AccessDeniedException"][..],
        ),
        ("404", pod(Fault::status(404, "")), &["answered 404", gone]),
        (
            "keys without a secret",
            pod(Fault::status(200, r#"{"AccessKeyId": "AKIA"}"#)),
            &["without AccessKeyId and SecretAccessKey", gone],
        ),
        ("a redirect", pod(Fault::redirect("http://169.254.169.254/x")), &["302", "not followed"]),
        ("garbage", pod(Fault::garbage()), &["answered 200"]),
        ("IMDS switched off", imds(Fault::status(403, "")), &["/latest/api/token", "403", "switched the service off"]),
        ("no role", imds(Fault::status(404, "").on("security-credentials")), &["the instance has no role"]),
        (
            "a role that is gone",
            imds(Fault::status(200, r#"{"Code": "AssumeRoleUnauthorizedAccess"}"#).on("imds-credentials")),
            &["AssumeRoleUnauthorizedAccess", "trust ec2.amazonaws.com"],
        ),
        ("IMDS answers garbage", imds(Fault::garbage().on("imds-credentials")), &["answered 200 without keys"]),
        ("STS refuses", web(Fault::error("AccessDenied")), &["assume role", DEMO, "AccessDenied"]),
        (
            "STS does not know the issuer",
            web(Fault::error("InvalidIdentityToken")),
            &["assume role", "InvalidIdentityToken"],
        ),
    ];
    side_by_side(rows, |(name, stage, parts)| {
        let outcome = crate::run(&stage, "--timeout 1 -- touch ran");
        assert_eq!(outcome.code(), Some(125), "{name}: {}", outcome.stderr);
        for part in parts {
            assert!(outcome.error().sentence().contains(part), "{name}: no {part:?} in {}", outcome.stderr);
        }
        assert_eq!(asked(&stage, EXCHANGE), 0, "{name}");
    });
}

/// What a role on the way is told.
#[test]
fn a_role_first() {
    let second = Role::trusting_role(arn("second"), DEMO, Some("handshake"));
    let builder = Sandbox::builder()
        .role(Role::for_workload(DEMO, "system:serviceaccount:default:app"))
        .role(second)
        .workload_identity_user(format!(
            "principalSet://iam.googleapis.com/{}/attribute.aws_role/arn:aws:sts::123456789012:assumed-role/second",
            crate::POOL
        ));
    let stage = at_with(AwsPlace::Ecs, builder);
    let line = format!(
        "token access --assume-role-arn {} --external-id handshake --session-tag team=data --session-tag cost=1 \
         --source-identity me --role-session-name from-ecs",
        arn("second")
    );
    let token = printed(&stage, &line);
    assert!(is_live(&stage, &token));
    assert_eq!(proven(&stage), "second/from-ecs");
    let issued = stage.sandbox.issued().pop().expect("a session");
    assert_eq!(issued.source_identity.as_deref(), Some("me"));
    assert_eq!(
        issued.session_tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(),
        ["cost=1", "team=data"]
    );
    assert_eq!(issued.duration_seconds, 900);
    assert_eq!(actions(&stage), ["task-credentials", ASSUME, EXCHANGE, ACCESS]);
    let request = last(&stage, ASSUME);
    assert!(request.header("x-amz-security-token").is_some(), "the task's own session token is sent");
    assert_eq!(request.param("ExternalId"), Some("handshake"));
    // One without the handshake is told what to do.
    fails(
        &stage,
        1,
        &format!("token access --assume-role-arn {}", arn("second")),
        &["assume role", "AccessDenied", "fedboot-demo", "sts:AssumeRole"],
    );
    for (line, parts) in [
        ("--external-id x", &["--external-id", "--assume-role-arn"][..]),
        ("--session-tag a=b", &["--assume-role-arn"]),
        ("--source-identity x", &["--assume-role-arn"]),
        ("--assume-role-arn x", &["--assume-role-arn is no role ARN"]),
        (&format!("--assume-role-arn {DEMO} --session-tag ab"), &["--session-tag"]),
    ] {
        crate::refused(&stage, 2, &format!("token access {line}"), parts);
        crate::refused(&stage, 125, &format!("{line} -- touch ran"), parts);
    }
}

/// By which region AWS is asked: flag, variable, profile, instance, and where nobody knows.
#[test]
fn the_region() {
    let region = |stage: &Stage| {
        let (url, headers) = signed(last(stage, EXCHANGE).param("subject_token").expect("a token"));
        let host = url
            .split("://sts.")
            .nth(1)
            .and_then(|rest| rest.split(".amazonaws.com").next())
            .expect("a host")
            .to_owned();
        let authorization =
            headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization")).expect("signed");
        assert!(authorization.1.contains(&format!("/{host}/sts/aws4_request")), "{}", authorization.1);
        host
    };
    let mut stage = simple();
    let config = format!("[default]\n{}region = ap-south-1\n[profile other]\nregion = sa-east-1\n{0}", keys(&stage));
    configure(&mut stage, &config);
    without_keys(&mut stage).unset("AWS_REGION");
    let steps: [(&str, &str, &str, &str); 7] = [
        ("", "AWS_DEFAULT_REGION", "us-west-2", "us-west-2"),
        ("", "AWS_REGION", "eu-south-2", "eu-south-2"),
        ("--region ca-central-1", "AWS_REGION", "eu-south-2", "ca-central-1"),
        ("", "AWS_REGION", "", "us-west-2"),
        ("", "AWS_DEFAULT_REGION", "", "ap-south-1"),
        ("--aws-profile other", "AWS_REGION", "", "sa-east-1"),
        ("", "AWS_DEFAULT_PROFILE", "other", "sa-east-1"),
    ];
    for (number, (flags, variable, value, expected)) in steps.into_iter().enumerate() {
        stage.set(variable, value);
        // None of them finds the token of the one before.
        printed(&stage, &format!("token access --duration {} {flags}", 3000 + number));
        assert_eq!(region(&stage), expected, "{flags} {variable}={value}");
    }
    // Names that the SDKs know, of a whole partition and of a region's FIPS hosts.
    let mut stage = simple();
    stage.unset("AWS_DEFAULT_REGION");
    for (number, (name, expected)) in
        [("aws-global", "us-east-1"), ("fips-us-west-2", "us-west-2"), ("us-west-1-fips", "us-west-1")]
            .into_iter()
            .enumerate()
    {
        stage.set("AWS_REGION", name);
        printed(&stage, &format!("token access --duration {}", 3000 + number));
        assert_eq!(region(&stage), expected, "{name}");
    }
    let config = format!("[default]\n{}region = aws-global\n", keys(&stage));
    configure(&mut stage, &config);
    without_keys(&mut stage).unset("AWS_REGION");
    printed(&stage, "token access");
    assert_eq!(region(&stage), "us-east-1");
    // The instance says it where nobody else does; and where that does not answer, any region knows the keys.
    let stage = at(AwsPlace::Imds);
    printed(&stage, "token access");
    assert_eq!(region(&stage), "eu-west-1");
    let mut stage = simple();
    stage.unset("AWS_REGION").set("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{NOBODY}"));
    printed(&stage, "token access");
    assert_eq!(region(&stage), "us-east-1");
    // Another cloud's STS may call its region as it likes.
    stage.unset("AWS_ENDPOINT_URL_STS");
    for bad in ["Dublin", "Dublin!", "eu west", "eu-west-1/x", "eu-west-1.evil.example"] {
        let outcome = stage.run(["token", "access", "--region", bad]);
        outcome.assert_failed(2, &["--region is no AWS region"]);
    }
    // A global endpoint is signed for the region in which it is, and a file's URL stays as it is.
    let mut stage = simple();
    for (url, scope) in [
        ("https://sts.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15", "us-east-1"),
        ("https://sts.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15", "us-east-1"),
        ("https://sts.ap-southeast-2.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15", "ap-southeast-2"),
        ("https://sts.{region}.amazonaws.com/?Version=2011-06-15&Action=GetCallerIdentity", "eu-west-1"),
    ] {
        crate::with_account(&mut stage, |account| {
            account["credential_source"]["regional_cred_verification_url"] = url.into();
        });
        printed(&stage, "token access");
        let (sent, headers) = signed(last(&stage, EXCHANGE).param("subject_token").expect("a token"));
        assert_eq!(sent, url.replace("{region}", "eu-west-1"));
        assert!(headers.iter().any(|(_, value)| value.contains(&format!("/{scope}/sts/"))), "{url}: {headers:?}");
    }
}

/// A region that nobody could say at the start is asked for again: elsewhere than in the ordinary regions the keys mean
/// nothing to the usual STS.
#[test]
fn a_region_that_comes_later() {
    let late = Fault::status(503, "").on("availability-zone").times(2);
    let builder = Sandbox::builder().fault(Service::Imds, late).access_token_cap(Duration::from_secs(3));
    let stage = at_with(AwsPlace::Imds, builder);
    let held = hold(&stage, "");
    let region = || {
        let (url, _) = signed(last(&stage, EXCHANGE).param("subject_token").expect("a token"));
        url.contains("sts.eu-west-1.")
    };
    crate::wait_for(&stage, 3, EXCHANGE);
    assert!(region(), "it is the fallback for good");
    held.release(&stage).assert_succeeded();
}

/// Version 1 of the instance's service answers whoever can be talked into asking: only where it was allowed.
#[test]
fn the_first_version_of_imds() {
    let old = |builder: fedboot_sandbox::Builder| {
        at_with(
            AwsPlace::Imds,
            builder
                .settings(|settings| settings.imdsv1 = true)
                .fault(Service::Imds, Fault::status(404, "").on("/latest/api/token").always()),
        )
    };
    let stage = old(Sandbox::builder());
    fails(&stage, 125, "--timeout 2 -- touch ran", &["/latest/api/token", "404", "--imdsv1"]);
    assert_eq!(asked(&stage, "imds-credentials"), 0, "it was asked nevertheless");
    assert!(is_live(&stage, &printed(&stage, "token access --imdsv1")));
    assert_eq!(last(&stage, "imds-credentials").header("x-aws-ec2-metadata-token"), None);
    // Where version 2 answers, it is used.
    let stage = at_with(AwsPlace::Imds, Sandbox::builder().settings(|settings| settings.imdsv1 = true));
    printed(&stage, "token access --imdsv1");
    assert!(
        requests_to(&stage, Service::Imds)
            .iter()
            .all(|request| request.method == "PUT" || request.header("x-aws-ec2-metadata-token").is_some())
    );
    let ttl = last(&stage, "imds-token");
    assert!(ttl.header("x-aws-ec2-metadata-token-ttl-seconds").is_some() && ttl.header("x-forwarded-for").is_none());
}

/// Where the file says that the instance's service is elsewhere, and AWS's own variable does not.
#[test]
fn where_imds_is() {
    let mut stage = at(AwsPlace::Imds);
    let imds = stage.sandbox.imds_url();
    stage.unset("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    crate::with_account(&mut stage, |account| {
        let source = &mut account["credential_source"];
        source["url"] = format!("{imds}/latest/meta-data/iam/security-credentials").into();
        source["region_url"] = format!("{imds}/latest/meta-data/placement/availability-zone").into();
        source.as_object_mut().expect("an object").remove("imdsv2_session_token_url");
    });
    assert!(is_live(&stage, &printed(&stage, "token access")));
    assert_eq!(asked(&stage, "imds-token"), 2, "version 2 all the same");
    // As gcloud wrote it for a place without an instance: then there is none.
    stage.set("AWS_EC2_METADATA_DISABLED", "TRUE");
    fails(&stage, 125, "-- touch ran", &["AWS_EC2_METADATA_DISABLED is true"]);
}

/// On a task or pod without a role of its own the node answers, which is worth a word.
#[test]
fn the_nodes_role() {
    for (variable, warned) in
        [("KUBERNETES_SERVICE_HOST", true), ("ECS_CONTAINER_METADATA_URI_V4", true), ("OTHER", false)]
    {
        let mut stage = at(AwsPlace::Imds);
        stage.set(variable, "http://169.254.170.2/v4/x");
        let outcome = stage.run_shell(&[], "exit 0");
        outcome.assert_succeeded();
        let warnings: Vec<_> = outcome.events().into_iter().filter(|event| event.severity() == "WARNING").collect();
        assert_eq!(warnings.len(), usize::from(warned), "{variable}: {warnings:?}");
        assert!(warnings.iter().all(|event| event.message().contains("acts as its node")), "{warnings:?}");
    }
}

/// What somebody put there with an editor or a shell.
#[test]
fn white_space_in_variables() {
    for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        let mut stage = simple();
        let env = stage.sandbox.aws_env();
        let value = env.iter().find(|(of, _)| of == variable).expect(variable).1.clone();
        stage.set(variable, format!(" {value}\n"));
        assert!(is_live(&stage, &printed(&stage, "token access")), "{variable}");
    }
}

/// What the shared files say may change at any time, and the kubelet replaces tokens.
#[test]
fn files_are_read_anew() {
    let stage = at_with(AwsPlace::Profile, Sandbox::builder().access_token_cap(Duration::from_secs(4)));
    let file = stage.sandbox.directory().join("aws/credentials");
    let held = hold(&stage, "");
    let before = proven(&stage);
    let text = fs::read_to_string(&file).expect("a profile");
    let process = format!("[workload]\ncredential_process = sh -c 'cat {}'\n", stage.home().join("keys").display());
    let value =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = ")).expect(name).to_owned();
    let json = format!(
        r#"{{"Version": 1, "AccessKeyId": "{}", "SecretAccessKey": "{}", "SessionToken": "{}"}}"#,
        value("aws_access_key_id"),
        value("aws_secret_access_key"),
        value("aws_session_token")
    );
    write(&stage.home().join("keys"), json);
    write(&file, process);
    crate::wait_for(&stage, asked(&stage, ACCESS) + 1, ACCESS);
    assert_eq!(proven(&stage), before);
    held.release(&stage).assert_succeeded();
}
