//! The metadata server: what it answers to each client, to whom it does not, and what a token costs.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use fedboot_sandbox::{AwsPlace, Effect, Fault, Sandbox, Service};
use serde_json::{Value, json};

use crate::common::{asked, eventually};
use crate::side_by_side;
use crate::web::{self, ROOT, Reply};
use crate::{
    ACCESS, ACCOUNT, CLOUD_PLATFORM, EXCHANGE, ID, STORAGE, at_with, cost, hold, info, is_live, last, server,
    short_lived, simple, with_account, without_account,
};

const SA: &str = "/instance/service-accounts";
const SERVICE: &str = "https://service.example/a?b=c";

fn audience_of(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let proof = fedboot::format::jwt::decode(&reply.body).unwrap_or_else(|why| panic!("{why}: {}", reply.body));
    proof.claims.aud.join(" ")
}

/// Path, status, content type, body. `…/token` and `…/identity` have tables of their own.
#[test]
fn paths() {
    let stage = simple();
    let held = hold(
        &stage,
        "--scope https://www.googleapis.com/auth/cloud-platform --scope https://www.googleapis.com/auth/drive",
    );
    let address = server(&held);
    let (text, as_json) = ("application/text", "application/json");
    let drive = "https://www.googleapis.com/auth/drive";
    let account = json!({"aliases": ["default"], "email": ACCOUNT, "scopes": [CLOUD_PLATFORM, drive]});
    let account_text = account.to_string();
    let scopes = format!("{CLOUD_PLATFORM}\n{drive}\n");
    let listed = format!("default/\n{ACCOUNT}/\n");
    let by_email = format!("{SA}/{ACCOUNT}/email");
    let by_escaped = format!("{SA}/{}/email", web::encoded(ACCOUNT));
    let whole = format!("{SA}/{ACCOUNT}/?recursive=true");
    let rows: Vec<(&str, u16, &str, &str)> = vec![
        // Node's probe, and what the others ask about the project.
        ("/instance", 200, text, "*"),
        ("/instance/", 200, text, "*"),
        ("", 200, text, "instance/\nproject/\nuniverse/\n"),
        ("/", 200, text, "instance/\nproject/\nuniverse/\n"),
        ("/project/project-id", 200, text, "demo-project"),
        ("/project/numeric-project-id", 200, text, "739419398126"),
        ("/project/attributes/", 200, text, ""),
        ("/project/attributes/fedboot-role-arn", 404, text, "*"),
        ("/instance/attributes/", 200, text, ""),
        ("/universe/universe-domain", 200, text, "googleapis.com"),
        ("/universe/universe_domain", 200, text, "googleapis.com"),
        ("/universe/", 200, text, "*"),
        // The accounts.
        (SA, 200, text, &listed),
        ("/instance/service-accounts/", 200, text, &listed),
        ("/instance/service-accounts/default", 200, text, "aliases\nemail\nscopes\n"),
        ("/instance/service-accounts/default/", 200, text, "aliases\nemail\nscopes\n"),
        ("/instance/service-accounts/default/email", 200, text, ACCOUNT),
        ("/instance/service-accounts/default/scopes", 200, text, &scopes),
        ("/instance/service-accounts/default/aliases", 200, text, "default\n"),
        (&by_email, 200, text, ACCOUNT),
        (&by_escaped, 200, text, ACCOUNT),
        ("/instance/service-accounts/default/?recursive=true", 200, as_json, &account_text),
        ("/instance/service-accounts/default/?recursive=True", 200, as_json, &account_text),
        ("/instance/service-accounts/default?recursive=true&alt=json", 200, as_json, &account_text),
        (&whole, 200, as_json, &account_text),
        (
            "/instance/service-accounts/default/email?alt=json",
            200,
            as_json,
            "\"worker@demo-project.iam.gserviceaccount.com\"",
        ),
        ("/project/project-id?alt=json", 200, as_json, "\"demo-project\""),
        ("/project/numeric-project-id?alt=json", 200, as_json, "739419398126"),
        ("/project/project-id?alt=text", 200, text, "demo-project"),
        ("/project/project-id?recursive=true", 200, text, "demo-project"),
        (
            "/project/?recursive=true",
            200,
            as_json,
            r#"{"attributes":{},"numericProjectId":739419398126,"projectId":"demo-project"}"#,
        ),
        ("/project/?recursive=true&alt=text", 200, text, "numeric-project-id 739419398126\nproject-id demo-project\n"),
        ("/instance/service-accounts/default/scopes?alt=json", 200, as_json, "*"),
        // What is not known here.
        ("/instance/zone", 404, text, "*"),
        ("/instance/service-accounts/other@demo-project.iam.gserviceaccount.com/", 404, text, "*"),
        ("/instance/service-accounts/other@demo-project.iam.gserviceaccount.com/token", 404, text, "*"),
        ("/instance/service-accounts/other@demo-project.iam.gserviceaccount.com/identity?audience=a", 404, text, "*"),
        ("/instance/service-accounts/default/nothing", 404, text, "*"),
        ("/instance/service-accounts/default/email/x", 404, text, "*"),
        ("/instance/service-accounts/default/token/x", 404, text, "*"),
        ("/nothing", 404, text, "*"),
        ("/../v1/project/project-id", 404, text, "*"),
        ("/instance/attributes/x%2F..%2F..", 404, text, "*"),
    ];
    for (path, status, kind, body) in rows {
        let reply = web::metadata(&address, path);
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
        assert_eq!(reply.header("metadata-flavor"), "Google", "{path}");
        assert!(reply.header("content-type").starts_with(kind), "{path}: {}", reply.header("content-type"));
        assert_eq!(reply.header("access-control-allow-origin"), "", "{path}");
        if body != "*" {
            assert_eq!(reply.body, body, "{path}");
        }
        assert!(status == 200 || reply.body.len() < 40, "Node takes it for a value: {}", reply.body);
    }
    let all = web::metadata(&address, "/?recursive=true").json();
    assert_eq!(all["instance"]["serviceAccounts"]["default"], account, "{all}");
    assert_eq!(all["universe"]["universeDomain"], "googleapis.com", "{all}");
    // The probes at the root: by Python, Java and gcloud with the header, by others without.
    for headers in [&[][..], &[("Metadata-Flavor", "Google")]] {
        for path in ["/", "/?x=y"] {
            let reply = web::get(&address, path, headers);
            assert_eq!((reply.status, reply.header("metadata-flavor").as_str()), (200, "Google"), "{path}");
        }
    }
    assert_eq!(web::get(&address, "/computeMetadata/", &[("Metadata-Flavor", "Google")]).body, "v1/\n");
    assert_eq!(web::get(&address, "/latest/meta-data/", &[("Metadata-Flavor", "Google")]).status, 404);
    assert_eq!(cost(&stage), [1, 1, 0], "what is known costs nothing");
    held.release(&stage).assert_succeeded();
}

