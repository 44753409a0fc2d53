//! Another local user who wishes us ill: plants files, links, pipes and locks where both may write.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::launch::{figure, has};
use crate::common::{self, Outcome, Stage, eventually};
use crate::{NOBODY as ATTACKER, as_user, may_become_another};

const ROOT: u32 = 0;
const VICTIM: u32 = 1000;

/// A victim with a home of their own, and beside it a directory where everybody may write.
struct Scene {
    stage: Stage,
    victim: u32,
}

impl Scene {
    fn new(victim: u32) -> Self {
        let stage = Stage::new();
        let scene = Self { stage, victim };
        fs::set_permissions(scene.stage.directory.path(), Permissions::from_mode(0o755)).expect("a mode");
        std::os::unix::fs::chown(scene.stage.home(), Some(victim), Some(victim)).expect("an owner");
        fs::create_dir(scene.shared()).expect("a directory");
        fs::set_permissions(scene.shared(), Permissions::from_mode(0o1777)).expect("a mode");
        scene
    }

    fn shared(&self) -> PathBuf {
        self.stage.directory.path().join("shared")
    }

    /// A shell of `user` in the shared directory; `$v` is a file of the victim's.
    fn shell(&self, user: u32, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).uid(user).gid(user).current_dir(self.shared());
        command.env("v", self.precious()).stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn does(&self, user: u32, script: &str) -> String {
        let output = self.shell(user, script).output().expect("a shell");
        let outcome = Outcome::from(output);
        assert!(outcome.code() == Some(0), "{script}: {}", outcome.stderr);
        outcome.stdout
    }

    /// What nobody may overwrite by the victim's hand.
    fn precious(&self) -> PathBuf {
        self.stage.home().join("precious")
    }

    fn boots(&self, arguments: &[&str]) -> (Outcome, Duration) {
        let start = Instant::now();
        (as_user(&self.stage, self.victim, arguments), start.elapsed())
    }

    /// What the attacker can read of all that stands in the shared directory.
    fn loot(&self) -> String {
        self.does(ATTACKER, "find . -type f -exec cat {} + 2>/dev/null; exit 0")
    }

    /// No key that was issued is in what the attacker reads, and nothing else of the victim's is another's.
    #[track_caller]
    fn assert_nothing_lost(&self, name: &str) {
        self.stage.assert_no_secret(&self.loot());
        assert_eq!(fs::read_to_string(self.precious()).expect("it is there"), PRECIOUS, "{name}");
    }
}

const PRECIOUS: &str = "[precious]\nkey = value\n";

/// Rows: what is done before, by whom, and what the error says; where it says nothing the boot goes on.
const TRAPS: &[(&str, u32, &[&str])] = &[
    (":>creds; chmod 666 creds", ATTACKER, &["shared/creds", "belongs to user 65534", "remove it"]),
    (":>creds; chmod 600 creds", ATTACKER, &["belongs to user 65534", "remove it"]),
    ("ln -s $v creds", ATTACKER, &["the link", "shared/creds belongs to user 65534", "directory of your own"]),
    (":>mine; chmod 666 mine; ln -s mine creds", ATTACKER, &["belongs to user 65534"]),
    ("mkdir m; chmod 777 m; ln -s m/new creds", ATTACKER, &["belongs to user 65534"]),
    (":>mine; chmod 666 mine; ln mine creds", ATTACKER, &["belongs to user 65534"]),
    ("mkfifo -m 666 creds", ATTACKER, &["shared/creds", "not a regular file"]),
    ("mkdir creds; chmod 777 creds", ATTACKER, &["shared/creds", "directory"]),
    // As where the kernel lets everybody link to what is not theirs, or make devices.
    ("mknod -m 666 creds c 1 5", ROOT, &["not a regular file"]),
    ("ln $v creds", ROOT, &[]),
    // Names of fedboot's own.
    (":>.creds.fedboot.lock; chmod 666 .creds.fedboot.lock", ATTACKER, &[]),
    ("ln -s $v .creds.fedboot.lock", ATTACKER, &[]),
    ("mkfifo -m 666 .creds.fedboot.lock", ATTACKER, &[]),
    ("mkdir .creds.fedboot.lock", ATTACKER, &[]),
    ("mkfifo -m 666 .fedboot-0123456789ab.token .fedboot-0123456789ab.jwt .fedboot-0123456789ab.status", ATTACKER, &[]),
    ("mkfifo -m 666 .fedboot-x.token .fedboot-cache-0123456789abcdef.json .creds.fedboot-0123456789ab", ATTACKER, &[]),
    ("ln -s $v .fedboot-0123456789ab.token; ln -s $v .creds.fedboot-0123456789ab", ATTACKER, &[]),
    (
        "mkdir .fedboot-0123456789ab.token .fedboot-0123456789ab.jwt .fedboot-cache-0123456789abcdef.json.lock",
        ATTACKER,
        &[],
    ),
];

