//! Another user's files, and a user who is not root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::common::{self, Stage};
use crate::{NOBODY, OTHER, as_nobody, beside, give, may_become_another};

#[test]
fn an_unreadable_file_is_an_error() {
    if !may_become_another("an_unreadable_file_is_an_error") {
        return;
    }
    let stage = Stage::new();
    let file = stage.credentials_file();
    common::write(&file, OTHER);
    give(&stage.home());
    give(&stage.home().join(".aws"));
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("a mode");
    as_nobody(&stage, &["--", "true"]).assert_failed(125, &[".aws/credentials", "permission denied"]);
    assert_eq!(stage.credentials_text(), OTHER);
    assert_eq!(beside(&file), ["credentials"]);
}

/// A user's file in a directory where that user may make none.
fn in_a_forbidden_directory() -> Stage {
    let stage = Stage::new();
    common::write(&stage.credentials_file(), OTHER);
    give(&stage.credentials_file());
    fs::set_permissions(stage.home().join(".aws"), Permissions::from_mode(0o755)).expect("a mode");
    stage
}

#[test]
fn a_writable_file_in_a_forbidden_directory_is_written_in_place() {
    if !may_become_another("a_writable_file_in_a_forbidden_directory_is_written_in_place") {
        return;
    }
    let stage = in_a_forbidden_directory();
    let outcome = as_nobody(&stage, &["--delivery=file", "--", "true"]);
    outcome.assert_succeeded();
    assert!(outcome.stderr.contains("in place"), "{}", outcome.stderr);
    assert!(stage.credentials_text().starts_with(OTHER));
    assert!(stage.credentials_text().contains("aws_access_key_id = ASIA"));
    assert_eq!(beside(&stage.credentials_file()), ["credentials"]);
}

/// The same with the endpoint, whose token file has no place beside such a file.
#[test]
fn the_token_file_finds_a_place_where_the_directory_is_forbidden() {
    if !may_become_another("the_token_file_finds_a_place_where_the_directory_is_forbidden") {
        return;
    }
    let stage = in_a_forbidden_directory();
    let outcome = as_nobody(&stage, &["--", "sh", "-c", "cat \"$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE\""]);
    outcome.assert_succeeded();
    assert_eq!(outcome.stdout, "fedboot");
}

#[test]
fn the_owner_of_a_file_stays_its_owner() {
    if !may_become_another("the_owner_of_a_file_stays_its_owner") {
        return;
    }
    let stage = Stage::new();
    common::write(&stage.credentials_file(), OTHER);
    give(&stage.credentials_file());
    stage.run(["--", "true"]).assert_succeeded();
    let metadata = fs::metadata(stage.credentials_file()).expect("the file");
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (NOBODY, NOBODY, 0o600));
    assert!(stage.credentials_text().contains("aws_access_key_id = ASIA"));
    // And what that user boots afterwards works.
    give(&stage.home().join(".aws"));
    as_nobody(&stage, &["--", "true"]).assert_succeeded();
}
