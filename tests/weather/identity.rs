//! Who am I here? Metadata server, token file, impersonation, in all weathers.

use std::fs;
use std::time::Duration;

use fedboot_sandbox::{Fault, Sandbox, Service};

use crate::common::{Event, Stage, write};
use crate::{ASSUME_ROLE, IDENTITY, NOBODY, asked, delivers, refused, side_by_side};

const AUDIENCE: &str = "sts.amazonaws.com";
const PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/identity";

#[test]
fn no_metadata_server() {
    let mut stage = Stage::new();
    stage.set("GCE_METADATA_HOST", NOBODY);
    let url = format!("http://{NOBODY}{PATH}");
    refused(
        &stage,
        &["--timeout", "1"],
        &["cannot mint a Google ID token", &url, "connection refused", " times in ", "--google-token-file"],
    );
}

#[test]
fn no_service_account() {
    let stage = Stage::with(Sandbox::builder().no_service_account());
    let url = format!("http://{}{PATH}", stage.sandbox.metadata_host());
    refused(&stage, &[], &["cannot mint a Google ID token", &url, "404", "no service account", "attach one"]);
    assert_eq!(asked(&stage, IDENTITY), 1, "it does not go away by itself");
}

/// What stays wrong for as long as the command waits.
#[test]
fn metadata_weather_that_lasts() {
    let rows = [
        (Fault::status(400, "no audience"), 1, &["answered 400", "no audience"][..]),
        (Fault::status(403, "missing header"), 0, &["answered 403", "missing header", " times in "]),
        (Fault::status(404, "Not Found\n"), 0, &["answered 404", "Not Found", " times in "]),
        (Fault::captive(), 1, &["answered 200", "text/html", "not Google's metadata server"]),
        (
            Fault::redirect("https://login.invalid/?next=x"),
            1,
            &["answered 302", "https://login.invalid/", "not Google's metadata server"],
        ),
        (Fault::garbage(), 0, &["answered 200", "is no JWT", " times in "]),
        (Fault::status(200, ""), 0, &["answered 200", "is empty", " times in "]),
        (Fault::status(503, "starting"), 0, &["answered 503", "starting", " times in "]),
        (Fault::status(429, ""), 0, &["answered 429", " times in "]),
        (Fault::close(), 0, &["closed the connection without an answer", " times in "]),
        (Fault::cut_body(), 0, &["closed the connection before the end", " times in "]),
        (Fault::hang(), 1, &["gave no answer within 1.0 s"]),
    ];
    side_by_side(rows, |(fault, tries, parts)| {
        let stage = Stage::with(Sandbox::builder().fault(Service::Metadata, fault.clone().always()));
        let url = format!("http://{}{PATH}", stage.sandbox.metadata_host());
        let outcome = refused(&stage, &["--timeout", "1"], &["cannot mint a Google ID token", &url]);
        let error = outcome.error();
        for part in parts {
            assert!(error.sentence().contains(part), "{fault:?}: no {part:?} in {}", error.sentence());
        }
        assert!(!error.sentence().contains("next=x"), "a query may hold a secret: {}", error.sentence());
        match tries {
            0 => assert_eq!(error.field("attempts"), asked(&stage, IDENTITY).to_string(), "{fault:?}"),
            tries => assert_eq!(asked(&stage, IDENTITY), tries, "{fault:?}"),
        }
        assert_eq!(asked(&stage, ASSUME_ROLE), 0, "{fault:?}");
    });
}

/// What GKE's server says where the binding is missing, as users report it
/// (<https://github.com/camunda/camunda/issues/31106>, <https://github.com/kubernetes-sigs/external-dns/issues/2064>).
const UNBOUND: &str = "Unable to generate identity token; IAM returned 403 Forbidden: Permission \
    'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist).\n\
    This error could be caused by a missing IAM policy binding on the target IAM service account.\n\
    For more information, refer to the Workload Identity documentation:\n\
    \thttps://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity#authenticating_to\n\n";

