//! Bad weather: what is not allowed and who must allow it; services that are late, broken, gone, at the start and
//! during life. The agent survives it and forgets no good token.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fedboot_sandbox::{AwsPlace, Effect, Fault, Role, Sandbox, Service};

use crate::common::{NOBODY, Stage, asked, eventually, write};
use crate::{
    ACCESS, ACCOUNT, EXCHANGE, ID, MEMBER, POOL, actions, at, at_with, fails, hold, is_live, printed, run, server,
    short_lived, side_by_side, simple, web, with_account,
};

/// Every service that is asked, and where it is.
const ASKED: [(AwsPlace, Service); 6] = [
    (AwsPlace::Ecs, Service::Container),
    (AwsPlace::PodIdentity, Service::Container),
    (AwsPlace::Imds, Service::Imds),
    (AwsPlace::WebIdentity, Service::Sts),
    (AwsPlace::Environment, Service::GoogleSts),
    (AwsPlace::Environment, Service::IamCredentials),
];

/// Nobody may speak for the account.
fn unbound(stage: &Stage) {
    stage.sandbox.change(|settings| settings.workload_identity_users.clear()).expect("settings");
}

/// The identity is not bound to the account: the very member and the very command, in each place, and it is enough to do
/// what is said.
#[test]
fn a_role_that_is_not_bound() {
    let rows = [
        (AwsPlace::Environment, format!("principalSet://iam.googleapis.com/{POOL}/{MEMBER}")),
        (AwsPlace::PodIdentity, format!("principalSet://iam.googleapis.com/{POOL}/{MEMBER}")),
        (AwsPlace::Imds, format!("principalSet://iam.googleapis.com/{POOL}/{MEMBER}")),
    ];
    side_by_side(rows, |(place, member)| {
        let mut stage = at(place);
        unbound(&stage);
        // AWS itself is asked who this is; here it is behind a proxy.
        let proxy = stage.sandbox.resolving_proxy(None).expect("a proxy");
        stage.set("HTTPS_PROXY", proxy.url());
        let parts = [
            "access token",
            ACCOUNT,
            "answered 403",
            &format!(
                "gcloud iam service-accounts add-iam-policy-binding {ACCOUNT} --role roles/iam.workloadIdentityUser --member \"{member}\""
            ),
        ];
        let outcome = fails(&stage, 125, "-- touch ran", &parts);
        assert_eq!(outcome.events().len(), 1, "tried again, though it cannot help: {}", outcome.stderr);
        assert_eq!((asked(&stage, ACCESS), asked(&stage, EXCHANGE)), (1, 1), "{place:?}");
        stage
            .sandbox
            .change(|settings| drop(settings.workload_identity_users.insert(ACCOUNT.into(), vec![member.clone()])))
            .expect("settings");
        assert!(is_live(&stage, &printed(&stage, "token access")), "{place:?}: the advice is wrong");
    });
    // A pod's own token.
    let mut stage = simple();
    let account = stage.sandbox.external_account_of_pod();
    with_account(&mut stage, |file| *file = account);
    unbound(&stage);
    let member = format!("principal://iam.googleapis.com/{POOL}/subject/system:serviceaccount:default:app");
    fails(&stage, 125, "-- touch ran", &["answered 403", "roles/iam.workloadIdentityUser", &format!("\"{member}\"")]);
    stage
        .sandbox
        .change(|settings| drop(settings.workload_identity_users.insert(ACCOUNT.into(), vec![member])))
        .expect("settings");
    assert!(is_live(&stage, &printed(&stage, "token access")), "the advice is wrong");
}