/// Headers and methods: who is answered at all.
#[test]
fn who_is_answered() {
    type Row<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, u16);
    let stage = simple();
    let held = hold(&stage, "");
    let address = server(&held);
    let port = address.rsplit_once(':').expect("a port").1;
    let host = |name: &str| format!("{name}:{port}");
    let token = format!("{ROOT}{SA}/default/token");
    let flavor = ("Metadata-Flavor", "Google");
    let ok = ("Host", address.as_str());
    let (evil, loopback, upper, six) = (host("evil.example"), host("localhost"), host("LOCALHOST"), host("[::1]"));
    let rooted = host("metadata.google.internal.");
    let (rebound, user, any) = (host("127.0.0.1.evil.example"), host("x@127.0.0.1"), host("0.0.0.0"));
    let rows: Vec<Row> = vec![
        ("as Go asks", "GET", vec![ok, ("User-Agent", "gcloud-golang/0.1"), flavor, ("Accept-Encoding", "gzip")], 200),
        (
            "as Python asks",
            "GET",
            vec![
                ok,
                ("metadata-flavor", "Google"),
                ("x-goog-api-client", "gl-python/3.12 auth/2.63.0 auth-request-type/at cred-type/mds"),
            ],
            200,
        ),
        (
            "as Java asks",
            "GET",
            vec![
                flavor,
                ("Accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"),
                ("Connection", "keep-alive"),
                ok,
            ],
            200,
        ),
        ("localhost", "GET", vec![("Host", &loopback), flavor], 200),
        ("LOCALHOST", "GET", vec![("Host", &upper), flavor], 200),
        ("IPv6", "GET", vec![("Host", &six), flavor], 200),
        ("no port", "GET", vec![("Host", "127.0.0.1"), flavor], 200),
        ("no flavor", "GET", vec![ok], 403),
        ("another flavor", "GET", vec![ok, ("Metadata-Flavor", "Amazon")], 403),
        ("an empty flavor", "GET", vec![ok, ("Metadata-Flavor", "")], 403),
        ("forwarded", "GET", vec![ok, flavor, ("X-Forwarded-For", "10.0.0.1")], 403),
        ("forwarded from nowhere", "GET", vec![ok, flavor, ("x-forwarded-for", "")], 403),
        ("an origin", "GET", vec![ok, flavor, ("Origin", "http://evil.example")], 403),
        ("a null origin", "GET", vec![ok, flavor, ("Origin", "null")], 403),
        ("another host", "GET", vec![("Host", &evil), flavor], 403),
        ("a rebound host", "GET", vec![("Host", &rebound), flavor], 403),
        ("a user", "GET", vec![("Host", &user), flavor], 403),
        ("any address", "GET", vec![("Host", &any), flavor], 403),
        ("the server's name", "GET", vec![("Host", "metadata.google.internal"), flavor], 200),
        ("in capitals", "GET", vec![("Host", "Metadata.Google.INTERNAL"), flavor], 200),
        ("with a port", "GET", vec![("Host", "metadata.google.internal:80"), flavor], 200),
        ("to the root", "GET", vec![("Host", "metadata.google.internal."), flavor], 200),
        ("to the root with a port", "GET", vec![("Host", &rooted), flavor], 200),
        ("its short name", "GET", vec![("Host", "metadata"), flavor], 200),
        ("its short name with a port", "GET", vec![("Host", "metadata:80"), flavor], 200),
        ("its address", "GET", vec![("Host", "169.254.169.254"), flavor], 200),
        ("its address with a port", "GET", vec![("Host", "169.254.169.254:80"), flavor], 200),
        ("its name without a flavor", "GET", vec![("Host", "metadata.google.internal")], 403),
        ("its name with an origin", "GET", vec![("Host", "metadata"), flavor, ("Origin", "http://metadata")], 403),
        ("a name below it", "GET", vec![("Host", "x.metadata.google.internal"), flavor], 403),
        ("a name beside it", "GET", vec![("Host", "metadata.google.internal.evil.example"), flavor], 403),
        ("two roots", "GET", vec![("Host", "metadata.google.internal.."), flavor], 403),
        ("no port behind a colon and a word", "GET", vec![("Host", "metadata:x"), flavor], 403),
        ("the short name's root", "GET", vec![("Host", "metadata."), flavor], 403),
        ("a word like it", "GET", vec![("Host", "metadata2"), flavor], 403),
        ("the domain", "GET", vec![("Host", "google.internal"), flavor], 403),
        ("the address as a number", "GET", vec![("Host", "2852039166"), flavor], 403),
        ("an address beside it", "GET", vec![("Host", "169.254.169.253"), flavor], 403),
        ("the address as a name", "GET", vec![("Host", "169.254.169.254.evil.example"), flavor], 403),
        ("AWS's name", "GET", vec![("Host", "instance-data"), flavor], 403),
        ("no host", "GET", vec![flavor], 403),
        ("two hosts", "GET", vec![ok, ("Host", "evil.example"), flavor], 403),
        ("POST", "POST", vec![ok, flavor], 405),
        ("PUT", "PUT", vec![ok, flavor], 405),
        ("DELETE", "DELETE", vec![ok, flavor], 405),
        ("OPTIONS", "OPTIONS", vec![ok, flavor, ("Access-Control-Request-Headers", "metadata-flavor")], 405),
        (
            "OPTIONS of a browser",
            "OPTIONS",
            vec![ok, ("Origin", "http://evil.example"), ("Access-Control-Request-Headers", "metadata-flavor")],
            403,
        ),
        ("TRACE", "TRACE", vec![ok, flavor], 405),
        ("one of its own", "FETCH", vec![ok, flavor], 405),
    ];
    for (name, method, headers, status) in rows {
        let reply =
            web::send(&address, web::request(method, &token, &headers)).unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(reply.status, status, "{name}: {}", reply.body);
        assert_eq!(reply.header("metadata-flavor"), "Google", "{name}");
        assert_eq!(reply.body.contains("access_token"), status == 200, "{name}: {}", reply.body);
        assert_eq!(reply.header("access-control-allow-origin"), "", "{name}");
    }
    // The root is no exception where it is about browsers.
    for headers in [&[("Host", evil.as_str())][..], &[ok, ("Origin", "null")], &[ok, ("X-Forwarded-For", "1")]] {
        assert_eq!(
            web::send(&address, web::request("GET", "/", headers)).map(|reply| reply.status),
            Some(403),
            "{headers:?}"
        );
    }
    // By RFC 9112 the host of an absolute target counts.
    let absolute =
        |host: &str| web::send(&address, web::request("GET", &format!("http://{host}{token}"), &[ok, flavor]));
    assert_eq!(absolute(&address).map(|reply| reply.status), Some(200));
    assert_eq!(absolute("metadata.google.internal").map(|reply| reply.status), Some(200));
    assert!(absolute("evil.example").is_none_or(|reply| reply.status >= 400));
    held.release(&stage).assert_succeeded();
}

