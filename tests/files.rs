//! The credentials file: polite to what stands there, never torn, never readable by others, in every place one meets.

#![allow(unsafe_code, reason = "a process of another user has no safe interface")]
#![allow(clippy::disallowed_methods, reason = "tests look at the real world")]

mod common;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::launch::{figure, gone, kill, may_unshare, skip};
use common::{Outcome, PATIENCE, Stage, binary, eventually};
use fedboot_sandbox::Sandbox;
use nix::fcntl::{Flock, FlockArg};

const OTHER: &str = "# mine\n[other]\naws_access_key_id = AKIA\n\n; the end\n";

/// Every name in the directory of the credentials file.
fn beside(file: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(file.parent().expect("a parent"))
        .expect("its directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

/// `[default]` as it stands for the newest credentials, `|` as line end.
fn default_keys(stage: &Stage) -> String {
    let issued = stage.sandbox.issued().pop().expect("credentials");
    let since = issued.expires_at.duration_since(SystemTime::UNIX_EPOCH).expect("a time");
    format!(
        "aws_access_key_id = {}|aws_secret_access_key = {}|aws_session_token = {}|x_security_token_expires = {}|",
        issued.access_key_id,
        issued.secret_access_key,
        issued.session_token,
        rfc3339(since.as_secs())
    )
}

/// Seconds since 1970 as RFC 3339, by the civil calendar.
fn rfc3339(seconds: u64) -> String {
    let output =
        Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"]).output().expect("date");
    String::from_utf8(output.stdout).expect("text").trim().into()
}

/// Rows: before and after, byte by byte. `|` is a line end, `KEYS` the four keys in their order.
#[test]
fn what_stands_there_stays() {
    let profile = "[fedboot]|region = us-east-1|";
    let fresh = format!("[default]|KEYS|{profile}");
    let rows: Vec<(&str, String, String)> = vec![
        ("nothing", String::new(), fresh.clone()),
        ("other profiles", "[a]|x = 1|[b]|y=2|".into(), format!("[a]|x = 1|[b]|y=2||{fresh}")),
        (
            "comments and blank lines",
            "# top||; second|[a]|# in a|x = 1 # not a comment||# after a||".into(),
            format!("# top||; second|[a]|# in a|x = 1 # not a comment||# after a||{fresh}"),
        ),
        ("no final newline", "[a]|x = 1".into(), format!("[a]|x = 1||{fresh}")),
        ("only blanks", "||".into(), format!("||{fresh}")),
        ("an empty [default]", "[default]|".into(), fresh.clone()),
        (
            "a partial [default]",
            "[default]|region = eu-west-3|aws_access_key_id = OLD|[z]|k = v|".into(),
            format!(
                "[default]|region = eu-west-3|ID|SECRET|TOKEN|EXPIRES|[z]|k = v||{profile}"
            ),
        ),
        (
            "a [default] of long-lived keys in other letters, with an old token",
            "[default]|AWS_ACCESS_KEY_ID=A|aws_secret_access_key :B|aws_security_token=C|output = json|".into(),
            format!("[default]|ID|SECRET|output = json|TOKEN|EXPIRES||{profile}"),
        ),
        (
            "a [fedboot] with static keys",
            "[fedboot]|aws_access_key_id = A|aws_secret_access_key = B|output = text|region = old|".into(),
            "[fedboot]|output = text|region = us-east-1||[default]|KEYS".into(),
        ),
        (
            "a [fedboot] with a process, of an older version",
            "[fedboot]|credential_process = /bin/false|  --with continuation||[default]|role_session_name = x|".into(),
            "[fedboot]|region = us-east-1||[default]|role_session_name = x|KEYS".into(),
        ),
        (
            "fedboot's own, from before",
            "[default]|aws_access_key_id = A|aws_secret_access_key = B|aws_session_token = C|x_security_token_expires = D||[fedboot]|region = us-east-1|".into(),
            "[default]|KEYS|[fedboot]|region = us-east-1|".into(),
        ),
        ("names that begin alike", "[default2]|x=1|[fedboot-x]|y=1|".into(), format!("[default2]|x=1|[fedboot-x]|y=1||{fresh}")),
        ("bytes that are not UTF-8", "[ü]|name = \u{1}\u{7f}|".into(), format!("[ü]|name = \u{1}\u{7f}||{fresh}")),
        ("nested values", "[a]|s3 =|  max = 1|  min = 2|".into(), format!("[a]|s3 =|  max = 1|  min = 2||{fresh}")),
    ];
    let stage = Stage::new();
    for (name, before, after) in rows {
        for newline in ["\n", "\r\n"] {
            for mark in ["", "\u{feff}"] {
                if before.is_empty() && (newline == "\r\n" || !mark.is_empty()) || before == "||" && !mark.is_empty() {
                    continue;
                }
                let raw = |text: &str| text.replace('|', newline);
                let before = format!("{mark}{}", raw(&before));
                if before.is_empty() {
                    let _ = fs::remove_file(stage.credentials_file());
                } else {
                    common::write(&stage.credentials_file(), &before);
                }
                stage.run(["--", "true"]).assert_succeeded();
                let keys = default_keys(&stage);
                let lines: Vec<_> = keys.split_inclusive('|').collect();
                let mut after = after.replace("KEYS", &keys);
                for (word, line) in ["ID|", "SECRET|", "TOKEN|", "EXPIRES|"].into_iter().zip(lines) {
                    after = after.replacen(&format!("|{word}"), &format!("|{line}"), 1);
                }
                assert_eq!(stage.credentials_text(), format!("{mark}{}", raw(&after)), "{name} {newline:?} {mark:?}");
                assert_eq!(mode(&stage.credentials_file()), 0o600, "{name}");
            }
        }
    }
}

#[test]
fn foreign_bytes_stay() {
    let stage = Stage::new();
    let before = b"[latin]\nname = caf\xe9 \xff\xfe\x00 zero\n# \x80\n";
    common::write(&stage.credentials_file(), before);
    stage.run(["--", "true"]).assert_succeeded();
    let after = fs::read(stage.credentials_file()).expect("a file");
    assert_eq!(&after[..before.len()], before);
    assert!(after.len() > before.len() + 100);
}

#[test]
fn alone_the_file_has_no_profile() {
    let stage = Stage::new();
    common::write(&stage.credentials_file(), OTHER);
    let outcome =
        stage.run_shell(&["--delivery=file"], "echo ${AWS_PROFILE-none} ${AWS_CONTAINER_CREDENTIALS_FULL_URI-none}");
    assert_eq!(outcome.stdout, "none none\n");
    let keys = default_keys(&stage).replace('|', "\n");
    assert_eq!(stage.credentials_text(), format!("{OTHER}\n[default]\n{keys}"));
}

#[test]
fn malformed_files_are_left_alone() {
    let stage = Stage::new();
    for (text, line) in [
        ("key = 1\n[default]\n", "line 1"),
        ("[default\n", "line 1"),
        ("[]\n", "line 1"),
        ("[a]\n= 1\n", "line 2"),
        ("[a]\nb=1\nSECRETgarbage\n", "line 3"),
        ("[default]\na=1\n\n[default]\n", "line 4"),
        ("[fedboot]\n[fedboot]\n", "line 2"),
        ("{\"json\": \"SECRET\"}\n", "line 1"),
        ("\0\0\0\0", "line 1"),
    ] {
        common::write(&stage.credentials_file(), text);
        let before = fs::metadata(stage.credentials_file()).expect("a file");
        let outcome = stage.run(["--", "touch", "ran"]);
        outcome.assert_failed(125, &["credentials", line, "as it was"]);
        assert!(!outcome.stderr.contains("SECRET"), "{}", outcome.stderr);
        assert_eq!(stage.credentials_text(), text);
        let after = fs::metadata(stage.credentials_file()).expect("a file");
        assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()), "it was touched");
        assert_eq!(beside(&stage.credentials_file()), ["credentials"]);
    }
    assert!(!stage.directory.path().join("ran").exists());
}

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

