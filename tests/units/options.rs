use fedboot::config::options::{Invocation, Options, parse_options, split};
use fedboot::system::input::InputValue;

use crate::{words, world};

#[test]
fn splits_at_the_first_dashes() {
    let mut options = Options::default();
    let argv = words("--role-arn=a --role-arn b=c --timeout 5 -- cmd --help -- x");
    let Ok((Invocation::Run(command), flags)) = split(&argv) else {
        panic!("no boot");
    };
    parse_options(flags, true, &mut options).expect("options");
    assert_eq!(command, words("cmd --help -- x"));
    let given = world(&[("FEDBOOT_TIMEOUT", "9"), ("AWS_REGION", "eu-west-1")]);
    assert_eq!(options.value(&given, "timeout"), Some(InputValue::new("--timeout", "5")));
    assert_eq!(options.value(&given, "region"), Some(InputValue::new("AWS_REGION", "eu-west-1")));
    assert_eq!(options.value(&given, "audience"), None);
    let flags = ["a", "b=c"].map(|value| InputValue::new("--role-arn", value));
    assert_eq!(options.texts(&given, "role-arn").expect("texts"), flags);
    let other = world(&[("FEDBOOT_POLICY_ARN", " a  b\n")]);
    let words = ["a", "b"].map(|value| InputValue::new("FEDBOOT_POLICY_ARN", value));
    assert_eq!(options.texts(&other, "policy-arn").expect("texts"), words);
}

#[test]
fn one_line_with_a_suggestion() {
    for (line, part) in [
        ("", "no -- before the command"),
        ("--", "no COMMAND after --"),
        ("boot", "a word that belongs to no option stands before --"),
        ("agemt -- x", "did you mean agent?"),
        ("stauts", "did you mean status?"),
        ("help tokne", "did you mean token?"),
        ("credentials-process --help", "did you mean credential-process?"),
        ("help sh", "a command stands behind --"),
        ("--frob=hunter2 -- x", "unknown option --frob;"),
        ("--eyJhbGciOiJSUzI1NiJ9.hunter2 -- x", "unknown option;"),
        ("--role-arm a -- x", "did you mean --role-arn?"),
        ("--role -- x", "did you mean --role-arn?"),
        ("--zzz -- x", "fedboot --help"),
        ("-x -- x", "unknown option -x"),
        ("--role-arn -- x", "--role-arn has no value"),
        ("--role-arn= -- x", "empty value"),
        ("--no-refresh=yes -- x", "takes no value"),
        ("--timeout 1 --timeout 2 -- x", "given twice"),
        ("agent -- x", "takes no command"),
        ("status x", "takes no command"),
        ("status --rol x", "did you mean --role-arn?"),
    ] {
        let argv = words(line);
        let error = split(&argv).and_then(|(typed, flags)| {
            parse_options(flags, matches!(typed, Invocation::Run(_)), &mut Options::default())
        });
        let error = error.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(part), "{line}: {error}");
    }
}