/// Access tokens for scopes as each client writes them, and what they cost. The sandbox says which scopes a token has.
#[test]
fn scopes() {
    let stage = simple();
    let held = hold(&stage, "");
    let address = server(&held);
    let bigquery = "https://www.googleapis.com/auth/bigquery";
    let (sql, storage) = (web::encoded(bigquery), web::encoded(STORAGE));
    let platform = web::encoded(CLOUD_PLATFORM);
    let usual = web::access_token(&address).0;
    for (query, wanted, new) in [
        (String::new(), vec![CLOUD_PLATFORM], 0),
        ("?scopes=".into(), vec![CLOUD_PLATFORM], 0),
        (format!("?scopes={platform}"), vec![CLOUD_PLATFORM], 0),
        (format!("?scopes={CLOUD_PLATFORM}"), vec![CLOUD_PLATFORM], 0),
        (format!("?scopes={platform}%2C{platform}"), vec![CLOUD_PLATFORM], 0),
        (format!("?scopes={storage}"), vec![STORAGE], 1),
        (format!("?scopes={STORAGE}"), vec![STORAGE], 0),
        (format!("?scopes={sql}%2C{storage}"), vec![bigquery, STORAGE], 1),
        (format!("?scopes={storage},{sql}"), vec![bigquery, STORAGE], 0),
        (format!("?scopes={STORAGE},{bigquery}"), vec![bigquery, STORAGE], 0),
        (format!("?scopes={STORAGE}%20{bigquery}"), vec![bigquery, STORAGE], 0),
        (format!("?scopes={STORAGE}+{bigquery}"), vec![bigquery, STORAGE], 0),
        (format!("?alt=json&scopes={STORAGE}"), vec![STORAGE], 0),
        (format!("?scopes={STORAGE},"), vec![STORAGE], 0),
    ] {
        for account in ["default", ACCOUNT] {
            let before = asked(&stage, ACCESS);
            let reply = web::metadata(&address, &format!("{SA}/{account}/token{query}"));
            assert_eq!(reply.status, 200, "{query}: {}", reply.body);
            assert!(reply.header("content-type").starts_with("application/json"));
            assert_eq!(reply.json()["token_type"], "Bearer");
            let (token, left) = web::token_in(&reply);
            assert!((3500..=3600).contains(&left), "{query}: {left}");
            let new = if account == "default" { new } else { 0 };
            assert_eq!(asked(&stage, ACCESS) - before, new, "{query} of {account}");
            let said = info(&stage, &token);
            let mut scopes: Vec<_> = said["scope"].as_str().expect("scopes").split(' ').collect();
            scopes.sort_unstable();
            assert_eq!((scopes, said["email"].as_str()), (wanted.clone(), Some(ACCOUNT)), "{query}");
            assert_eq!(token == usual, wanted == [CLOUD_PLATFORM], "{query}");
        }
    }
    assert_eq!(asked(&stage, EXCHANGE), 1, "one federated token serves them all");
    // What Google refuses, it refuses in its own words, and the others are as they were.
    stage.sandbox.fault(Service::IamCredentials, Fault::error("INVALID_ARGUMENT").on(ACCESS));
    let reply = web::metadata(&address, &format!("{SA}/default/token?scopes=nonsense"));
    assert_eq!(reply.status, 403, "{}", reply.body);
    for part in ["fedboot: ", "access token", ACCOUNT, "answered 400"] {
        assert!(reply.body.contains(part), "no {part} in {}", reply.body);
    }
    assert_eq!(web::access_token(&address).0, usual);
    held.release(&stage).assert_succeeded();
}