// Places that only a mount namespace has, or another user meets.

/// fedboot with these arguments in a mount namespace of its own, in which `mounts` has run; `$h` is the home, `$d` the
/// directory above it. `after` runs when fedboot and its command are done, and says on stdout what is there then.
fn in_mounts(stage: &Stage, mounts: &str, arguments: &[&str], after: &str) -> Outcome {
    // `after` comes after the agent's end too, which nobody else here can see.
    let script = format!(
        "set -e; h=$1 d=$2; shift 2; {mounts}\nset +e; \"$@\" & pid=$!; wait $pid; code=$?\n\
         while grep -qsaP -- \"--fedboot-agent\\x00$pid\\x00\" /proc/[0-9]*/cmdline; do sleep 0.02; done\n\
         {after}\nexit $code"
    );
    let mut child = stage
        .wrapper("unshare")
        .args(["--mount", "--", "sh", "-c", &script, "sh"])
        .args([stage.home(), stage.directory.path().into(), binary()])
        .args(arguments)
        .spawn()
        .expect("unshare starts");
    drop(child.stdin.take());
    stage.finish(child)
}

#[test]
fn a_mounted_file_is_written_in_place() {
    if !may_unshare("a_mounted_file_is_written_in_place", &["--mount"]) {
        return;
    }
    let stage = Stage::new();
    let (file, source) = (stage.credentials_file(), stage.directory.path().join("source"));
    for (name, before) in [("short", OTHER.to_owned()), ("long", format!("{OTHER}{}", "# more\n".repeat(2000)))] {
        common::write(&file, "covered");
        common::write(&source, &before);
        let inode = fs::metadata(&source).expect("it").ino();
        let outcome = in_mounts(&stage, "mount --bind $d/source $h/.aws/credentials", &["--", "true"], "ls -A $h/.aws");
        outcome.assert_succeeded();
        assert_eq!(outcome.stdout, "credentials\n", "{name}");
        let events = outcome.events();
        assert!(
            events.iter().any(|event| event.severity() == "WARNING" && event.message().contains("in place")),
            "{name}: {}",
            outcome.stderr
        );
        let text = fs::read_to_string(&source).expect("the file");
        assert!(text.starts_with(&before) && text.ends_with("[fedboot]\nregion = us-east-1\n"), "{name}: {text}");
        assert_eq!(text.matches("[default]").count(), 1, "{name}");
        assert_eq!(fs::metadata(&source).expect("it").ino(), inode, "{name}: another file");
        assert_eq!(mode(&source), 0o600, "{name}");
        assert_eq!(fs::read_to_string(&file).expect("the covered file"), "covered", "{name}");
    }
    // Shrinking leaves no tail.
    let tail = format!("[default]\naws_session_token = {}\n", "x".repeat(20_000));
    common::write(&source, tail);
    in_mounts(&stage, "mount --bind $d/source $h/.aws/credentials", &["--", "true"], "").assert_succeeded();
    let text = fs::read_to_string(&source).expect("the file");
    assert!(text.ends_with("[fedboot]\nregion = us-east-1\n") && !text.contains("xxx"), "{text}");
}

