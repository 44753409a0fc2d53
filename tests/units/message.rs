//! How an error reads: for people on a terminal, and in one line.

use std::time::Duration;

use fedboot::error::message::shortened;
use fedboot::error::{Error, Kind, Paste, reasons};

/// As AWS refuses, with all that a message may have.
fn refused() -> Error {
    let role = "arn:aws:iam::123456789012:role/analytics-production-worker";
    let said = "answered 403 AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity";
    let step = format!("assume role {role} as a-long-session-name-0123456789");
    let mut error = Error::new(Kind::Fatal, step, "https://sts.eu-west-1.amazonaws.com/", said)
        .because(&reasons::ROLE_REFUSES_TOKEN, &[])
        .paste(Paste::Policy(r#"{"Effect": "Allow"}"#.into()))
        .acting_as("worker@project.iam.gserviceaccount.com (by the metadata server)")
        .request_id(Some("01234567-89ab-cdef-0123-456789abcdef".into()));
    error.tries = Some((3, Duration::from_millis(4200)));
    error
}

#[test]
fn cause_first_remedy_second_evidence_last() {
    let text = refused().to_string();
    let places =
        ["does not let this workload in", "its trust policy needs", "answered 403", "request id", "tried 3", "[FB201]"];
    let found: Vec<_> = places.map(|part| text.find(part).unwrap_or_else(|| panic!("no {part} in {text}"))).into();
    assert!(found.is_sorted(), "{found:?} in {text}");
}

#[test]
fn at_most_three_rows_of_a_hundred_columns() {
    let short = Error::usage("--region is no region");
    let long = Error::new(Kind::Fatal, "x ".repeat(300), "https://host/", "y ".repeat(3000)).advice("z ".repeat(300));
    for (error, pasted) in [(short, 0), (refused(), 1), (long, 0)] {
        let rows = error.rows("fedboot: 2026-11-27T07:00:00.000Z ERROR", "");
        let rows: Vec<_> = rows.lines().collect();
        assert!(rows.len() <= 3 + pasted, "{rows:#?}");
        let text = &rows[..rows.len() - pasted];
        assert!(text.iter().all(|row| row.chars().count() <= 100), "{text:#?}");
        assert!(rows[rows.len() - 1 - pasted].contains(&format!("[{}]", error.reason.code)), "{rows:#?}");
        assert!(
            pasted == 0 || rows.last() == Some(&r#"{"Effect": "Allow"}"#),
            "what is pasted stands alone: {rows:#?}"
        );
    }
}

/// Google's messages end with the link that helps, and with the binding that is missing.
#[test]
fn the_middle_is_cut() {
    let cut = shortened(&format!("begin {} end", "x".repeat(2000)), 100);
    assert!(cut.chars().count() == 100 && cut.starts_with("begin ") && cut.ends_with(" end"), "{cut}");
    assert_eq!(shortened("short", 100), "short");
}

/// A cache tells other processes why it is empty, in one text.
#[test]
fn what_another_process_told_keeps_its_reason() {
    let told = Error::told(Kind::Fatal, &refused().to_string());
    assert_eq!((told.reason.code, told.to_string()), ("FB201", refused().to_string()));
    assert_eq!(Error::told(Kind::Fatal, "words [FB999]").reason.code, reasons::UNFORESEEN.code);
}