/// ID tokens for audiences as each client writes them.
#[test]
fn audiences() {
    let stage = simple();
    let held = hold(&stage, "");
    let address = server(&held);
    let encoded = web::encoded(SERVICE);
    let spaced = "a b+c&d/ä";
    for (name, query, wanted, new) in [
        ("Python, Go", format!("audience={encoded}&format=full"), SERVICE, 1),
        ("Node, raw", format!("format=full&audience={SERVICE}"), SERVICE, 0),
        ("Java", "audience=https://service.example/a?b%3Dc".into(), SERVICE, 0),
        ("Java with options", "format=full&licenses=TRUE&audience=https://service.example/a?b%3Dc".into(), SERVICE, 0),
        (
            "gcloud",
            "audience=32555940559.apps.googleusercontent.com&format=standard&licenses=FALSE".into(),
            "32555940559.apps.googleusercontent.com",
            1,
        ),
        ("gcloud, raw", format!("audience={SERVICE}&format=standard&licenses=FALSE"), SERVICE, 0),
        ("odd", format!("audience={}", web::encoded(spaced)), spaced, 1),
        ("letters matter", "audience=https://SERVICE.example/a?b=c".into(), "https://SERVICE.example/a?b=c", 1),
        ("a slash more", "audience=https://service.example/".into(), "https://service.example/", 1),
        ("a slash less", "audience=https://service.example".into(), "https://service.example", 1),
        ("long", format!("audience={}", "x".repeat(6000)), &"x".repeat(6000), 1),
    ] {
        for account in ["default", ACCOUNT] {
            let before = asked(&stage, ID);
            let reply = web::metadata(&address, &format!("{SA}/{account}/identity?{query}"));
            assert_eq!(audience_of(&reply), wanted, "{name}");
            let claims = fedboot::format::jwt::decode(&reply.body).map(|proof| proof.claims).expect("claims");
            assert_eq!(claims.email.as_deref(), Some(ACCOUNT), "{name}");
            assert!(
                !reply.body.contains('\n') && reply.header("content-type").starts_with("application/text"),
                "{name}"
            );
            let new = if account == "default" { new } else { 0 };
            assert_eq!(asked(&stage, ID) - before, new, "{name} of {account}");
        }
    }
    assert_eq!(asked(&stage, EXCHANGE), 1);
    for query in ["", "?format=full", "?audience=", "?audience=&format=full", "?Audience=x"] {
        let reply = web::metadata(&address, &format!("{SA}/default/identity{query}"));
        assert_eq!(
            (reply.status, reply.header("metadata-flavor").as_str()),
            (400, "Google"),
            "{query}: {}",
            reply.body
        );
        assert!(reply.body.contains("audience"), "{}", reply.body);
    }
    held.release(&stage).assert_succeeded();
}