#[test]
fn a_mounted_file_that_is_read_only_is_an_error_at_once() {
    if !may_unshare("a_mounted_file_that_is_read_only_is_an_error_at_once", &["--mount"]) {
        return;
    }
    let stage = Stage::new();
    common::write(&stage.credentials_file(), OTHER);
    let mounts = "mount --bind $h/.aws/credentials $h/.aws/credentials; mount -o remount,ro,bind $h/.aws/credentials";
    let outcome = in_mounts(&stage, mounts, &["--timeout=8s", "--", "true"], "ls -A $h/.aws");
    assert_eq!(outcome.stdout, "credentials\n");
    assert_eq!(stage.credentials_text(), OTHER);
    outcome.assert_failed(125, &[".aws/credentials", "read-only file system", "--credentials-file"]);
    assert_eq!(outcome.events().len(), 1, "it tried again: {}", outcome.stderr);
}

#[test]
fn without_a_writable_home_credentials_go_to_memory() {
    if !may_unshare("without_a_writable_home_credentials_go_to_memory", &["--mount"]) {
        return;
    }
    let stage = Stage::new();
    let memory = "mount -t tmpfs none /dev/shm";
    let show = "for f in \"$AWS_SHARED_CREDENTIALS_FILE\" \"$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE\" \
                \"$(dirname \"$AWS_SHARED_CREDENTIALS_FILE\")\"; do stat -c '%n %a %u' \"$f\"; done; \
                grep -c . \"$AWS_SHARED_CREDENTIALS_FILE\"";
    let user = nix::unistd::geteuid();
    for (name, mounts) in [
        ("read-only home", "mount --bind $h $h; mount -o remount,ro,bind $h"),
        ("read-only directory", "mkdir $h/.aws; mount --bind $h/.aws $h/.aws; mount -o remount,ro,bind $h/.aws"),
        ("read-only root", "mount -o remount,ro,bind /"),
    ] {
        let outcome = in_mounts(&stage, &format!("{memory}; {mounts}"), &["--", "sh", "-c", show], "ls -A /dev/shm/*");
        outcome.assert_succeeded();
        let lines: Vec<_> = outcome.stdout.lines().collect();
        let directory = format!("/dev/shm/fedboot-{user}");
        assert_eq!(lines[0], format!("{directory}/credentials 600 {user}"), "{name}");
        assert!(
            lines[1].starts_with(&directory) && lines[1].ends_with(&format!(".token 600 {user}")),
            "{name}: {lines:?}"
        );
        assert_eq!(lines[2], format!("{directory} 700 {user}"), "{name}");
        assert_eq!(lines[3..], ["7", "credentials"], "{name}: the file's lines, and what is left at the end");
        let warning = outcome.events().into_iter().find(|event| event.severity() == "WARNING").expect("a warning");
        assert!(warning.message().contains(".aws/credentials (read-only file system)"), "{}", warning.message());
        assert!(warning.message().contains(&format!("{directory}/credentials")), "{}", warning.message());
        let _ = fs::remove_dir(stage.home().join(".aws"));
    }
}