/// Where AWS cannot be asked, a pattern; and nobody waits long for that.
#[test]
fn a_role_that_is_not_bound_and_nobody_says_which() {
    let mut stage = simple();
    stage.set("HTTPS_PROXY", format!("http://{NOBODY}"));
    unbound(&stage);
    let start = Instant::now();
    fails(&stage, 125, "-- touch ran", &["answered 403", "attribute.aws_role/arn:aws:sts::ACCOUNT:assumed-role/ROLE"]);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

fn error(code: &str, message: &str) -> Fault {
    Effect::Error { code: code.into(), message: Some(message.into()), status: None }.into()
}

/// What Google's STS refuses for good: once more with a new proof at most, then one line with what to do.
#[test]
fn what_google_refuses() {
    let describe = format!("gcloud iam workload-identity-pools providers describe {POOL}/providers/aws");
    let absent = format!("gcloud iam workload-identity-pools providers describe {POOL}/providers/absent");
    let denied = |name: &str| format!("//iam.googleapis.com/{POOL}/providers/{name}");
    let with_audience = |audience: String| {
        let mut stage = simple();
        with_account(&mut stage, |account| account["audience"] = audience.into());
        stage
    };
    let fault =
        |fault: Fault| at_with(AwsPlace::Environment, Sandbox::builder().fault(Service::GoogleSts, fault.always()));
    let rows: Vec<(&str, Stage, usize, Vec<&str>)> = vec![
        (
            "no such provider",
            with_audience(denied("absent")),
            1,
            vec!["answered 400 invalid_target", "is disabled", &absent],
        ),
        (
            "no provider at all",
            with_audience("urn:nonsense".into()),
            1,
            vec!["answered 400 invalid_request", "audience"],
        ),
        (
            "another account",
            at_with(AwsPlace::Environment, Sandbox::builder().provider_account("210987654321")),
            2,
            vec!["answered 400 invalid_grant", "another AWS account", &describe],
        ),
        (
            "a condition",
            at_with(
                AwsPlace::Environment,
                Sandbox::builder().attribute_condition("attribute.account == '210987654321'"),
            ),
            1,
            vec!["answered 400 unauthorized_client", "attribute condition", &describe],
        ),
        (
            "a provider of another kind",
            with_audience(denied("eks")),
            1,
            vec!["answered 400 invalid_request", "subject_token_type"],
        ),
        (
            "revoked keys",
            fault(error("invalid_grant", "Received invalid AWS response of type AccessDenied with error message: …")),
            2,
            vec!["invalid_grant", "kind (aws or oidc)"],
        ),
        ("a quota", fault(error("quota", "Quota exceeded")), 1, vec!["answered 400 quota: Quota exceeded"]),
        ("the front end", fault(Fault::status(404, "<html>not here</html>")), 1, vec!["answered 404", "not here"]),
        (
            "a redirect",
            fault(Fault::redirect("https://accounts.google.com/signin?x=1")),
            1,
            vec!["302", "https://accounts.google.com/signin", "not followed"],
        ),
    ];
    side_by_side(rows, |(name, stage, times, parts)| {
        let outcome = run(&stage, "-- touch ran");
        assert_eq!(outcome.code(), Some(125), "{name}: {}", outcome.stderr);
        for part in parts {
            assert!(outcome.error().sentence().contains(part), "{name}: no {part:?} in {}", outcome.stderr);
        }
        assert_eq!(asked(&stage, EXCHANGE), times, "{name}");
    });
}

/// Who calls a role by two names: the file's account is not the one, or not there.
#[test]
fn what_iam_refuses() {
    let iam = |fault: Fault| {
        at_with(AwsPlace::Environment, Sandbox::builder().fault(Service::IamCredentials, fault.always()))
    };
    let disabled = "IAM Service Account Credentials API has not been used in project 1 before or it is disabled. Enable it by \
                    visiting https://console.developers.google.com/apis/api/iamcredentials.googleapis.com/overview?project=1";
    let rows: Vec<(&str, Stage, Vec<&str>)> = vec![
        (
            "API off",
            iam(error("PERMISSION_DENIED", disabled)),
            vec!["answered 403", "it is disabled", "iamcredentials.googleapis.com"],
        ),
        (
            "no such account",
            iam(error(
                "NOT_FOUND",
                "Not found; Gaia id not found for email worker@demo-project.iam.gserviceaccount.com",
            )),
            vec!["answered 404", "Gaia id not found", "service_account_impersonation_url"],
        ),
        (
            "bad scope",
            iam(error("INVALID_ARGUMENT", "Request contains an invalid argument.")),
            vec!["answered 400", "invalid argument"],
        ),
    ];
    for (name, stage, parts) in rows {
        let outcome = fails(&stage, 125, "-- touch ran", &[&["access token", ACCOUNT], &parts[..]].concat());
        assert_eq!(asked(&stage, ACCESS), 1, "{name}: {}", outcome.stderr);
        assert!(name != "API off" || !outcome.stderr.contains("add-iam-policy-binding"), "{}", outcome.stderr);
    }
}

/// This machine's clock is wrong: which way, and how far, is told.
#[test]
fn a_clock_that_is_wrong() {
    for (skew, words) in [(1200_i64, "behind the server's"), (-1200, "ahead of the server's")] {
        let body = r#"{"error": "invalid_grant", "error_description": "Received invalid AWS response of type SignatureDoesNotMatch"}"#;
        let apart = Duration::from_secs(skew.unsigned_abs());
        let there = if skew > 0 { SystemTime::now() + apart } else { SystemTime::now() - apart };
        let headers = BTreeMap::from([("Date".to_owned(), httpdate::fmt_http_date(there))]);
        let fault = Fault::from(Effect::Status { status: 400, body: body.into(), headers }).always();
        let stage = at_with(AwsPlace::Environment, Sandbox::builder().fault(Service::GoogleSts, fault));
        let outcome = fails(&stage, 125, "-- touch ran", &["answered 400 invalid_grant", "this machine's clock is "]);
        let message = outcome.error().message().to_owned();
        let said = message.split("clock is ").nth(1).expect("a number").split(' ').next().expect("one");
        let seconds: i64 = said.parse().unwrap_or_else(|_| panic!("{message}"));
        assert!((1100..=1300).contains(&seconds) && message.contains(words), "{message}");
        // By AWS's own rule of a quarter of an hour.
        let fault = Fault::clock_skew(skew).always();
        let stage = at_with(AwsPlace::Environment, Sandbox::builder().fault(Service::GoogleSts, fault));
        fails(&stage, 125, "-- touch ran", &["answered 400 invalid_grant", "SignatureDoesNotMatch", "clock"]);
    }
    // What can be borne is borne.
    let stage =
        at_with(AwsPlace::Environment, Sandbox::builder().fault(Service::GoogleSts, Fault::clock_skew(120).always()));
    assert!(is_live(&stage, &printed(&stage, "token access")));
}

/// Keys that somebody copied into the environment, and that nobody renews.
#[test]
fn keys_that_have_ended() {
    let builder = || Sandbox::builder().credential_lifetime(Duration::from_secs(1));
    let rows = [(AwsPlace::Environment, "AWS_ACCESS_KEY_ID"), (AwsPlace::Profile, "profile")];
    side_by_side(rows, |(place, part)| {
        let stage = at_with(place, builder());
        eventually("they end", || !stage.sandbox.issued()[0].is_live());
        fails(&stage, 125, "-- touch ran", &["answered 400 invalid_grant", "ExpiredToken", "have ended", part]);
    });
}

/// Answers of 200 that are of no use: tried again, not delivered, and no end of the agent.
#[test]
fn odd_answers() {
    let end = "2099-12-25T05:00:00Z";
    let rows = [
        (EXCHANGE, r#"{"access_token": "ya29.x", "expires_in": 99999999999999999}"#.to_owned()),
        (EXCHANGE, r#"{"access_token": "ya29.x", "expires_in": 18446744073709551615}"#.into()),
        (EXCHANGE, r#"{"access_token": "", "expires_in": 3600}"#.into()),
        (EXCHANGE, r#"{"access_token": 7, "expires_in": 3600}"#.into()),
        (EXCHANGE, r#"{"access_token": "ya29.x\ny", "expires_in": 3600}"#.into()),
        (EXCHANGE, "[]".into()),
        (ACCESS, format!(r#"{{"accessToken": "", "expireTime": "{end}"}}"#)),
        (ACCESS, format!(r#"{{"accessToken": "ya29.x y\nz", "expireTime": "{end}"}}"#)),
        (ACCESS, r#"{"accessToken": "ya29.x"}"#.into()),
        (ACCESS, r#"{"accessToken": "ya29.x", "expireTime": "soon"}"#.into()),
        (ACCESS, format!(r#"{{"accessToken": ["ya29.x"], "expireTime": "{end}"}}"#)),
    ];
    side_by_side(rows, |(action, body)| {
        let mut stage = simple();
        if action == EXCHANGE {
            crate::without_account(&mut stage);
        }
        let service = if action == EXCHANGE { Service::GoogleSts } else { Service::IamCredentials };
        stage.sandbox.fault(service, Fault::status(200, body.as_str()).always().on(action));
        let outcome = run(&stage, "--timeout 1 -- touch ran");
        assert_eq!(outcome.code(), Some(125), "{body}: {}", outcome.stderr);
        assert!(outcome.error().sentence().contains("answered 200"), "{body}: {}", outcome.stderr);
        assert!(asked(&stage, action) > 1, "{body}: it may pass");
        assert!(outcome.stderr.lines().all(|line| line.starts_with('{')), "{body}: {}", outcome.stderr);
    });
    // During life.
    let claims = "eyJhbGciOiJub25lIn0.eyJleHAiOiAxODQ0Njc0NDA3MzcwOTU1MTYxNX0.x";
    side_by_side(["", "x", "a.b.c", claims, "e30.e30.x", "e30.e30.x\ny"], |token| {
        let stage = simple();
        let held = hold(&stage, "");
        let body = serde_json::json!({"token": token}).to_string();
        stage.sandbox.fault(Service::IamCredentials, Fault::status(200, body).always().on(ID));
        let reply = web::identity(&server(&held), "a");
        assert_eq!(reply.status, 503, "{token:?}: {}", reply.body);
        assert!(is_live(&stage, &web::access_token(&server(&held)).0), "{token:?}");
        held.release(&stage).assert_succeeded();
    });
}

/// IMDS's answer does not travel into a container.
#[test]
fn a_hop_limit_of_one() {
    let near = || Sandbox::builder().settings(|settings| settings.imds_hop_limit = 1);
    side_by_side([true, false], |explained| {
        if !explained {
            // Version 1's answers do travel.
            let stage = at_with(AwsPlace::Imds, near().settings(|settings| settings.imdsv1 = true));
            assert!(is_live(&stage, &printed(&stage, "token access --imdsv1")));
            return;
        }
        let stage = at_with(AwsPlace::Imds, near());
        let start = Instant::now();
        fails(
            &stage,
            125,
            "--timeout 3 -- touch ran",
            &[
                "/latest/api/token",
                "gave no answer within",
                "hop limit",
                "aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2",
                "role of its own",
            ],
        );
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    });
    // Whoever has keys elsewhere does not care.
    let stage = at_with(AwsPlace::PodIdentity, near());
    assert!(is_live(&stage, &printed(&stage, "token access")));
    // And without a region nobody waits for long.
    let mut stage = at_with(AwsPlace::PodIdentity, near());
    stage.unset("AWS_REGION");
    let start = Instant::now();
    assert!(is_live(&stage, &printed(&stage, "token access")));
    assert!(start.elapsed() < Duration::from_millis(1900), "{:?}", start.elapsed());
}

/// The token of Pod Identity is replaced: before the start with a stale copy, and during life.
#[test]
fn a_rotated_pod_token() {
    let stage = at_with(AwsPlace::PodIdentity, Sandbox::builder().access_token_cap(Duration::from_secs(4)));
    stage.sandbox.rotate_pod_tokens().expect("new tokens");
    let held = hold(&stage, "");
    let file = stage.sandbox.directory().join("pod/eks-pod-identity-token");
    for _ in 0..2 {
        stage.sandbox.rotate_pod_tokens().expect("new tokens");
        let new = fs::read_to_string(&file).expect("a token");
        let shown = || crate::last(&stage, "pod-credentials");
        eventually("the new one is shown", || shown().header("authorization") == Some(new.as_str()));
        eventually("it is taken", || shown().status == Some(200));
    }
    assert!(is_live(&stage, &web::access_token(&server(&held)).0));
    let outcome = held.release(&stage);
    outcome.assert_succeeded();
    assert!(outcome.events().iter().all(|event| event.severity() == "INFO"), "{}", outcome.stderr);
    // The kubelet is late: the agent of the node knows the new token already, the file does not.
    let mut stage = at(AwsPlace::PodIdentity);
    let old = stage.directory.path().join("old");
    let file = stage.sandbox.directory().join("pod/eks-pod-identity-token");
    fs::copy(&file, &old).expect("a copy");
    stage.sandbox.rotate_pod_tokens().expect("new tokens");
    stage.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &old);
    let child = stage.command(["--", "true"]).spawn().expect("fedboot");
    eventually("it was refused", || asked(&stage, "pod-credentials") > 1);
    fs::copy(&file, &old).expect("the kubelet comes");
    stage.finish(child).assert_succeeded();
    // It never comes.
    stage.sandbox.rotate_pod_tokens().expect("new tokens");
    fails(&stage, 125, "--timeout 1 -- touch ran", &["answered 401", "InvalidTokenException", "Pod Identity"]);
}

/// Passing trouble at the start is no trouble, wherever it is.
#[test]
fn passing_trouble_at_the_start() {
    let mut rows = Vec::new();
    for (place, service, on) in [
        (AwsPlace::Ecs, Service::Container, ""),
        (AwsPlace::PodIdentity, Service::Container, ""),
        (AwsPlace::Imds, Service::Imds, "imds-token"),
        (AwsPlace::Imds, Service::Imds, "imds-role"),
        (AwsPlace::Imds, Service::Imds, "imds-credentials"),
        (AwsPlace::WebIdentity, Service::Sts, ""),
        (AwsPlace::Environment, Service::GoogleSts, ""),
        (AwsPlace::Environment, Service::IamCredentials, ACCESS),
    ] {
        for fault in [
            Fault::status(500, ""),
            Fault::status(503, "slow down"),
            Fault::status(429, ""),
            Fault::close(),
            Fault::cut_body(),
            Fault::garbage(),
            Fault::captive(),
        ] {
            let fault = if on.is_empty() { fault } else { fault.on(on) };
            rows.push((place, service, fault.times(2)));
        }
    }
    // Each is a process or two, and this machine has two cores.
    for some in rows.chunks(8) {
        side_by_side(some, |(place, service, fault)| {
            let stage = at_with(*place, Sandbox::builder().fault(*service, fault.clone()));
            let outcome = stage.run_shell(&[], "exit 0");
            assert_eq!(outcome.code(), Some(0), "{place:?} {fault:?}: {}", outcome.stderr);
            let errors = outcome.events().into_iter().filter(|event| event.severity() == "ERROR").count();
            assert_eq!(errors, 0, "{place:?} {fault:?}: {}", outcome.stderr);
        });
    }
}

/// A service that is not there yet when the container starts.
#[test]
fn late_services() {
    side_by_side(ASKED, |(place, service)| {
        let late = Duration::from_secs(1);
        let stage = at_with(place, Sandbox::builder().refuse_first(service, late));
        let start = Instant::now();
        let outcome = stage.run_shell(&[], "exit 0");
        outcome.assert_succeeded();
        assert!(start.elapsed() < late + Duration::from_secs(4), "{service:?}: {:?}", start.elapsed());
    });
}

/// Trouble that stays: within the time that was given, with what came back last, from whom.
#[test]
fn lasting_trouble_at_the_start() {
    let rows = [
        (
            AwsPlace::Ecs,
            Service::Container,
            Fault::hang(),
            &["container's AWS credentials", "gave no answer within"][..],
        ),
        (
            AwsPlace::Ecs,
            Service::Container,
            Fault::status(500, "no"),
            &["container's AWS credentials", "answered 500", " times in "],
        ),
        (AwsPlace::Imds, Service::Imds, Fault::status(500, "no"), &["instance metadata service", "answered 500"]),
        (AwsPlace::Imds, Service::Imds, Fault::close(), &["instance metadata service", "closed the connection"]),
        (AwsPlace::WebIdentity, Service::Sts, Fault::hang(), &["assume role", "gave no answer within"]),
        (AwsPlace::Environment, Service::GoogleSts, Fault::hang(), &["exchange the proof", "gave no answer within"]),
        (
            AwsPlace::Environment,
            Service::GoogleSts,
            Fault::garbage(),
            &["exchange the proof", "answered 200 without an access token"],
        ),
        (
            AwsPlace::Environment,
            Service::GoogleSts,
            Fault::captive(),
            &["exchange the proof", "answered 200 without an access token"],
        ),
        (
            AwsPlace::Environment,
            Service::GoogleSts,
            Fault::cut_body(),
            &["exchange the proof", "before the end of the body"],
        ),
        (
            AwsPlace::Environment,
            Service::GoogleSts,
            Fault::drip(Duration::from_millis(100)),
            &["exchange the proof", "gave no answer within"],
        ),
        (AwsPlace::Environment, Service::IamCredentials, Fault::hang(), &["access token", "gave no answer within"]),
        (AwsPlace::Environment, Service::IamCredentials, Fault::garbage(), &["access token", "answered 200"]),
        (
            AwsPlace::Environment,
            Service::IamCredentials,
            Fault::status(503, "no"),
            &["access token", "answered 503", " times in "],
        ),
    ];
    side_by_side(rows, |(place, service, fault, parts)| {
        let stage = at_with(place, Sandbox::builder().fault(service, fault.clone().always()));
        let start = Instant::now();
        let outcome = run(&stage, "--timeout 2 -- touch ran");
        let what = format!("{place:?} {fault:?}");
        assert_eq!(outcome.code(), Some(125), "{what}: {}", outcome.stderr);
        for part in parts {
            assert!(outcome.error().sentence().contains(part), "{what}: no {part:?} in {}", outcome.stderr);
        }
        let elapsed = start.elapsed().as_secs_f64();
        assert!((1.0..6.0).contains(&elapsed), "{what}: {elapsed} s");
        assert!(!stage.directory.path().join("ran").exists(), "{what}");
    });
}

/// Everything breaks in turn while a command runs: its clients have a live token at any time, and afterwards a new one.
#[test]
fn trouble_during_life() {
    side_by_side(ASKED, |(place, service)| {
        let builder = Sandbox::builder().access_token_cap(Duration::from_secs(5));
        let stage = at_with(place, builder);
        let held = hold(&stage, "");
        let address = server(&held);
        let live = |what: &str| {
            let reply = web::metadata(&address, "/instance/service-accounts/default/token");
            assert_eq!(reply.status, 200, "{service:?} {what}: {}", reply.body);
            let (token, _) = web::token_in(&reply);
            assert!(is_live(&stage, &token), "{service:?} {what}: a dead token");
            token
        };
        for fault in [Fault::status(500, ""), Fault::cut_body(), Fault::status(403, "{}")] {
            let what = format!("{fault:?}");
            let failing = || stage.sandbox.requests().iter().filter(|request| request.fault.is_some()).count();
            let before = failing();
            let token = live(&what);
            // IAM Credentials says what the tests' tokens are, too.
            let fault = if service == Service::IamCredentials { fault.on(ACCESS) } else { fault };
            stage.sandbox.fault(service, fault.always());
            eventually("a refresh fails", || {
                live(&what);
                failing() > before
            });
            stage.sandbox.clear_faults();
            eventually("a new one", || live(&what) != token);
        }
        held.release(&stage).assert_succeeded();
    });
}

/// A service that hangs leaves time for a second try before the end.
#[test]
fn a_service_that_hangs_during_life() {
    side_by_side([Service::GoogleSts, Service::IamCredentials], |service| {
        let stage = short_lived(6, Sandbox::builder());
        let held = hold(&stage, "");
        let address = server(&held);
        let first = web::access_token(&address).0;
        let hang = Fault::hang().on(if service == Service::GoogleSts { EXCHANGE } else { ACCESS });
        stage.sandbox.fault(service, hang);
        eventually("another one", || {
            let (token, _) = web::access_token(&address);
            assert!(is_live(&stage, &token), "{service:?}: a dead token");
            token != first
        });
        held.release(&stage).assert_succeeded();
    });
}

/// What the agent cannot renew ends; then clients are told so, and come again.
#[test]
fn a_token_that_cannot_be_renewed() {
    let stage = short_lived(3, Sandbox::builder());
    let held = hold(&stage, "--access-token-file token");
    let address = server(&held);
    let (last, _) = web::access_token(&address);
    unbound(&stage);
    let path = "/instance/service-accounts/default/token";
    let mut told = String::new();
    eventually("it ends", || {
        let reply = web::metadata(&address, path);
        if reply.status == 200 {
            assert_eq!(web::token_in(&reply).0, last);
            return false;
        }
        told = reply.body;
        true
    });
    assert!(!is_live(&stage, &last), "it was given up too early");
    assert!(told.contains("roles/iam.workloadIdentityUser") && told.contains(ACCOUNT), "{told}");
    let member = format!("principalSet://iam.googleapis.com/{POOL}/{MEMBER}");
    stage
        .sandbox
        .change(|settings| drop(settings.workload_identity_users.insert(ACCOUNT.into(), vec![member])))
        .expect("settings");
    eventually("it recovers", || web::metadata(&address, path).status == 200);
    held.release(&stage).assert_succeeded();
}

/// The command starts without a token, and finds one as soon as there is one.
#[test]
fn on_failure_run() {
    let nothing = at(AwsPlace::Imds);
    let rows = [
        ("refused", at_with(AwsPlace::Environment, Sandbox::builder().provider_account("1")), true),
        (
            "late",
            at_with(
                AwsPlace::Environment,
                Sandbox::builder().fault(Service::GoogleSts, Fault::status(503, "").always()),
            ),
            true,
        ),
        ("nowhere", nothing, false),
    ];
    side_by_side(rows, |(name, mut stage, mends)| {
        if !mends {
            stage.set("AWS_EC2_METADATA_DISABLED", "true");
        }
        let held = hold(&stage, "--on-failure run --timeout 1");
        assert_eq!(crate::variable(&held, "GOOGLE_APPLICATION_CREDENTIALS"), None, "{name}");
        let token = || web::metadata(&server(&held), "/instance/service-accounts/default/token");
        assert!([403, 503].contains(&token().status), "{name}");
        if mends {
            stage.sandbox.clear_faults();
            stage
                .sandbox
                .change(|settings| {
                    for provider in &mut settings.providers {
                        if let fedboot_sandbox::Trusts::Aws { account_id } = &mut provider.trusts {
                            *account_id = "123456789012".into();
                        }
                    }
                })
                .expect("settings");
            eventually("it has one", || token().status == 200);
        }
        let outcome = held.release(&stage);
        outcome.assert_succeeded();
        let errors: Vec<_> = outcome.events().into_iter().filter(|event| event.severity() == "ERROR").collect();
        assert!(!errors.is_empty(), "{}", outcome.stderr);
        assert_eq!(errors[0].field("consequence"), "the command starts without credentials", "{name}");
    });
    // Whatever is wrong with the file, the command runs as it would have run.
    let mut stage = simple();
    let file = stage.directory.path().join("broken.json");
    write(&file, "{");
    stage.set("FEDBOOT_EXTERNAL_ACCOUNT", &file);
    let outcome = stage.run_shell(&["--on-failure", "run"], "echo $GOOGLE_APPLICATION_CREDENTIALS; exit 7");
    assert_eq!(outcome.code(), Some(7), "{}", outcome.stderr);
    assert!(outcome.error().sentence().contains("cut short"), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("external-account.json"), "{}", outcome.stdout);
}

/// A role in between that ends and whose trust is gone: its error, and the last good token.
#[test]
fn a_role_first_during_life() {
    let demo = "arn:aws:iam::123456789012:role/fedboot-demo";
    let second = "arn:aws:iam::123456789012:role/second";
    let builder = Sandbox::builder()
        .role(Role::for_workload(demo, "system:serviceaccount:default:app"))
        .role(Role::trusting_role(second, demo, None))
        .workload_identity_user(format!("principalSet://iam.googleapis.com/{POOL}/*"))
        .access_token_cap(Duration::from_secs(4));
    let stage = at_with(AwsPlace::Ecs, builder);
    let held = hold(&stage, &format!("--assume-role-arn {second}"));
    crate::wait_for(&stage, 2, EXCHANGE);
    assert!(actions(&stage).iter().filter(|action| *action == "AssumeRole").count() >= 2, "{:?}", actions(&stage));
    assert_eq!(crate::proven(&stage).split('/').next(), Some("second"));
    stage.sandbox.fault(Service::Sts, Fault::error("AccessDenied").always());
    let before = asked(&stage, "AssumeRole");
    eventually("it is refused", || asked(&stage, "AssumeRole") > before);
    let token = web::access_token(&server(&held)).0;
    assert!(is_live(&stage, &token));
    stage.sandbox.clear_faults();
    eventually("a new one", || web::access_token(&server(&held)).0 != token);
    let outcome = held.release(&stage);
    assert!(outcome.stderr.contains("AccessDenied") && outcome.stderr.contains(second), "{}", outcome.stderr);
}

/// Whatever a server quotes of what it was sent, nothing secret of it is printed, at any level.
#[test]
fn servers_that_quote() {
    let stage = simple();
    let env = stage.sandbox.aws_env();
    let value = |name: &str| env.iter().find(|(of, _)| of == name).expect(name).1.clone();
    let (secret, session) = (value("AWS_SECRET_ACCESS_KEY"), value("AWS_SESSION_TOKEN"));
    // The secret key goes nowhere; the session token does.
    for quoted in [&session, &web::encoded(&session)] {
        stage.sandbox.fault(Service::GoogleSts, error("invalid_request", &format!("what is {quoted} for?")));
        let outcome = run(&stage, "--log-level debug --timeout 2 -- true");
        assert!(!outcome.stderr.contains(&quoted[40..80]), "a session token was printed: {}", outcome.stderr);
        stage.sandbox.clear_faults();
    }
    // The whole request, as it is and decoded.
    for decoded in [false, true] {
        let mut stage = simple();
        let address = echo(decoded);
        with_account(&mut stage, |account| account["token_url"] = format!("http://{address}/v1/token").into());
        let outcome = run(&stage, "--log-level debug --timeout 2 -- true");
        assert_eq!(outcome.code(), Some(125), "{}", outcome.stderr);
        for part in [secret.as_str(), &session[40..80], "Signature", "AWS4-HMAC"] {
            assert!(!outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
        }
    }
    // Tokens on the way, in each place, with something that fails at each step.
    side_by_side([AwsPlace::PodIdentity, AwsPlace::Imds, AwsPlace::WebIdentity], |place| {
        let builder = [Service::Container, Service::Imds, Service::Sts, Service::GoogleSts, Service::IamCredentials];
        let builder = builder
            .into_iter()
            .fold(Sandbox::builder(), |builder, service| builder.fault(service, Fault::status(500, "no").times(1)));
        let stage = at_with(place, builder);
        let outcome = run(&stage, "--log-level debug -- true");
        outcome.assert_succeeded();
        stage.assert_no_secret(&outcome.stderr);
        stage.assert_no_secret(&run(&stage, "token access --log-level debug").stderr);
    });
}

/// A server that says back what it was sent: the body, or what stands in its subject token.
fn echo(decoded: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    // It ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut bytes = Vec::new();
            let mut buffer = [0; 16 << 10];
            // A form ends with its last field.
            while !bytes.windows(14).any(|window| window == b"subject_token=") {
                match stream.read(&mut buffer) {
                    Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
                    _ => break,
                }
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let body = text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned();
            let mut said = body.clone();
            if decoded {
                let token = form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "subject_token");
                let token = token.map(|(_, token)| format!("={token}")).unwrap_or_default();
                let headers = form_urlencoded::parse(token.as_bytes()).next().map(|(_, text)| text.into_owned());
                let headers = headers.unwrap_or_default();
                // Its end, where the signature and the session token are.
                said = headers.chars().rev().take(600).collect::<String>().chars().rev().collect();
            }
            let json = serde_json::json!({"error": "invalid_grant", "error_description": said}).to_string();
            let _ = write!(stream, "HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{json}", json.len());
        }
    });
    address
}

/// Many who ask for audiences of their own while IAM Credentials hangs keep nobody else waiting for long.
#[test]
fn a_queue_that_hangs() {
    let stage = simple();
    let held = hold(&stage, "");
    let address = server(&held);
    stage.sandbox.fault(Service::IamCredentials, Fault::hang().always().on(ID));
    let mut waiting: Vec<_> = (0..40)
        .map(|number| {
            let mut stream = web::connect(&address);
            let path = format!("/instance/service-accounts/default/identity?audience=a{number}");
            stream.write_all(web::question(&address, &path).as_bytes()).expect("a request");
            stream
        })
        .collect();
    eventually("some are asked for", || asked(&stage, ID) > 4);
    let start = Instant::now();
    // The usual token is there, whatever becomes of the others.
    assert!(is_live(&stage, &web::access_token(&address).0));
    assert!(start.elapsed() < Duration::from_secs(1));
    for stream in &mut waiting {
        let reply = web::read_reply(stream).expect("an answer");
        assert_eq!(reply.status, 503, "{}", reply.body);
    }
    let waited = start.elapsed();
    assert!(waited < Duration::from_secs(12), "the last of 40 clients waited for {waited:?}");
    stage.sandbox.clear_faults();
    assert_eq!(web::identity(&address, "new").status, 200);
    held.release(&stage).assert_succeeded();
}