/// Without a service account there are access tokens, the pool's own, and no ID tokens.
#[test]
fn without_a_service_account() {
    let mut stage = simple();
    without_account(&mut stage);
    let held = hold(&stage, "");
    let address = server(&held);
    let (token, left) = web::access_token(&address);
    assert!((3500..=3600).contains(&left), "{left}");
    let said = info(&stage, &token);
    assert!(
        said["sub"]
            .as_str()
            .is_some_and(|sub| sub.starts_with("principal://") && sub.contains(":assumed-role/fedboot-demo/")),
        "{said}"
    );
    assert_eq!(cost(&stage), [1, 0, 0]);
    // Other scopes are another exchange.
    let reply = web::metadata(&address, &format!("{SA}/default/token?scopes={STORAGE}"));
    assert_eq!(info(&stage, &web::token_in(&reply).0)["scope"], STORAGE);
    assert_eq!(cost(&stage), [2, 0, 0]);
    let reply = web::identity(&address, SERVICE);
    assert_eq!(reply.status, 403, "{}", reply.body);
    for part in ["only service accounts have ID tokens", "--impersonate-service-account"] {
        assert!(reply.body.contains(part), "no {part} in {}", reply.body);
    }
    // Clients want something that looks like an address; Google names pools so.
    let email = web::metadata(&address, &format!("{SA}/default/email")).body;
    assert_eq!(email, "aws-pool.global.739419398126.workload.id.goog");
    assert_eq!(web::metadata(&address, &format!("{SA}/{email}/token")).status, 200);
    assert_eq!(web::metadata(&address, &format!("{SA}/default/?recursive=true")).json()["email"], email);
    // gcloud refuses to do anything where this is no 200.
    assert_eq!(web::metadata(&address, "/project/project-id").body, "739419398126");
    held.release(&stage).assert_succeeded();
}