#[test]
fn what_another_has_planted_in_a_shared_directory() {
    if !may_become_another("what_another_has_planted_in_a_shared_directory") {
        return;
    }
    for victim in [ROOT, VICTIM] {
        for (trap, by, parts) in TRAPS {
            let name = format!("user {victim}, {trap}");
            let scene = Scene::new(victim);
            fs::write(scene.precious(), PRECIOUS).expect("a file");
            std::os::unix::fs::chown(scene.precious(), Some(victim), Some(victim)).expect("an owner");
            scene.does(*by, trap);
            let before = fs::symlink_metadata(scene.shared().join("creds")).ok();
            let file = scene.shared().join("creds").display().to_string();
            let arguments =
                ["--timeout=8s", "--credentials-file", &file, "--", "sh", "-c", "find . -name creds; exit 7"];
            let (outcome, took) = scene.boots(&arguments);
            assert!(took < Duration::from_secs(9), "{name} took {took:?}");
            scene.assert_nothing_lost(&name);
            if parts.is_empty() {
                assert_eq!(outcome.code(), Some(7), "{name}: {}", outcome.stderr);
                let after = fs::symlink_metadata(&file).expect("the file");
                assert_eq!((after.is_file(), after.uid(), after.mode() & 0o777), (true, victim, 0o600), "{name}");
                let text = fs::read_to_string(&file).expect("it");
                assert!(text.contains("aws_access_key_id = ASIA"), "{name}: {text}");
            } else {
                outcome.assert_failed(125, parts);
                let (before, after) = (before.expect(&name), fs::symlink_metadata(&file).expect("it"));
                assert_eq!(
                    (before.ino(), before.uid(), before.len(), before.mode()),
                    (after.ino(), after.uid(), after.len(), after.mode()),
                    "{name}: it was touched"
                );
            }
        }
    }
}

#[test]
fn a_directory_of_another() {
    if !may_become_another("a_directory_of_another") {
        return;
    }
    for victim in [ROOT, VICTIM] {
        for (trap, file) in [
            ("mkdir d; chmod 777 d", "d/creds"),
            ("mkdir d; chmod 1777 d; :>d/creds; chmod 666 d/creds", "d/creds"),
            ("mkdir d; :>d/creds; chmod 755 d", "d/creds"),
            ("mkdir -p m/d; chmod 777 m/d; ln -s m/d d", "d/creds"),
            ("mkdir m; ln -s ../home d", "d/creds"),
            ("mkdir d; chmod 777 d", "d/../d/creds"),
        ] {
            let scene = Scene::new(victim);
            scene.does(ATTACKER, trap);
            let file = scene.shared().join(file).display().to_string();
            let (outcome, _) = scene.boots(&["--timeout=8s", "--credentials-file", &file, "--", "true"]);
            outcome.assert_failed(125, &["belongs to user 65534", "directory of your own"]);
            scene.stage.assert_no_secret(&scene.loot());
            assert!(!scene.stage.home().join("creds").exists());
        }
    }
}