#[test]
fn on_a_read_only_root_tmp_is_the_next_best() {
    if !may_unshare("on_a_read_only_root_tmp_is_the_next_best", &["--mount"]) {
        return;
    }
    let mut stage = Stage::new();
    // The stage itself may be below /tmp: what it holds is mounted into the new one.
    let base = stage.directory.path().join("tmp");
    fs::create_dir(&base).expect("a directory");
    let no_memory = "mount -t tmpfs -o ro none /dev/shm; mount -o remount,ro,bind /";
    let file = "echo \"$AWS_SHARED_CREDENTIALS_FILE\"; grep -c . \"$AWS_SHARED_CREDENTIALS_FILE\"";
    for (variable, mounts) in
        [("TMPDIR", "mount -t tmpfs none $d/tmp"), ("XDG_RUNTIME_DIR", "mount -t tmpfs none $d/tmp")]
    {
        stage.set(variable, &base);
        let outcome = in_mounts(&stage, &format!("{mounts}; {no_memory}"), &["--", "sh", "-c", file], "");
        outcome.assert_succeeded();
        let user = nix::unistd::geteuid();
        assert_eq!(outcome.stdout, format!("{}/fedboot-{user}/credentials\n7\n", base.display()), "{variable}");
        stage.unset(variable);
    }
    // Nowhere at all.
    let outcome = in_mounts(&stage, no_memory, &["--", "touch", "ran"], "");
    outcome.assert_failed(125, &[".aws/credentials", "/dev/shm/fedboot-", "/tmp/fedboot-", "--credentials-file"]);
    // A place that was named is not given up for another.
    stage.set("AWS_SHARED_CREDENTIALS_FILE", stage.home().join("named"));
    let outcome = in_mounts(&stage, "mount -o remount,ro,bind /", &["--", "true"], "");
    outcome.assert_failed(125, &["/home/", "read-only file system", "--credentials-file"]);
}

#[test]
fn a_private_directory_of_somebody_else_is_not_used() {
    let name = "a_private_directory_of_somebody_else_is_not_used";
    if !may_unshare(name, &["--mount"]) {
        return;
    }
    let stage = Stage::new();
    let user = nix::unistd::geteuid();
    let mounts = "mount --bind $h $h; mount -o remount,ro,bind $h; mount -t tmpfs none /dev/shm";
    for trap in [
        "mkdir -m 777 /dev/shm/fedboot-$u",
        "mkdir -m 700 /dev/shm/fedboot-$u; chown 4242 /dev/shm/fedboot-$u",
        "mkdir -m 700 /dev/shm/mine; ln -s mine /dev/shm/fedboot-$u",
        ": >/dev/shm/fedboot-$u",
    ] {
        let mut stage_mounts = format!("u={user}; {mounts}; {trap}");
        // And the next place is one of the test's own.
        stage_mounts += "; export TMPDIR=$d/tmp; mkdir -p -m 1777 $TMPDIR";
        let outcome = in_mounts(
            &stage,
            &stage_mounts,
            &["--", "sh", "-c", "echo \"$AWS_SHARED_CREDENTIALS_FILE\""],
            "find /dev/shm -name credentials; rm -rf $d/tmp",
        );
        outcome.assert_succeeded();
        let expected = stage.directory.path().join(format!("tmp/fedboot-{user}/credentials"));
        assert_eq!(outcome.stdout, format!("{}\n", expected.display()), "{trap}: {}", outcome.stderr);
    }
}

