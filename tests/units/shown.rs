use std::path::Path;

use fedboot::system::shown::{is_opaque, one_line, path, url, words};

#[test]
fn paths() {
    for text in [
        "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
        "/root/.aws/credentials",
        "~/x",
        "./x",
        "../x/y.json",
        "/etc/ssl/certs/ca-certificates.crt",
        "/tmp",
        "/root/.cache/fedboot/cache-a1b2c3d4e5f60718.json",
        "/root/.aws/.fedboot-a1b2c3d4e5f6.token",
        "/proc/self/fd/3",
        "src/system/shown.rs",
        "src/absent.rs",
    ] {
        assert_eq!(path(Path::new(text)), text);
    }
    for text in [
        "hunter2",
        "hunter2/hunter3",
        "{\"private_key\": \"x\"}",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n",
        "/v2/credentials/3f2b8c1e-90ab-4d5e-8f90-a1b2c3d4e5f6",
        "https://user:hunter2@host",
        "user:hunter2@host:80",
        "//user:hunter2@host",
        "/K7MDENG/wJalrXUtnFEMI+bPxRfiCYEXAMPLEKEY",
        "/a b",
        "/a?token=hunter2",
        "eyJhbGciOiJSUzI1NiJ9.eyJodW50ZXIyIjoxfQ.c2ln",
        "",
    ] {
        let shown = path(Path::new(text));
        assert!(shown.starts_with("a value of ") && !shown.contains("hunter"), "{text}: {shown}");
    }
}

#[test]
fn urls() {
    for (text, shown) in [
        ("https://sts.eu-west-1.amazonaws.com/", "https://sts.eu-west-1.amazonaws.com/"),
        ("http://127.0.0.1:80/a/b?token=hunter2#x", "http://127.0.0.1:80/a/b"),
        ("https://ya29.c.hunter2hunter2hunter2/x", "a value of 38 characters with a URL in it"),
        ("https://x.eyJhdW50ZXIyaHVudGVyMg/x", "a value of 34 characters with a URL in it"),
        ("ya29.c.hunter2hunter2hunter2://host/x", "a value of 37 characters with a URL in it"),
        ("https://keyjar.example.com/x", "https://keyjar.example.com/x"),
        ("https://me:hunter2@host:1/x", "https://host:1/x"),
        ("https://me:hunt@er2@host/x", "https://host/x"),
        ("http://[fd00:ec2::23]/v1", "http://[fd00:ec2::23]/v1"),
        ("http://h/v2/3f2b8c1e-90ab-4d5e-8f90-a1b2c3d4e5f6", "http://h/v2/[…]"),
        ("host", "a value of 4 characters"),
        ("http://a b:hunter2", "a value of 18 characters with a URL in it"),
        ("https://user:hunter2", "a value of 20 characters with a URL in it"),
    ] {
        assert_eq!(url(text), shown);
    }
}

#[test]
fn opaque() {
    for word in [
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "3f2b8c1e-90ab-4d5e-8f90-a1b2c3d4e5f6",
        "FwoGZXIvYXdzEBYaDKq1mN9pTzR2sWvXyQ",
        "0123456789abcdef0123456789abcdef",
        "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
        "q8f7s6d5f4g3h2j1k0l9",
        "eyJhbGciOiJSUzI1NiJ9",
        "ya29.a0AfH6SMBx",
    ] {
        assert!(is_opaque(word), "{word}");
    }
    for word in [
        "AssumeRoleWithWebIdentity",
        "iam.allowServiceAccountCredentialLifetimeExtension",
        "projects/739419398126/locations/global/workloadIdentityPools/aws-pool",
        "my-service-account-2026-production-eu1",
        "OutboundWebIdentityFederationDisabledException",
        "117739419398126000111",
        "application_default_credentials.json",
        "",
    ] {
        assert!(!is_opaque(word), "{word}");
    }
}

#[test]
fn other_peoples_words() {
    for text in [
        "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        "User: arn:aws:sts::123456789012:assumed-role/r/i-0abcd1234ef567890a1b is not authorized to perform: sts:AssumeRole",
        "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
        "IAM Service Account Credentials API has not been used in project 739419398126 before or it is disabled. Enable it \
         by visiting https://console.developers.google.com/apis/api/iamcredentials.googleapis.com/overview then retry.",
        "let worker@demo-project.iam.gserviceaccount.com be roles/iam.workloadIdentityUser",
        "could not resolve vpce-0a1b2c3d4e5f67890-abcdef12.sts.us-east-1.vpce.amazonaws.com:443",
    ] {
        assert_eq!(words(text), text);
    }
    for (text, shown) in [
        ("token eyJhbGciOiJSUzI1NiJ9.eyJh.c2ln, no", "token […], no"),
        ("see https://me:hunter2@host/x?token=hunter2.", "see https://host/x."),
        ("access_token=hunter2 is bad", "access_token=[…] is bad"),
        ("the \"token\" is bad", "the \"token\" is bad"),
        ("<a><SessionToken>hunter2 x</SessionToken></a>", "<a><SessionToken>[…]</SessionToken></a>"),
        ("{\"client_secret\": \"hunter2 hunter2\", \"a\": 1}", "{\"client_secret\": \"[…]\", \"a\": 1}"),
        ("\"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\"", "\"[…]\""),
        ("a -----BEGIN PRIVATE KEY-----\nhunter2", "a […]"),
        ("http://a b", "http://a b"),
        ("https://me:hunter2", "[…]"),
    ] {
        assert_eq!(words(text), shown);
    }
}

#[test]
fn lines() {
    assert_eq!(one_line(" a\n\u{1b}b  c ", 100), "a b c");
    assert_eq!(one_line("äöüäöü", 5), "ä[…]ü");
}