/// What root has made in another's directory is root's; what that user has made there is theirs, and theirs alone.
#[test]
fn root_writes_into_a_home_and_nobody_elses() {
    if !may_become_another("root_writes_into_a_home_and_nobody_elses") {
        return;
    }
    let owned = "d=../home/.aws; mkdir $d; chown 1000:1000 ../home $d";
    for (name, prepare, parts) in [
        ("nothing there", owned.to_owned(), None),
        ("the user's file", format!("{owned}; :>$d/credentials; chown 1000:1000 $d/credentials"), None),
        (
            "another's file",
            format!("{owned}; :>$d/credentials; chown 65534 $d/credentials"),
            Some(["belongs to user 65534", "remove it"]),
        ),
        (
            "the user's file, where everybody may have put it",
            format!("{owned}; :>$d/credentials; chown 1000:1000 $d/credentials; chmod 777 $d"),
            Some(["belongs to user 1000", "remove it"]),
        ),
        (
            "the user's link",
            format!("{owned}; ln -s /etc/fedboot-x $d/credentials; chown -h 1000 $d/credentials"),
            Some(["the link", "belongs to user 1000"]),
        ),
    ] {
        let scene = Scene::new(ROOT);
        scene.does(ROOT, &prepare);
        let file = scene.stage.credentials_file().display().to_string();
        let (outcome, _) = scene.boots(&["--credentials-file", &file, "--", "true"]);
        if let Some(parts) = parts {
            outcome.assert_failed(125, &parts);
            continue;
        }
        outcome.assert_succeeded();
        let file = fs::metadata(scene.stage.credentials_file()).expect("the file");
        let expected = if name == "nothing there" { ROOT } else { VICTIM };
        assert_eq!((file.uid(), file.mode() & 0o777), (expected, 0o600), "{name}");
    }
}

/// Kubernetes' emptyDir: root's, and everybody may write.
#[test]
fn a_volume_where_everybody_may_write() {
    if !may_become_another("a_volume_where_everybody_may_write") {
        return;
    }
    for victim in [ROOT, VICTIM] {
        let scene = Scene::new(victim);
        fs::set_permissions(scene.shared(), Permissions::from_mode(0o777)).expect("a mode");
        let file = scene.shared().join("creds").display().to_string();
        for _ in 0..2 {
            scene.boots(&["--credentials-file", &file, "--", "true"]).0.assert_succeeded();
        }
        let metadata = fs::metadata(&file).expect("the file");
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (victim, 0o600));
        scene.stage.assert_no_secret(&scene.loot());
        assert_eq!(scene.does(ATTACKER, "ls -A"), "creds\n");
        // Root's own from before, open to all, is closed.
        scene.does(ROOT, "rm creds; :>creds; chmod 666 creds");
        scene.boots(&["--credentials-file", &file, "--", "true"]).0.assert_succeeded();
        scene.stage.assert_no_secret(&scene.loot());
    }
}

/// A file that may be written but not replaced, nor closed to others, would show the keys to all.
#[test]
fn a_file_that_stays_open_to_all_is_not_written() {
    if !may_become_another("a_file_that_stays_open_to_all_is_not_written") {
        return;
    }
    for trap in [":>creds; chmod 666 creds", ":>other; chmod 666 other; ln other creds"] {
        let scene = Scene::new(VICTIM);
        scene.does(ROOT, trap);
        let file = scene.shared().join("creds").display().to_string();
        let (outcome, _) = scene.boots(&["--credentials-file", &file, "--", "true"]);
        outcome.assert_failed(125, &["shared/creds", "others may read it", "remove it"]);
        assert_eq!(fs::metadata(&file).expect("it").len(), 0);
    }
}

/// A process of the attacker's that holds a lock until it is dropped.
struct Lock(Child);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lock(scene: &Scene, path: &Path) -> Lock {
    let script = format!("exec flock -o -x {} sh -c 'echo>held; exec sleep 60'", path.display());
    let child = scene.shell(ATTACKER, &script).spawn().expect("flock starts");
    let lock = Lock(child);
    eventually("it is locked", || scene.shared().join("held").exists());
    lock
}