#[test]
fn a_full_disk_leaves_the_file_whole() {
    if !may_unshare("a_full_disk_leaves_the_file_whole", &["--mount"]) {
        return;
    }
    let stage = Stage::new();
    fs::create_dir(stage.home().join(".aws")).expect("a directory");
    let old = stage.directory.path().join("old");
    // Larger than what is left in the second row, so that the new file does not fit.
    common::write(&old, format!("[other]\nlong = {}\n", "x".repeat(9000)));
    let tmpfs = "mount -t tmpfs -o size=64k none $h/.aws; cp $d/old $h/.aws/credentials";
    let fill = "cat /dev/zero >$h/.aws/filler 2>/dev/null || :";
    let after = "cmp $h/.aws/credentials $d/old && echo same; ls -A $h/.aws";
    for (name, free) in [
        ("no byte", ""),
        ("a page", "truncate -s -4096 $h/.aws/filler"),
        ("two pages", "truncate -s -8192 $h/.aws/filler"),
    ] {
        let outcome = in_mounts(&stage, &format!("{tmpfs}; {fill}; {free}"), &["--", "touch", "ran"], after);
        outcome.assert_failed(125, &["no space left on device", ".aws/"]);
        assert_eq!(outcome.stdout, "same\ncredentials\nfiller\n", "{name}: {}", outcome.stderr);
    }
    // The same for a file that must be written in place, on a full disk.
    let in_place = "mkdir $d/small; mount -t tmpfs -o size=16k none $d/small; cp $d/old $d/small/file; \
                    cat /dev/zero >$d/small/filler 2>/dev/null || :; : >$h/.aws/credentials; \
                    mount --bind $d/small/file $h/.aws/credentials";
    let after = "cmp $d/small/file $d/old && echo same; ls -A $h/.aws";
    // Nearly to the end of its third page, so that the keys need a fourth.
    common::write(&old, format!("[other]\nlong = {}\n", "x".repeat(12_200)));
    let outcome = in_mounts(&stage, in_place, &["--", "touch", "ran"], after);
    outcome.assert_failed(125, &["no space left on device", ".aws/"]);
    assert_eq!(outcome.stdout, "same\ncredentials\n", "in place: {}", outcome.stderr);
    assert!(!stage.directory.path().join("ran").exists());
}

/// The home of the passwd entry counts where `HOME` does not say.
#[test]
fn without_home_passwd_is_asked() {
    if !may_unshare("without_home_passwd_is_asked", &["--mount"]) {
        return;
    }
    let user = nix::unistd::geteuid();
    for home in [None, Some("")] {
        let mut stage = Stage::new();
        let passwd = format!("nobody:x:65534:65534::/:/x\nme:x:{user}:0:Me:{}:/bin/sh\n", stage.home().display());
        fs::write(stage.directory.path().join("passwd"), passwd).expect("a file");
        match home {
            Some(home) => stage.set("HOME", home),
            None => stage.unset("HOME"),
        };
        let mounts = "mount --bind $d/passwd /etc/passwd";
        let outcome = in_mounts(&stage, mounts, &["--", "sh", "-c", "echo $AWS_SHARED_CREDENTIALS_FILE"], "");
        outcome.assert_succeeded();
        assert_eq!(outcome.stdout, format!("{}\n", stage.credentials_file().display()), "{}", outcome.stderr);
        assert!(stage.credentials_text().contains("aws_access_key_id = ASIA"));
    }
}

#[test]
fn without_home_and_passwd_credentials_go_to_memory() {
    if !may_unshare("without_home_and_passwd_credentials_go_to_memory", &["--mount"]) {
        return;
    }
    let mut stage = Stage::new();
    stage.unset("HOME");
    fs::write(stage.directory.path().join("passwd"), "nobody:x:65534:65534::/:/x\n").expect("a file");
    let user = nix::unistd::geteuid();
    fs::write(stage.directory.path().join("nsswitch"), "passwd: files\n").expect("a file");
    for mounts in ["mount --bind $d/passwd /etc/passwd", "mount --bind /dev/null /etc/passwd"] {
        // Where the C library looks elsewhere too, it would know root in any case. And if it knows a home after all,
        // nothing is written there.
        let no_more = "if [ -e /etc/nsswitch.conf ]; then mount --bind $d/nsswitch /etc/nsswitch.conf; fi; \
                       mount -o remount,ro,bind /";
        let mounts = format!("mount -t tmpfs none /dev/shm; {mounts}; {no_more}");
        let outcome = in_mounts(&stage, &mounts, &["--", "sh", "-c", "echo $AWS_SHARED_CREDENTIALS_FILE"], "");
        outcome.assert_succeeded();
        assert_eq!(outcome.stdout, format!("/dev/shm/fedboot-{user}/credentials\n"));
        let warning = outcome.events().into_iter().find(|event| event.severity() == "WARNING").expect("a warning");
        assert!(warning.message().contains("HOME is not set"), "{}", warning.message());
    }
}

/// fedboot as a user who is not root; who meets the home as the test has made it.
fn as_nobody(stage: &Stage, arguments: &[&str]) -> Outcome {
    // Where root alone may look, nobody else finds the binary or the sandbox's certificate.
    let own = stage.directory.path().join("fedboot");
    // By another process: a file that this one has open for writing, if only in a child that another test has just
    // forked, cannot be executed.
    let installed = Command::new("install").args(["-m", "755"]).args([&binary(), &own]).status();
    assert!(installed.expect("install").success());
    fs::set_permissions(stage.directory.path(), Permissions::from_mode(0o755)).expect("a mode");
    fs::set_permissions(stage.sandbox.directory(), Permissions::from_mode(0o755)).expect("a mode");
    let mut child = stage.wrapper(&own).args(arguments).uid(NOBODY).gid(NOBODY).spawn().expect("fedboot starts");
    drop(child.stdin.take());
    stage.finish(child)
}

