//! What the dead have left.

use std::fs::{self};
use std::path::Path;

use crate::beside;
use crate::common::launch::{gone, kill};
use crate::common::{self, Stage};

fn is(name: &str, kind: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == kind)
}

#[test]
fn token_files_of_the_dead_are_swept_and_of_the_living_kept() {
    let stage = Stage::new();
    let tokens = || -> Vec<String> {
        let ours = |name: &String| name.starts_with(".fedboot-") && is(name, "token");
        beside(&stage.credentials_file()).into_iter().filter(ours).collect()
    };
    let living = stage.hold(&[]);
    let [kept] = tokens().try_into().expect("one token file");
    for _ in 0..3 {
        let dying = stage.hold(&[]);
        assert_eq!(tokens().len(), 2);
        let agent = dying.agent();
        kill(agent, libc::SIGKILL);
        gone(agent);
        assert_eq!(tokens().len(), 2, "nobody could remove it");
        dying.release(&stage).assert_succeeded();
    }
    // Nothing that only looks like one goes.
    for name in [".fedboot-notes", "x.token", ".credentials.bak"] {
        common::write(&stage.home().join(".aws").join(name), "mine");
    }
    stage.run(["--", "true"]).assert_succeeded();
    let mut expected = [".credentials.bak", ".fedboot-notes", &kept, "credentials", "x.token"];
    expected.sort_unstable();
    let (status, others): (Vec<_>, Vec<_>) =
        beside(&stage.credentials_file()).into_iter().partition(|name| is(name, "status"));
    assert_eq!(others, expected);
    assert_eq!(status.len(), 1, "those of the dead are swept as well: {status:?}");
    let token = fs::read_to_string(living.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")).expect("the token file");
    assert_eq!(token, living.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
    living.release(&stage).assert_succeeded();
    assert!(tokens().is_empty());
}