/// Whoever may open a directory or a file may lock it.
#[test]
fn locks_that_another_holds() {
    let name = "locks_that_another_holds";
    if !may_become_another(name) || !has(name, "flock") {
        return;
    }
    for victim in [ROOT, VICTIM] {
        for (what, mode) in [(".aws", 0o755), (".aws/credentials", 0o644), ("../shared/.creds.fedboot.lock", 0o1777)] {
            let scene = Scene::new(victim);
            let path = scene.stage.home().join(what);
            common::write(&scene.stage.credentials_file(), "");
            let shared = scene.shared().join("creds").display().to_string();
            let mut arguments = vec!["--timeout=8s"];
            if what.contains("shared") {
                scene.does(ATTACKER, ":>.creds.fedboot.lock; chmod 666 .creds.fedboot.lock");
                arguments.extend(["--credentials-file", &shared]);
            } else {
                fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
            }
            for owned in [".aws", ".aws/credentials"] {
                std::os::unix::fs::chown(scene.stage.home().join(owned), Some(victim), Some(victim)).expect("an owner");
            }
            let _lock = lock(&scene, &path);
            arguments.extend(["--", "true"]);
            let (outcome, took) = scene.boots(&arguments);
            assert_eq!(outcome.code(), Some(0), "user {victim}, {what}: {}", outcome.stderr);
            assert!(took < Duration::from_secs(4), "user {victim}, {what} took {took:?}");
        }
    }
}

/// `flock` may fail with anything, always.
#[test]
fn locks_that_fail() {
    let name = "locks_that_fail";
    if !has(name, "strace") {
        return;
    }
    for errno in [
        "EIO",
        "EACCES",
        "EPERM",
        "ENOLCK",
        "ENOSYS",
        "EINTR",
        "EBADF",
        "EAGAIN",
        "EIO:when=2+",
        "EIO:when=3+",
        "EIO:when=5+",
    ] {
        for arguments in [&["--timeout=2s", "--", "true"][..], &["credential-process", "--timeout=2s"]] {
            let stage = Stage::new();
            let mut strace = stage.wrapper("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e"]);
            strace.arg(format!("inject=flock:error={errno}")).arg(common::binary()).args(arguments);
            let start = Instant::now();
            let mut child = strace.spawn().expect("strace starts");
            drop(child.stdin.take());
            let outcome = stage.finish(child);
            let took = start.elapsed();
            assert!(took < Duration::from_secs(10), "{errno} {arguments:?} took {took:?}");
            if errno == "EAGAIN" {
                assert_ne!(outcome.code(), Some(0), "{errno}: {}", outcome.stdout);
                assert!(outcome.stderr.contains("lock"), "{errno}: {}", outcome.stderr);
            } else {
                outcome.assert_succeeded();
            }
            let left = names_below(&stage.home());
            assert!(left.len() <= 3, "{errno} {arguments:?}: {left:?}");
        }
    }
}