const NOBODY: u32 = 65534;

fn may_become_another(name: &str) -> bool {
    let may = nix::unistd::geteuid().is_root();
    if !may {
        skip(name, "not root");
    }
    may
}

fn give(path: &Path) {
    std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("another owner");
}

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

#[test]
fn a_writable_file_in_a_forbidden_directory_is_written_in_place() {
    if !may_become_another("a_writable_file_in_a_forbidden_directory_is_written_in_place") {
        return;
    }
    let stage = Stage::new();
    let file = stage.credentials_file();
    common::write(&file, OTHER);
    give(&file);
    fs::set_permissions(stage.home().join(".aws"), Permissions::from_mode(0o755)).expect("a mode");
    let outcome = as_nobody(&stage, &["--delivery=file", "--", "true"]);
    outcome.assert_succeeded();
    assert!(outcome.stderr.contains("in place"), "{}", outcome.stderr);
    assert!(stage.credentials_text().starts_with(OTHER));
    assert!(stage.credentials_text().contains("aws_access_key_id = ASIA"));
    assert_eq!(beside(&file), ["credentials"]);
}

/// The same with the endpoint, whose token file has no place beside such a file.
#[test]
fn the_token_file_finds_a_place_where_the_directory_is_forbidden() {
    if !may_become_another("the_token_file_finds_a_place_where_the_directory_is_forbidden") {
        return;
    }
    let stage = Stage::new();
    let file = stage.credentials_file();
    common::write(&file, OTHER);
    give(&file);
    fs::set_permissions(stage.home().join(".aws"), Permissions::from_mode(0o755)).expect("a mode");
    let outcome = as_nobody(&stage, &["--", "sh", "-c", "cat \"$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE\""]);
    outcome.assert_succeeded();
    assert_eq!(outcome.stdout.len(), 64, "{}", outcome.stdout);
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

// Others at the same time.

/// What a reader must find in the file at any time: `before` untouched, and one whole set of keys that STS gave out.
struct Whole<'a> {
    stage: &'a Stage,
    before: String,
}

impl Whole<'_> {
    /// What is wrong with `text`.
    fn wrong(&self, text: &str) -> Option<String> {
        if text == self.before {
            return None;
        }
        let Some(ours) = text.strip_prefix(&self.before) else {
            return Some(format!("what stood there before is gone: {} bytes, {:?}…", text.len(), text.get(..80)));
        };
        let value = |key: &str| ours.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        let id = value("aws_access_key_id").unwrap_or_default();
        let Some(issued) = self.stage.sandbox.issued().into_iter().rev().find(|issued| issued.access_key_id == id)
        else {
            return Some(format!("no such key: {ours}"));
        };
        let keys = format!(
            "\n[default]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\nx_security_token_expires = ",
            issued.access_key_id, issued.secret_access_key, issued.session_token
        );
        let end = "Z\n\n[fedboot]\nregion = us-east-1\n";
        (!ours.starts_with(&keys) || !ours.ends_with(end) || ours.len() != keys.len() + end.len() + 19)
            .then(|| format!("not one whole set of keys: {ours}"))
    }

    fn assert(&self) {
        let text = fs::read_to_string(self.stage.credentials_file()).expect("the file");
        if let Some(wrong) = self.wrong(&text) {
            panic!("{wrong}");
        }
    }

    /// Reads the file over and over until `done`; returns how often.
    fn poll(&self, done: &AtomicBool) -> usize {
        let mut reads = 0;
        while !done.load(Ordering::Relaxed) {
            self.assert();
            reads += 1;
            // The writers need a processor too.
            thread::sleep(Duration::from_micros(50));
        }
        reads
    }
}

/// Sets it when it is dropped, so that a failed test does not leave a poller polling.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn with_profiles(stage: &Stage, count: usize) -> Whole<'_> {
    let profile = |index| format!("[profile-{index}]\naws_access_key_id = AKIA{index:016}\nregion = eu-west-1\n");
    let before: String = (0..count).map(profile).collect();
    common::write(&stage.credentials_file(), &before);
    Whole { stage, before }
}

