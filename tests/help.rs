//! What `--help` says is what the program does.
#![allow(clippy::disallowed_methods, reason = "tests look at the real world")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output};

use fedboot::config::option_table::{Cloud, OPTIONS, Opt, RUN, TOKEN, VERBS, Verb};
use fedboot::config::options::{Invocation, Options, parse_options, split};

/// The binary to try: that of `scripts/test`, else the one that cargo built.
fn binary() -> PathBuf {
    std::env::var_os("FEDBOOT_BIN").map_or_else(|| env!("CARGO_BIN_EXE_fedboot").into(), PathBuf::from)
}

fn run<'a>(words: impl IntoIterator<Item = &'a str>) -> Output {
    Command::new(binary()).args(words).env_clear().output().expect("fedboot starts")
}

fn printed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let output = run(words);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn verbs() -> impl Iterator<Item = &'static Verb> {
    VERBS.iter().filter(|verb| verb.bit != 0)
}

/// The options in a text of help.
fn listed(help: &str) -> Vec<&str> {
    let lines = help.lines().filter_map(|line| line.strip_prefix("  --"));
    lines.map(|line| line.split(' ').next().expect("a name")).collect()
}

/// Words by which `verb` gets so far that it looks at its options, and no further: the level of the log is none.
fn called(verb: &Verb, option: &Opt, before: &[&str]) -> String {
    let mut words = vec![verb.name];
    // Which has no meaning for the other kinds.
    words.extend((verb.bit == TOKEN).then_some("id"));
    words.retain(|word| !word.is_empty());
    words.extend((verb.bit == TOKEN && option.name != "audience").then_some(["--audience", "a"]).into_iter().flatten());
    words.extend(before);
    let name = format!("--{}", option.name);
    words.push(&name);
    words.extend((!option.value.is_empty()).then_some("0"));
    words.extend((verb.bit == RUN).then_some(["--", "/bin/true"]).into_iter().flatten());
    String::from_utf8(run(words).stderr).expect("text")
}

#[test]
fn every_option_under_its_heading() {
    let help = printed(["--help"]);
    assert_eq!(listed(&help), OPTIONS.iter().map(|option| option.name).collect::<Vec<_>>());
    assert_eq!(printed(["help"]), help);
    assert_eq!(printed(["-h"]), help);
    let mut heading = "";
    for line in help.lines() {
        if let Some(option) = OPTIONS.iter().find(|option| line.starts_with(&format!("  {} ", option.typed()))) {
            assert_eq!(heading, format!("{}, {}:", option.group.name(), option.cloud.way()), "{line}");
        } else if line.ends_with(':') {
            heading = line;
        }
    }
}

#[test]
fn fits_a_terminal() {
    for verb in VERBS {
        for line in printed(["help", verb.name].into_iter().filter(|word| !word.is_empty())).lines() {
            assert!(line.chars().count() <= 100 && line.trim_end() == line, "{}: {line:?}", verb.name);
        }
    }
}

#[test]
fn a_verb_lists_what_it_takes() {
    for verb in verbs() {
        let names: Vec<&str> = if verb.bit == RUN {
            // Of this one there is no help apart.
            OPTIONS.iter().filter(|option| option.verbs & RUN != 0).map(|option| option.name).collect()
        } else {
            let help = printed(["help", verb.name]);
            assert_eq!(help, printed([verb.name, "--help"]));
            assert_eq!(help, printed([verb.name, "--timeout", "5", "-h"]));
            assert!(help.starts_with(&format!("usage:\n  fedboot {} ", verb.name)), "{help}");
            OPTIONS.iter().map(|option| option.name).filter(|name| listed(&help).contains(name)).collect()
        };
        assert!(names.len() > 4, "{names:?}");
        for option in OPTIONS {
            let level = if option.name == "log-level" { &[][..] } else { &["--log-level", "0"] };
            let said = called(verb, option, level);
            let is_refused = said.contains(&format!("--{} has no meaning here", option.name));
            assert_eq!(is_refused, !names.contains(&option.name), "{} --{}: {said}", verb.name, option.name);
            assert!(is_refused || said.contains("is none of") || option.name == "owner", "{}: {said}", option.name);
        }
    }
}

#[test]
fn each_way_has_its_own() {
    let provider = "projects/1/locations/global/workloadIdentityPools/pool/providers/provider";
    let to_google = ["--workload-identity-provider", provider];
    let to_aws = ["--role-arn", "arn:aws:iam::123456789012:role/worker"];
    let [run, ..] = VERBS else { panic!("no verb") };
    for option in OPTIONS.iter().filter(|option| option.verbs & RUN != 0) {
        let (before, part) = match (option.cloud, option.name) {
            (Cloud::Either, _) => continue,
            (_, "role-arn") => (to_google, "--role-arn is for AWS"),
            (_, "external-account" | "workload-identity-provider") => (to_aws, "--role-arn is for AWS"),
            (Cloud::Aws, _) => (to_google, "has no meaning here"),
            (Cloud::Google, _) => (to_aws, "has no meaning here"),
        };
        let said = called(run, option, &before);
        assert!(said.contains(part), "{}: {said}", option.name);
    }
}

#[test]
fn examples_can_be_typed() {
    for verb in verbs() {
        let help = printed(if verb.bit == RUN { vec!["--help"] } else { vec!["help", verb.name] });
        let (_, examples) = help.rsplit_once("\nexit code: ").expect("exit codes");
        let examples: Vec<_> = examples.lines().skip(1).filter(|line| !line.is_empty()).collect();
        assert_eq!(examples.len(), if verb.bit == RUN { 2 } else { 1 }, "{examples:?}");
        for example in examples {
            let (_, words) = example.split_once("fedboot").expect("an example");
            let words = words.split(")\"").next().unwrap_or_default();
            let argv: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
            let (typed, flags) = split(&argv).unwrap_or_else(|error| panic!("{example}: {error}"));
            assert_eq!(typed.verb(), verb.bit, "{example}");
            let mut options = Options::default();
            let parsed = parse_options(flags, matches!(typed, Invocation::Run(_)), &mut options);
            parsed.and_then(|()| options.refuse(&|option| option.verbs & verb.bit == 0)).expect(example);
        }
    }
}

#[test]
fn mistyped_verbs() {
    for (line, part) in [
        ("stauts", "did you mean status?"),
        ("tokne access", "did you mean token?"),
        ("credentials-process --role-arn x", "did you mean credential-process?"),
        ("agnet --help", "did you mean agent?"),
        ("help evn", "did you mean env?"),
        ("hlep", "did you mean help?"),
        ("sttaus -- true", "did you mean status?"),
        ("python app.py", "a word that belongs to no option stands before --"),
        ("help python", "a command stands behind --"),
        ("python --help", "a command stands behind --"),
    ] {
        let output = run(line.split(' '));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(125) && said.contains(part) && output.stdout.is_empty(), "{line}: {said}");
    }
}