/// What is told of the project: option, variables, the file's quota project, the account's own, the pool's number.
#[test]
fn the_project() {
    for (flags, variables, quota, expected) in [
        ("--project a", &[("GOOGLE_CLOUD_PROJECT", "b")][..], Some("q"), "a"),
        ("", &[("GOOGLE_CLOUD_PROJECT", "b"), ("GCLOUD_PROJECT", "c")], Some("q"), "b"),
        ("", &[("GCLOUD_PROJECT", "c"), ("CLOUDSDK_CORE_PROJECT", "d")], None, "c"),
        ("", &[("CLOUDSDK_CORE_PROJECT", "d")], None, "d"),
        ("", &[("FEDBOOT_PROJECT", "e"), ("CLOUDSDK_CORE_PROJECT", "d")], None, "e"),
        ("", &[], Some("q"), "q"),
        ("", &[], None, "demo-project"),
    ] {
        let mut stage = simple();
        with_account(&mut stage, |account| account["quota_project_id"] = quota.into());
        for (name, value) in variables {
            stage.set(name, value);
        }
        let held = hold(&stage, flags);
        assert_eq!(web::metadata(&server(&held), "/project/project-id").body, expected, "{flags} {variables:?}");
        held.release(&stage).assert_succeeded();
    }
    let mut stage = simple();
    with_account(&mut stage, |account| account["universe_domain"] = "example.cloud".into());
    let held = hold(&stage, "");
    assert_eq!(web::metadata(&server(&held), "/universe/universe-domain").body, "example.cloud");
    held.release(&stage).assert_succeeded();
}

/// Who waits for a change that never comes is answered all the same.
#[test]
fn waiting_for_a_change() {
    let stage = simple();
    let held = hold(&stage, "");
    let start = Instant::now();
    let path = "/instance/?recursive=true&wait_for_change=true&timeout_sec=1&last_etag=0";
    assert_eq!(web::metadata(&server(&held), path).status, 200);
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&start.elapsed()), "{:?}", start.elapsed());
    held.release(&stage).assert_succeeded();
}

/// The usual token is renewed at half its life, by the agent, and clients never see one that has ended.
#[test]
fn kept_fresh() {
    let stage = short_lived(4, Sandbox::builder());
    let held = hold(&stage, "");
    let address = server(&held);
    let mut seen: Vec<String> = Vec::new();
    let start = Instant::now();
    eventually("three tokens in turn", || {
        let (token, left) = web::access_token(&address);
        assert!(is_live(&stage, &token), "a dead token, said to live for {left} s");
        assert!(left <= 5, "{left}");
        if seen.last() != Some(&token) {
            seen.push(token);
        }
        seen.len() == 3
    });
    assert!(start.elapsed() > Duration::from_secs(2), "much too often: {:?}", start.elapsed());
    let outcome = held.release(&stage);
    let messages: Vec<_> = outcome.events().iter().map(|event| event.message().to_owned()).collect();
    assert_eq!(messages[..2], ["Google credentials are ready", "Google credentials are refreshed"], "{messages:?}");
    for event in outcome.events() {
        assert!(event.field("next_refresh") <= event.field("expiration"), "{}", outcome.stderr);
        assert_eq!(event.field("service_account"), ACCOUNT);
    }
}

/// Tokens that only some ask for: renewed in the background when somebody asks for an old one.
#[test]
fn others_are_renewed_when_asked_for() {
    let stage = short_lived(4, Sandbox::builder());
    let held = hold(&stage, "");
    let address = server(&held);
    let path = format!("{SA}/default/token?scopes={STORAGE}");
    let first = web::token_in(&web::metadata(&address, &path)).0;
    let mut renewed = first.clone();
    eventually("it is renewed", || {
        let (token, _) = web::token_in(&web::metadata(&address, &path));
        assert_eq!(info(&stage, &token)["scope"], STORAGE, "a dead token");
        renewed = token;
        renewed != first
    });
    // Nobody asks: nobody is asked.
    let of_storage = || {
        let requests = stage.sandbox.requests().into_iter();
        requests.filter(|request| request.action == ACCESS && request.body.contains("devstorage")).count()
    };
    let before = of_storage();
    crate::wait_for(&stage, asked(&stage, ACCESS) + 1, ACCESS);
    assert_eq!(of_storage(), before);
    held.release(&stage).assert_succeeded();
}