#[test]
fn several_at_once_take_turns() {
    let stage = Stage::new();
    let whole = with_profiles(&stage, 50);
    let done = AtomicBool::new(false);
    let reads = thread::scope(|scope| {
        let reader = scope.spawn(|| whole.poll(&done));
        let guard = Done(&done);
        for _ in 0..12 {
            let children: Vec<Child> =
                (0..6).map(|_| stage.command(["--", "true"]).spawn().expect("fedboot starts")).collect();
            for child in children {
                stage.finish(child).assert_succeeded();
            }
            whole.assert();
            assert_eq!(beside(&stage.credentials_file()), ["credentials"]);
        }
        drop(guard);
        reader.join().expect("no torn read")
    });
    assert_eq!(stage.sandbox.issued().len(), 72);
    figure(&format!("files: 72 fedboots, six at a time, on one file; {reads} reads saw it whole"));
}

/// Two with different profiles to keep in mind: each one's own section survives the other's writes.
#[test]
fn agents_that_refresh_side_by_side_lose_nothing() {
    let stage = Stage::with(Sandbox::builder().credential_lifetime(Duration::from_secs(4)));
    let whole = with_profiles(&stage, 50);
    let held: Vec<_> = (0..4).map(|_| stage.hold(&[])).collect();
    let done = AtomicBool::new(false);
    let reads = thread::scope(|scope| {
        let reader = scope.spawn(|| whole.poll(&done));
        let guard = Done(&done);
        stage.sandbox.wait_for(16, "AssumeRoleWithWebIdentity", PATIENCE).expect("refreshes");
        drop(guard);
        reader.join().expect("no torn read")
    });
    figure(&format!("files: four agents, twelve refreshes, {reads} reads saw the file whole"));
    for held in held {
        held.release(&stage).assert_succeeded();
    }
    whole.assert();
    stage.run(["--", "true"]).assert_succeeded();
    assert_eq!(beside(&stage.credentials_file()), ["credentials"]);
}

/// The command may end at any moment, that of a refresh too.
#[test]
fn a_command_that_ends_in_a_refresh_leaves_nothing_beside_the_file() {
    let stage = Stage::with(Sandbox::builder().credential_lifetime(Duration::from_secs(2)));
    let _whole = with_profiles(&stage, 1500);
    for round in 0..12_u64 {
        let held = stage.hold(&[]);
        let issued = stage.sandbox.issued().len();
        eventually("a refresh", || stage.sandbox.issued().len() > issued);
        thread::sleep(Duration::from_micros(round * 250));
        held.release(&stage).assert_succeeded();
        assert_eq!(beside(&stage.credentials_file()), ["credentials"], "round {round}");
    }
}

/// As another fedboot that was stopped in the middle would: it holds the lock, and goes on holding it.
fn lock_directory(stage: &Stage) -> Flock<File> {
    fs::create_dir_all(stage.home().join(".aws")).expect("a directory");
    let directory = File::open(stage.home().join(".aws")).expect("it");
    Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno).expect("the lock")
}

#[test]
fn a_lock_that_is_never_released_is_an_error() {
    let stage = Stage::new();
    common::write(&stage.credentials_file(), OTHER);
    let lock = lock_directory(&stage);
    let start = Instant::now();
    stage.run(["--timeout=3s", "--", "touch", "ran"]).assert_failed(125, &[".aws", "locked", "stopped"]);
    figure(&format!("files: with --timeout=3s a held lock is reported after {:.1} s", start.elapsed().as_secs_f64()));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(stage.credentials_text(), OTHER);
    drop(lock);
    stage.run(["--", "true"]).assert_succeeded();
}

#[test]
fn a_lock_does_not_outlast_the_timeout() {
    let stage = Stage::new();
    let _lock = lock_directory(&stage);
    let start = Instant::now();
    stage.run(["--timeout=1", "--", "touch", "ran"]).assert_failed(125, &["locked"]);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(3), "--timeout=1 took {took:?}");
}

#[test]
fn a_lock_that_is_released_in_time_is_waited_for() {
    let stage = Stage::new();
    let lock = lock_directory(&stage);
    let child = stage.command(["--", "true"]).spawn().expect("fedboot starts");
    thread::sleep(Duration::from_millis(700));
    assert!(!stage.credentials_file().exists(), "it did not wait");
    drop(lock);
    stage.finish(child).assert_succeeded();
    assert!(stage.credentials_text().contains("aws_access_key_id = ASIA"));
}