/// A pod's server that goes on refusing is believed after ten seconds, and said to the end, with what to do.
#[test]
fn a_binding_that_is_missing() {
    let email = "reader@other-project.iam.gserviceaccount.com";
    let rows = [
        (403, UNBOUND, vec![], &["workload-identity#authenticating_to", "roles/iam.workloadIdentityUser"][..]),
        (
            403,
            UNBOUND,
            vec!["--impersonate-service-account", email],
            &["cannot get a Google access token", "#authenticating_to", "iam.gke.io/gcp-service-account"],
        ),
        (404, "Not Found\n", vec![], &["answered 404", "Not Found", "no service account is attached"]),
    ];
    side_by_side(rows, |(status, body, options, parts)| {
        let fault = Fault::status(status, body).always();
        let stage = Stage::with(Sandbox::builder().impersonable(email).fault(Service::Metadata, fault));
        let started = std::time::Instant::now();
        let outcome = refused(&stage, &options, parts);
        assert!((10..25).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
        assert!(outcome.error().sentence().contains(" times in "), "{}", outcome.stderr);
    });
}

/// Facts come late as tokens do.
#[test]
fn facts_of_a_pod_that_has_just_begun() {
    let email = "reader@other-project.iam.gserviceaccount.com";
    let rows = [("{project}", "project/project-id"), ("{instance_name}", "instance/name")];
    side_by_side(rows, |(name, path)| {
        let late = Fault::status(404, "Not Found\n").on(path).times(2);
        let stage = Stage::with(Sandbox::builder().impersonable(email).fault(Service::Metadata, late));
        delivers(&stage, &["--impersonate-service-account", email, "--role-session-name", name]);
        let asked = stage.sandbox.requests().iter().filter(|request| request.path.ends_with(path)).count();
        assert_eq!(asked, 3, "{name}");
    });
}

/// What passes is waited for; one warning says so.
#[test]
fn metadata_weather_that_passes() {
    let rows = [
        (Fault::status(500, "oops").times(3), 4),
        (Fault::status(404, "Not Found\n").times(3), 4),
        (Fault::status(403, UNBOUND).times(3), 4),
        (Fault::status(503, ""), 2),
        (Fault::garbage(), 2),
        (Fault::close(), 2),
        (Fault::cut_body(), 2),
        (Fault::drip(Duration::from_millis(1)), 1),
        (Fault::delay(Duration::from_secs(2)), 1),
    ];
    side_by_side(rows, |(fault, requests)| {
        let stage = Stage::with(Sandbox::builder().fault(Service::Metadata, fault.clone()));
        let outcome = delivers(&stage, &[]);
        assert_eq!(asked(&stage, IDENTITY), requests, "{fault:?}");
        let is_failure = |event: &&Event| event.severity() == "WARNING" && !event.field("reason").is_empty();
        let warnings = outcome.events().iter().filter(is_failure).count();
        assert_eq!(warnings, usize::from(requests > 1), "{fault:?}: {}", outcome.stderr);
    });
}

#[test]
fn metadata_server_that_hangs_once() {
    let stage = Stage::with(Sandbox::builder().fault(Service::Metadata, Fault::hang()));
    delivers(&stage, &[]);
    assert_eq!(asked(&stage, IDENTITY), 2);
}

#[test]
fn metadata_server_three_seconds_late() {
    let stage = Stage::with(Sandbox::builder().refuse_first(Service::Metadata, Duration::from_secs(3)));
    delivers(&stage, &[]);
}

#[test]
fn metadata_server_three_seconds_late_and_the_role_in_it() {
    let sandbox = Sandbox::builder().refuse_first(Service::Metadata, Duration::from_secs(3));
    let role = "arn:aws:iam::123456789012:role/fedboot-demo";
    let mut stage = Stage::with(sandbox.attribute("fedboot-role-arn", role));
    stage.unset("FEDBOOT_ROLE_ARN");
    delivers(&stage, &[]);
}

#[test]
fn attributes_of_a_pod_that_has_just_begun() {
    let late = Fault::status(404, "Not Found\n").on("instance/attributes").times(2);
    let role = "arn:aws:iam::123456789012:role/fedboot-demo";
    let builder = Sandbox::builder().fault(Service::Metadata, late).attribute("fedboot-role-arn", role);
    let mut stage = Stage::with(builder);
    stage.unset("FEDBOOT_ROLE_ARN");
    delivers(&stage, &[]);
}

#[test]
fn token_files_without_a_token() {
    let stage = Stage::new();
    let file = stage.directory.path().join("token");
    let path = file.display().to_string();
    let row = |parts: &[&str]| {
        let outcome = refused(&stage, &["--google-token-file", &path], &["cannot read the Google ID token", &path]);
        let error = outcome.error();
        for part in parts.iter().chain(&["--google-token-file must name"]) {
            assert!(error.sentence().contains(part), "no {part:?} in {}", error.sentence());
        }
        error.sentence().to_owned()
    };
    row(&["no such file or directory"]);
    fs::create_dir(&file).expect("a directory");
    row(&["is a directory"]);
    fs::remove_dir(&file).expect("removed");
    let large = vec![b'.'; 5 << 20];
    for (content, part) in [
        (&b""[..], "is empty"),
        (b" \n", "is empty"),
        (b"hunter2", "three parts"),
        (b"hunter2.hunter2.hunter2", "is no "),
        (b"\xff\xfe\x00.a.b", "is no JWT"),
        (large.as_slice(), "too large"),
    ] {
        write(&file, content);
        let message = row(&[part]);
        assert!(!message.contains("hunter2"), "part of a token was printed: {message}");
    }
    assert!(stage.sandbox.requests_to(Service::Metadata).is_empty());
    assert_eq!(asked(&stage, ASSUME_ROLE), 0);
}

#[test]
fn token_file() {
    let stage = Stage::new();
    let token = stage.sandbox.id_token(AUDIENCE);
    for content in [token.clone(), format!("{token}\n"), format!("\r\n {token}\r\n")] {
        write(&stage.directory.path().join("token"), content);
        delivers(&stage, &["--google-token-file", "token"]);
        let last = stage.sandbox.requests_to(Service::Sts).pop().expect("a request");
        assert_eq!(last.param("WebIdentityToken"), Some(token.as_str()));
    }
    assert!(stage.sandbox.requests_to(Service::Metadata).is_empty());
}

#[test]
fn impersonation() {
    let email = "reader@other-project.iam.gserviceaccount.com";
    let stage = Stage::with(Sandbox::builder().impersonable(email));
    delivers(&stage, &["--impersonate-service-account", email]);
    let actions: Vec<_> = stage.sandbox.requests().into_iter().map(|request| request.action).collect();
    assert_eq!(actions, ["token", "generateIdToken", ASSUME_ROLE]);
    let minted = &stage.sandbox.requests_to(Service::IamCredentials)[0];
    assert_eq!((minted.param("audience"), minted.param("includeEmail")), (Some(AUDIENCE), Some("true")));
    assert!(minted.tls && minted.query.is_empty());
    let issued = stage.sandbox.issued().pop().expect("credentials");
    assert_eq!(issued.subject, stage.sandbox.settings().impersonable[0].unique_id);
}

#[test]
fn impersonation_in_bad_weather() {
    let email = "reader@other-project.iam.gserviceaccount.com";
    let options = ["--impersonate-service-account", email, "--timeout", "2"];
    // Not impersonable: the service's own refusal.
    let stage = Stage::new();
    let url = format!("{}/v1/projects/-/serviceAccounts/{email}:generateIdToken", stage.sandbox.iam_credentials_url());
    let step = format!("cannot mint an ID token of {email}");
    let advice = format!("gcloud iam service-accounts add-iam-policy-binding {email}");
    let role = "--role roles/iam.serviceAccountTokenCreator";
    refused(&stage, &options, &[&step, &url, "403", "iam.serviceAccounts.getOpenIdToken", &advice, role]);
    for (fault, parts) in [
        (Fault::error("NOT_FOUND"), &["404", "check its address in --impersonate-service-account"][..]),
        (Fault::error("UNAUTHENTICATED"), &["401", "still exists"]),
        (Fault::captive(), &["answered 200", "holds no token", " times in "]),
        (Fault::redirect("https://login.invalid/"), &["302", "https://login.invalid/", "not followed with a token"]),
        (Fault::status(500, "oops"), &["answered 500", "oops", " times in "]),
    ] {
        let stage = Stage::with(Sandbox::builder().impersonable(email).fault(Service::IamCredentials, fault.always()));
        refused(&stage, &options, parts);
        assert_eq!(asked(&stage, ASSUME_ROLE), 0);
    }
    for fault in [Fault::error("UNAVAILABLE").times(2), Fault::cut_body(), Fault::error("RESOURCE_EXHAUSTED")] {
        let stage = Stage::with(Sandbox::builder().impersonable(email).fault(Service::IamCredentials, fault));
        delivers(&stage, &options[..2]);
    }
    let stage = Stage::with(Sandbox::builder().impersonable(email).no_service_account());
    refused(&stage, &options, &["cannot get a Google access token", "404", "no service account"]);
}