/// Go's clients use an ID token for 55 minutes without a look at its end, so an old one is not handed out.
#[test]
fn id_tokens_are_young() {
    let stage = at_with(
        AwsPlace::Environment,
        Sandbox::builder().settings(|settings| settings.id_token_lifetime = Duration::from_secs(24)),
    );
    let held = hold(&stage, "");
    let address = server(&held);
    let first = web::identity(&address, SERVICE).body;
    assert_eq!(web::identity(&address, SERVICE).body, first, "a cached one");
    let start = Instant::now();
    eventually("another one", || web::identity(&address, SERVICE).body != first);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    // While there is no new one the last good one is better than none.
    stage.sandbox.fault(Service::IamCredentials, Fault::status(503, "").always());
    let last = web::identity(&address, SERVICE).body;
    let failed = asked(&stage, ID);
    eventually("a refresh fails", || {
        assert_eq!(web::identity(&address, SERVICE).body, last);
        asked(&stage, ID) > failed
    });
    stage.sandbox.clear_faults();
    eventually("a new one", || web::identity(&address, SERVICE).body != last);
    held.release(&stage).assert_succeeded();
}

/// All who ask at the same time wait for one exchange, however many they are.
#[test]
fn a_thousand_clients_are_one_exchange() {
    let stage = simple();
    let held = hold(&stage, "");
    let address = server(&held);
    stage.sandbox.fault(Service::IamCredentials, Fault::delay(Duration::from_millis(700)).always());
    let token = format!("{SA}/default/token?scopes={STORAGE}");
    let identity = format!("{SA}/default/identity?audience={SERVICE}");
    for (path, action) in [(token, ACCESS), (identity, ID)] {
        let before = asked(&stage, action);
        // All are connected and have asked before anybody is answered.
        let mut streams: Vec<_> = (0..1000)
            .map(|_| {
                let mut stream = web::connect(&address);
                stream.write_all(web::question(&address, &path).as_bytes()).expect("a request");
                stream
            })
            .collect();
        let answers: Vec<_> =
            streams.iter_mut().map(|stream| web::read_reply(stream).map(|reply| (reply.status, reply.body))).collect();
        let lost = answers.iter().filter(|answer| answer.is_none()).count();
        assert_eq!(lost, 0, "{action}: so many of 1000 got no answer");
        let first = answers[0].clone();
        assert!(first.as_ref().is_some_and(|(status, _)| *status == 200), "{first:?}");
        let value = |answer: &Option<(u16, String)>| {
            let body = answer.clone().map(|(_, body)| body).unwrap_or_default();
            serde_json::from_str::<Value>(&body).map_or(body, |json| json["access_token"].to_string())
        };
        assert!(answers.iter().all(|answer| value(answer) == value(&first)), "{action}: not all the same");
        assert_eq!(asked(&stage, action) - before, 1, "{action}");
    }
    held.release(&stage).assert_succeeded();
}

/// The first one is let down, the others are not: neither by it nor with it.
#[test]
fn a_client_that_goes_away() {
    let stage = simple();
    let held = hold(&stage, "");
    let address = server(&held);
    stage.sandbox.fault(Service::IamCredentials, Fault::delay(Duration::from_millis(300)));
    let path = format!("{SA}/default/identity?audience=x");
    let mut first = web::connect(&address);
    first.write_all(web::question(&address, &path).as_bytes()).expect("a request");
    eventually("it is asked for", || asked(&stage, ID) == 1);
    drop(first);
    assert_eq!(audience_of(&web::metadata(&address, &path)), "x");
    assert_eq!(asked(&stage, ID), 1);
    held.release(&stage).assert_succeeded();
}

