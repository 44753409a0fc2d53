use std::fs::{self, File};
use std::time::SystemTime;

use fedboot::system::private_file::{PREFIX, hold, sweep};

/// Another process would find the same: a lock belongs to what was opened, not to the process.
#[test]
fn what_is_held_stays_also_when_it_was_put_back() {
    let temporary = tempfile::TempDir::new().expect("a directory");
    let base = temporary.path().canonicalize().expect("a path");
    let path = base.join(".fedboot-0123456789ab.token");
    let named = base.join(".fedboot-0123456789ab.jwt");
    let mut held = hold(&path, 0o600, b"first").expect("it is made");
    let mut rewritten = hold(&named, 0o600, b"one").expect("it is made");
    let left = ["0123456789aa.jwt", "0123456789ac.token", "0123456789ad.access-token"];
    let left = left.map(|name| base.join(format!("{PREFIX}{name}")));
    for file in &left {
        File::create(file).expect("a file");
    }
    for round in 0..3 {
        sweep(&path, "0123456789ac", SystemTime::UNIX_EPOCH);
        assert_eq!(left.each_ref().map(|file| file.exists()), [false, true, false], "round {round}");
        assert!(held.is_there() && rewritten.is_there());
        fs::remove_file(&path).expect("its end");
        assert!(!held.is_there());
        held.restore(b"second").expect("it is put back");
        rewritten = hold(&named, 0o600, b"another").expect("it is written");
    }
    assert_eq!((fs::read(&path).ok(), fs::read(&named).ok()), (Some(b"second".to_vec()), Some(b"another".to_vec())));
    drop((held, rewritten));
    sweep(&path, "", SystemTime::UNIX_EPOCH);
    assert_eq!(fs::read_dir(&base).expect("a directory").count(), 0);
}
