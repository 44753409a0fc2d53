//! Places that only a mount namespace has.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::common::launch::may_unshare;
use crate::common::{self, Outcome, Stage, binary};
use crate::{OTHER, mode};

/// fedboot with these arguments in a mount namespace of its own, in which `mounts` has run; `$h` is the home, `$d` the
/// directory above it. `after` runs when fedboot and its command are done, and says on stdout what is there then.
pub fn in_mounts(stage: &Stage, mounts: &str, arguments: &[&str], after: &str) -> Outcome {
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