/// Trouble with a token that somebody asks for: in time, with the reason, and no storm upstream.
#[test]
fn what_clients_are_told() {
    let denied = Effect::Error {
        code: "PERMISSION_DENIED".into(),
        message: Some(
            "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist).".into(),
        ),
        status: None,
    };
    let rows = [
        (Fault::from(denied), 403, &["ID token", ACCOUNT, "answered 403", "roles/iam.workloadIdentityUser"][..]),
        (Fault::status(503, "overloaded"), 503, &["answered 503", "overloaded"]),
        (Fault::status(429, ""), 503, &["answered 429"]),
    ];
    side_by_side(rows, |(fault, status, parts)| {
        let stage = simple();
        let held = hold(&stage, "");
        let address = server(&held);
        stage.sandbox.fault(Service::IamCredentials, fault.always());
        let start = Instant::now();
        let replies: Vec<_> = thread::scope(|scope| {
            let all: Vec<_> = (0..20).map(|_| scope.spawn(|| web::identity(&address, SERVICE))).collect();
            all.into_iter().map(|one| one.join().expect("an answer")).collect()
        });
        assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
        for reply in replies {
            assert_eq!(reply.status, status, "{}", reply.body);
            for part in parts {
                assert!(reply.body.contains(part), "no {part} in {}", reply.body);
            }
            assert!(!reply.body.contains("ya29.") && reply.body.starts_with("fedboot: "), "{}", reply.body);
        }
        // Whoever asks again at once is told at once.
        let before = asked(&stage, ID);
        assert_eq!(web::identity(&address, SERVICE).status, status);
        assert_eq!(asked(&stage, ID), before, "{status}: a storm");
        stage.sandbox.clear_faults();
        assert_eq!(audience_of(&web::identity(&address, "new")), "new");
        assert!(is_live(&stage, &web::access_token(&address).0));
        held.release(&stage).assert_succeeded();
    });
}

/// A federated token that Google revoked is not kept.
#[test]
fn a_revoked_federated_token() {
    let stage = simple();
    let held = hold(&stage, "");
    let address = server(&held);
    stage.sandbox.fault(Service::IamCredentials, Fault::error("UNAUTHENTICATED"));
    assert_eq!(audience_of(&web::identity(&address, "a")), "a");
    assert_eq!(cost(&stage), [2, 1, 2]);
    assert_ne!(last(&stage, ID).header("authorization"), last(&stage, ACCESS).header("authorization"));
    // One that is refused twice is a refusal.
    stage.sandbox.fault(Service::IamCredentials, Fault::error("UNAUTHENTICATED").times(2));
    let reply = web::identity(&address, "b");
    assert!(reply.status == 403 && reply.body.contains("answered 401"), "{} {}", reply.status, reply.body);
    assert_eq!(cost(&stage), [3, 1, 4]);
    held.release(&stage).assert_succeeded();
}

/// An agent that could not get a token yet says so, and clients come again.
#[test]
fn before_the_first_token() {
    let stage = at_with(
        AwsPlace::Environment,
        Sandbox::builder().fault(Service::GoogleSts, Fault::status(503, "starting").always()),
    );
    let held = hold(&stage, "--on-failure run --timeout 1");
    let address = server(&held);
    let reply = web::metadata(&address, &format!("{SA}/default/token"));
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert!(reply.body.contains("503") || reply.body.contains("could be had yet"), "{}", reply.body);
    assert_eq!(web::metadata(&address, &format!("{SA}/default/?recursive=true")).json()["email"], ACCOUNT);
    assert_eq!(web::get(&address, "/", &[]).status, 200);
    stage.sandbox.clear_faults();
    eventually("tokens come", || web::metadata(&address, &format!("{SA}/default/token")).status == 200);
    held.release(&stage).assert_succeeded();
}

/// Why there is nothing good, to the clients too.
#[test]
fn what_has_ended() {
    let stage = short_lived(1, Sandbox::builder());
    let held = hold(&stage, "--no-refresh");
    let path = format!("{SA}/default/token");
    eventually("it ends", || web::metadata(&server(&held), &path).status != 200);
    let told = web::metadata(&server(&held), &path).body;
    assert!(told.contains("it has ended") && told.contains("refresh"), "{told}");
    held.release(&stage).assert_succeeded();
    // Somebody's clock is wrong.
    let skewed = Fault::clock_skew(-7200).always();
    let stage = at_with(AwsPlace::Environment, Sandbox::builder().fault(Service::IamCredentials, skewed));
    let held = hold(&stage, "");
    for path in [path.as_str(), "/instance/service-accounts/default/identity?audience=a"] {
        let reply = web::metadata(&server(&held), path);
        assert_eq!(reply.status, 503, "{path}");
        assert!(reply.body.contains("expired when") && reply.body.contains("clock"), "{path}: {}", reply.body);
    }
    assert_eq!(cost(&stage), [1, 1, 1], "it does not help to hurry");
    held.release(&stage).assert_succeeded();
}