/// A real one that is stopped anywhere: at worst the next one says so, and once it goes on both are done.
#[test]
fn a_fedboot_that_was_stopped_does_no_harm() {
    let stage = Stage::new();
    let whole = with_profiles(&stage, 2000);
    for round in 0..3_u64 {
        let mut stopped = agent(&stage);
        thread::sleep(Duration::from_millis(8 + round * 8));
        kill(stopped.id(), libc::SIGSTOP);
        let outcome = stage.run(["--timeout=3s", "--", "true"]);
        whole.assert();
        if outcome.code() != Some(0) {
            outcome.assert_failed(125, &["locked", "stopped"]);
        }
        kill(stopped.id(), libc::SIGCONT);
        kill(stopped.id(), libc::SIGKILL);
        stopped.wait().expect("its end");
    }
    stage.run(["--", "true"]).assert_succeeded();
    whole.assert();
    assert_eq!(beside(&stage.credentials_file()), ["credentials"]);
}

// kill -9.

/// An agent without a fedboot before it, so that its pid is known before it does anything; the command that it watches
/// is this test.
fn agent(stage: &Stage) -> Child {
    stage
        .command(["--fedboot-agent", &std::process::id().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the agent starts")
}

/// Kills `kills` agents while they write, several at a time; the file is whole after each and for a reader meanwhile.
fn kill_while_writing(kills: usize) {
    const SIDE_BY_SIDE: usize = 2;
    let stage = Stage::new();
    let whole = with_profiles(&stage, 1500);
    let done = AtomicBool::new(false);
    let (left, round, interrupted) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Instant::now();
    let reads = thread::scope(|scope| {
        let reader = scope.spawn(|| whole.poll(&done));
        let guard = Done(&done);
        let killers: Vec<_> = (0..SIDE_BY_SIDE)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = round.fetch_add(1, Ordering::Relaxed);
                        if number >= kills {
                            return;
                        }
                        let mut agent = agent(&stage);
                        let asked = stage.sandbox.issued().len();
                        let patience = Instant::now();
                        // Its answer is on the way, or another's: either way something is about to be written.
                        while stage.sandbox.issued().len() == asked && patience.elapsed() < Duration::from_secs(10) {
                            thread::sleep(Duration::from_micros(200));
                        }
                        // Spread over the time that reading, writing and syncing take.
                        let spread = (number as u64 * 37) % 95;
                        thread::sleep(Duration::from_micros(spread * spread));
                        kill(agent.id(), libc::SIGKILL);
                        agent.wait().expect("its end");
                        whole.assert();
                        let temporaries = leftovers(&stage);
                        left.fetch_max(temporaries, Ordering::Relaxed);
                        if temporaries > 0 {
                            interrupted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        for killer in killers {
            killer.join().expect("whole after each kill");
        }
        drop(guard);
        reader.join().expect("no torn read")
    });
    figure(&format!(
        "files: {kills} agents killed while they wrote, in {:.1} s; {} kills met a temporary file, {} at most at one \
         time; {reads} reads saw the file whole",
        start.elapsed().as_secs_f64(),
        interrupted.into_inner(),
        left.load(Ordering::Relaxed)
    ));
    // One of each agent that runs, and of the one before whose left-overs it has not swept yet.
    assert!(left.into_inner() <= 2 * SIDE_BY_SIDE, "temporary files pile up");
    stage.run(["--", "true"]).assert_succeeded();
    whole.assert();
    assert_eq!(beside(&stage.credentials_file()), ["credentials"], "left-overs after a whole run");
}

/// Temporary files beside the credentials file.
fn leftovers(stage: &Stage) -> usize {
    beside(&stage.credentials_file()).iter().filter(|name| name.starts_with(".credentials.fedboot-")).count()
}

#[test]
fn killed_while_it_writes_it_leaves_the_file_whole() {
    kill_while_writing(600);
}

#[test]
#[ignore = "a minute: the same ten thousand times"]
fn killed_ten_thousand_times_while_it_writes_it_leaves_the_file_whole() {
    // Not in one go: the sandbox remembers all that it has issued.
    for _ in 0..20 {
        kill_while_writing(500);
    }
}

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

/// Credentials that could not be written are written later, when there is room again.
#[test]
fn a_refresh_that_cannot_be_written_is_written_later() {
    let stage = Stage::with(Sandbox::builder().credential_lifetime(Duration::from_secs(6)));
    let held = stage.hold(&[]);
    let lock_after = stage.credentials_text();
    let file = stage.credentials_file();
    fs::remove_file(&file).expect("its end");
    fs::create_dir(&file).expect("a directory in its place");
    stage.sandbox.wait_for(2, "AssumeRoleWithWebIdentity", PATIENCE).expect("a refresh");
    fs::remove_dir(&file).expect("its end");
    eventually("it is written", || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("aws_access_key_id = ASIA"))
    });
    assert_ne!(stage.credentials_text(), lock_after);
    let outcome = held.release(&stage);
    outcome.assert_succeeded();
}