/// Every file below a directory.
fn names_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().expect("a type").is_dir() {
            found.extend(names_below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// A cache that the attacker has written into a shared place answers nobody.
#[test]
fn a_planted_cache_counts_as_nothing() {
    if !may_become_another("a_planted_cache_counts_as_nothing") {
        return;
    }
    for victim in [ROOT, VICTIM] {
        for trap in [
            "cp genuine cache; chmod 644 cache",
            "cp genuine cache; chmod 666 cache",
            "ln -s genuine cache",
            "mkfifo -m 666 cache",
            "cp genuine cache; :>cache.lock; chmod 666 cache.lock",
            "mkfifo -m 666 cache.lock",
        ] {
            let scene = Scene::new(victim);
            let file = scene.shared().join("cache").display().to_string();
            let arguments = ["credential-process", "--timeout=8s", "--cache-file", &file];
            scene.boots(&arguments).0.assert_succeeded();
            // The sandbox's keys are all alike to the attacker: what counts is that the victim does not take them.
            scene.does(ROOT, "mv cache genuine; rm -f cache.lock; chmod 644 genuine; chown 65534 genuine");
            scene.does(ATTACKER, trap);
            let (outcome, took) = scene.boots(&arguments);
            assert!(took < Duration::from_secs(9), "{trap} took {took:?}");
            let newest = scene.stage.sandbox.issued();
            assert_eq!(newest.len(), 2, "user {victim}, {trap}: answered from what was planted: {}", outcome.stderr);
            assert!(outcome.stdout.contains(&newest[1].access_key_id), "{trap}: {}", outcome.stderr);
            fs::remove_file(scene.shared().join("genuine")).expect("its end");
            let _ = fs::remove_file(scene.shared().join("cache")).ok().filter(|()| trap.starts_with("mkfifo"));
            scene.stage.assert_no_secret(&scene.loot());
        }
    }
}

/// A private directory that somebody else has made, or leads elsewhere.
#[test]
fn a_planted_private_directory() {
    if !may_become_another("a_planted_private_directory") {
        return;
    }
    for victim in [ROOT, VICTIM] {
        for trap in [
            "mkdir fedboot-$n; chmod 777 fedboot-$n",
            "mkdir fedboot-$n; chmod 700 fedboot-$n",
            "mkdir m; chmod 777 m; ln -s m fedboot-$n",
            "ln -s ../home fedboot-$n",
            ":>fedboot-$n; chmod 666 fedboot-$n",
            "mkfifo -m 666 fedboot-$n",
        ] {
            let mut scene = Scene::new(victim);
            scene.does(ATTACKER, &format!("n={victim}; {trap}"));
            // There is no other place: what comes first is planted, and what comes last stays as it was.
            let shared = scene.shared();
            scene.stage.set("XDG_RUNTIME_DIR", shared).set("HOME", "/dev/null");
            let show = [
                "--",
                "sh",
                "-c",
                "echo \"$AWS_SHARED_CREDENTIALS_FILE\"; stat -c %u:%a \"$AWS_SHARED_CREDENTIALS_FILE\"",
            ];
            let (outcome, _) = scene.boots(&show);
            if outcome.code() == Some(0) {
                let lines: Vec<_> = outcome.stdout.lines().collect();
                assert!(!lines[0].starts_with(&scene.shared().display().to_string()), "{trap}: {}", outcome.stdout);
                assert_eq!(lines[1], format!("{victim}:600"), "{trap}");
                let _ = fs::remove_dir_all(Path::new(lines[0]).parent().expect("its directory"));
            }
            scene.stage.assert_no_secret(&scene.loot());
        }
    }
}

/// What somebody has named is read, whatever it is, but not waited for.
#[test]
fn pipes_and_devices_are_not_read() {
    let stage = Stage::new();
    let pipe = stage.directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let pipe = pipe.display().to_string();
    for file in [&pipe, "/dev/zero"] {
        for option in ["--google-token-file", "--session-policy", "--external-account"] {
            let mut stage = Stage::new();
            if option == "--external-account" {
                stage.unset("FEDBOOT_ROLE_ARN");
            }
            let start = Instant::now();
            let outcome = stage.run(["--timeout=20s", option, file, "--", "true"]);
            outcome.assert_failed(125, &[]);
            assert!(outcome.stderr.contains("regular file"), "{option} {file}: {}", outcome.stderr);
            assert!(start.elapsed() < Duration::from_secs(5), "{option} {file}");
        }
        for variable in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
            let mut stage = Stage::new();
            stage.unset("AWS_CA_BUNDLE").set(variable, file);
            let start = Instant::now();
            let outcome = stage.run(["--timeout=20s", "--", "true"]);
            assert_eq!(outcome.code(), Some(125), "{variable} {file}");
            assert!(start.elapsed() < Duration::from_secs(5), "{variable} {file}");
        }
    }
}

/// A shell's `<(…)` is a pipe too, and so is standard input.
#[test]
fn a_shells_substitution_is_read() {
    if !has("a_shells_substitution_is_read", "bash") {
        return;
    }
    let mut stage = Stage::new();
    let token = stage.sandbox.id_token("sts.amazonaws.com");
    stage.set("TOKEN", token).set("FEDBOOT", common::binary());
    for script in [
        "\"$FEDBOOT\" credential-process --google-token-file <(sleep 0.2; echo \"$TOKEN\")",
        "echo \"$TOKEN\" | \"$FEDBOOT\" credential-process --google-token-file /dev/stdin --duration 20m",
    ] {
        let mut child = stage.wrapper("bash").args(["-c", script]).spawn().expect("bash starts");
        drop(child.stdin.take());
        let outcome = stage.finish(child);
        outcome.assert_succeeded();
        assert!(outcome.stdout.contains("SecretAccessKey"), "{script}");
    }
    figure("files: a token was read from a shell's substitution");
}
