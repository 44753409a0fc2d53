use std::ffi::OsString;

use fedboot::commands::entrypoint::warning;
use fedboot::config::options::Options;

use crate::{words, world};

fn warned(line: &str) -> Option<String> {
    warning(&words(line), &Options::default(), &world(&[]))
}

#[test]
fn who_becomes_another_user() {
    for (line, owner) in [
        ("setpriv --reuid 1000 --regid 1000 --clear-groups python app.py", "1000"),
        ("/usr/bin/setpriv --regid 5 --clear-groups --reuid=app app", "app"),
        ("gosu app:staff app", "app"),
        ("su-exec 1000:1000 app", "1000"),
        ("chpst -u app:staff app", "app"),
        ("chpst -v -P -u :1000:1000 app", "1000"),
        ("s6-setuidgid www-data app", "www-data"),
        ("runuser -u app -- app -x", "app"),
        ("runuser -l app -c app", "app"),
        ("su - app -c run", "app"),
        ("su -s /bin/sh -c run app", "app"),
        ("su -s/bin/sh app", "app"),
        ("sudo -u app app", "app"),
        ("sudo -nEu app app", "app"),
        ("sudo -g staff --user=app app", "app"),
        ("sudo -u #1000 app", "1000"),
        ("start-stop-daemon --start --exec /bin/app --chuid app:app -- -x", "app"),
        ("start-stop-daemon -S -x /bin/app -capp", "app"),
        ("chroot --userspec=app:app / app", "app"),
        ("tini -- gosu app app", "app"),
        ("/sbin/tini -g -p SIGTERM gosu app app", "app"),
        ("dumb-init --rewrite 15:3 -- setpriv --reuid 7 app", "7"),
        ("env -i -u X A=1 B=2 gosu app app", "app"),
        ("with-secrets --from x -- gosu app app", "app"),
        ("setuser app app", "app"),
        ("capsh --user=app -- -c app", "app"),
        ("tini -- nice -n 5 timeout -k 5 10 env A=1 nohup su-exec app app", "app"),
    ] {
        let end = format!(": say --owner {owner}");
        assert!(warned(line).is_some_and(|warning| warning.ends_with(&end)), "{line}: {:?}", warned(line));
    }
}

#[test]
fn who_does_not() {
    for line in [
        "python app.py",
        "setpriv --nnp app --x",
        "setpriv --reuid 0 app",
        "gosu root app",
        "gosu root:staff app",
        "gosu --version",
        "gosu",
        "chpst -o 100 app",
        "su",
        "su -",
        "su -c app",
        "su - root",
        "sudo app -u x",
        "sudo -g staff app",
        "start-stop-daemon --start --exec /bin/app -- --chuid x",
        "tini -- app gosu x",
        "echo gosu app",
        "env A=1",
        "timeout 5",
        "tini tini tini tini tini tini tini tini tini gosu app app",
    ] {
        assert_eq!(warned(line), None, "{line}");
    }
}

#[test]
fn what_is_no_name_is_not_shown() {
    let warning = warned("gosu wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY app").expect("a warning");
    assert!(warning.ends_with("say --owner with that user") && !warning.contains("wJalr"), "{warning}");
}

#[test]
fn only_where_files_are_for_root_alone() {
    let command = ["gosu", "app", "app"].map(OsString::from);
    for (variables, warns) in [
        (&[][..], true),
        (&[("FEDBOOT_DELIVERY", "endpoint")], true),
        (&[("FEDBOOT_DELIVERY", "env")], false),
        (&[("FEDBOOT_FILE_MODE", "0644")], false),
        (&[("FEDBOOT_OWNER", "app")], false),
        (&[("FEDBOOT_WORKLOAD_IDENTITY_PROVIDER", "x")], false),
        (&[("FEDBOOT_WORKLOAD_IDENTITY_PROVIDER", "x"), ("FEDBOOT_DELIVERY", "access-token-file")], true),
    ] {
        let found = warning(&command, &Options::default(), &world(variables));
        assert_eq!(found.is_some(), warns, "{variables:?}");
    }
    let mut world = world(&[]);
    world.user = 1;
    assert_eq!(warning(&command, &Options::default(), &world), None);
}
