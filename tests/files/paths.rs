//! Names, links, modes, and what is no file.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use crate::common::{self, Stage};
use crate::{OTHER, beside, mode};

#[test]
fn private_under_any_umask() {
    for umask in [0, 0o022, 0o077, 0o777] {
        let mut stage = Stage::new();
        let file = stage.home().join("deep/er/credentials");
        stage.set("AWS_SHARED_CREDENTIALS_FILE", &file);
        for round in 0..2 {
            let mut command =
                stage.command(["--", "sh", "-c", "stat -c %a \"$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE\""]);
            // SAFETY: one system call.
            unsafe {
                command.pre_exec(move || {
                    libc::umask(umask);
                    Ok(())
                });
            }
            let outcome = stage.finish(command.spawn().expect("fedboot starts"));
            outcome.assert_succeeded();
            assert_eq!(outcome.stdout, "600\n", "umask {umask:o}: the token file");
            assert_eq!(mode(&file), 0o600, "umask {umask:o}, round {round}");
            for directory in ["deep", "deep/er"] {
                assert_eq!(mode(&stage.home().join(directory)), 0o700, "umask {umask:o}");
            }
            // What was open to others is closed.
            fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("a mode");
        }
    }
}

#[test]
fn relative_and_odd_paths() {
    let mut stage = Stage::new();
    let here = stage.directory.path().to_owned();
    let odd = OsStr::from_bytes(b"a b/\xff\xfe'\"$x/credentials");
    for file in [OsStr::new("here"), OsStr::new("sub/../sub2/file"), odd] {
        fs::create_dir_all(here.join("sub")).expect("a directory");
        stage.set("AWS_SHARED_CREDENTIALS_FILE", file);
        let outcome = stage.run([
            "--",
            "sh",
            "-c",
            "cd / && cat \"$AWS_SHARED_CREDENTIALS_FILE\" && ls \"$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE\" >&2",
        ]);
        outcome.assert_succeeded();
        assert!(outcome.stdout.contains("[default]\naws_access_key_id = ASIA"), "{}", outcome.stdout);
        assert_eq!(fs::read_to_string(here.join(file)).expect("the file"), outcome.stdout);
    }
    assert!(!stage.credentials_file().exists());
}

#[test]
fn links_are_followed_and_stay() {
    let stage = Stage::new();
    let home = stage.home();
    let (file, elsewhere) = (stage.credentials_file(), home.join("elsewhere/real"));
    fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
    fs::create_dir_all(elsewhere.parent().expect("a parent")).expect("a directory");
    let is_link = |path: &Path| fs::symlink_metadata(path).expect("it is there").is_symlink();
    for (name, links, there) in [
        ("absolute", vec![(file.clone(), elsewhere.clone())], true),
        ("relative", vec![(file.clone(), PathBuf::from("../elsewhere/real"))], true),
        (
            "a chain",
            vec![
                (file.clone(), home.join("one")),
                (home.join("one"), PathBuf::from("elsewhere/two")),
                (home.join("elsewhere/two"), PathBuf::from("real")),
            ],
            true,
        ),
        ("dangling", vec![(file.clone(), PathBuf::from("../elsewhere/real"))], false),
        ("dangling into a directory to be made", vec![(file.clone(), PathBuf::from("../elsewhere/new/real"))], false),
    ] {
        let target = if name.contains("to be made") { home.join("elsewhere/new/real") } else { elsewhere.clone() };
        for (link, to) in &links {
            let _ = fs::remove_file(link);
            symlink(to, link).expect("a link");
        }
        let _ = fs::remove_file(&target);
        if there {
            common::write(&target, OTHER);
        }
        stage.run(["--", "true"]).assert_succeeded();
        for (link, to) in &links {
            assert!(is_link(link), "{name}: {} is no link any more", link.display());
            assert_eq!(fs::read_link(link).expect("a link"), *to, "{name}");
        }
        let text = fs::read_to_string(&target).expect("the target");
        assert!(text.contains("aws_access_key_id = ASIA"), "{name}: {text}");
        assert!(!there || text.starts_with(OTHER), "{name}: {text}");
        assert_eq!(mode(&target), 0o600, "{name}");
        assert_eq!(beside(&file), ["credentials"], "{name}: beside the link");
        for (link, _) in links {
            fs::remove_file(link).expect("its end");
        }
        assert_eq!(beside(&target), [target.file_name().expect("a name").to_string_lossy()], "{name}: beside the file");
        fs::remove_file(target).expect("its end");
        let _ = fs::remove_dir(home.join("elsewhere/new"));
    }
    // A directory that is a link.
    fs::remove_dir(home.join(".aws")).expect("its end");
    symlink("elsewhere", home.join(".aws")).expect("a link");
    stage.run(["--", "true"]).assert_succeeded();
    assert!(is_link(&home.join(".aws")) && home.join("elsewhere/credentials").is_file());
}

#[test]
fn a_link_that_leads_nowhere_is_an_error() {
    let stage = Stage::new();
    let file = stage.credentials_file();
    fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
    symlink("loop", &file).expect("a link");
    symlink("credentials", stage.home().join(".aws/loop")).expect("a link");
    stage.run(["--", "true"]).assert_failed(125, &[".aws/credentials", "symbolic link"]);
    assert_eq!(beside(&file), ["credentials", "loop"]);
}

#[test]
fn what_is_no_file_is_an_error() {
    let stage = Stage::new();
    let file = stage.credentials_file();
    fs::create_dir_all(&file).expect("a directory");
    stage.run(["--", "true"]).assert_failed(125, &[".aws/credentials", "directory"]);
    assert!(beside(&file.join("x")).is_empty());
    assert_eq!(beside(&file), ["credentials"]);
    fs::remove_dir(&file).expect("its end");
    // Neither reads from nor waits for a pipe.
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    stage.run(["--", "true"]).assert_failed(125, &[".aws/credentials", "regular file"]);
    assert_eq!(beside(&file), ["credentials"]);
    // A file where its directory should be.
    fs::remove_dir_all(stage.home().join(".aws")).expect("its end");
    common::write(&stage.home().join(".aws"), "not a directory");
    stage.run(["--", "true"]).assert_failed(125, &[".aws"]);
    assert_eq!(fs::read_to_string(stage.home().join(".aws")).expect("the file"), "not a directory");
}
