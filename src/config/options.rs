//! argv → what was typed. What it means is [`crate::config`]'s business.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::system::input::{self, InputValue};
use crate::system::shown;
use crate::system::world::World;

/// One option: a flag, else `FEDBOOT_<NAME>`, else the ecosystem's variables, else its default.
pub struct Opt {
    /// The name after `--`.
    pub name: &'static str,
    /// What its value is called; empty for a switch.
    pub value: &'static str,
    /// The ecosystem's own variables, first to last.
    pub variables: &'static [&'static str],
    /// Whether a metadata attribute may set it.
    pub attribute: bool,
    /// Whether it may be given more than once; in a variable white space separates the values.
    pub repeatable: bool,
    /// One line of help.
    pub help: &'static str,
}

const fn opt(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { name, value, variables: &[], attribute: false, repeatable: false, help }
}

/// Every option, in the order of `--help`.
pub const OPTIONS: &[Opt] = &[
    Opt {
        variables: &["AWS_ROLE_ARN"],
        attribute: true,
        repeatable: true,
        ..opt("role-arn", "[PROFILE=]ARN", "the AWS role to assume (template); further ones each for a profile")
    },
    Opt { attribute: true, ..opt("audience", "AUDIENCE", "audience of the Google ID token [sts.amazonaws.com]") },
    Opt {
        variables: &["AWS_ROLE_SESSION_NAME"],
        attribute: true,
        ..opt("role-session-name", "NAME", "session name in CloudTrail (template) [{hostname}]")
    },
    Opt { attribute: true, ..opt("duration", "TIME", "lifetime of the credentials: 3600, 90m, 12h [1h]") },
    Opt {
        repeatable: true,
        ..opt("then-role-arn", "[PROFILE=]ARN", "a second role, assumed with the first one's credentials (template)")
    },
    opt("external-id", "ID", "what the second role's trust policy asks for"),
    opt("source-identity", "NAME", "source identity of the second role's session"),
    Opt { repeatable: true, ..opt("session-tag", "KEY=VALUE", "a tag of the second role's session") },
    opt("session-policy", "FILE", "JSON policy that limits the session"),
    Opt { repeatable: true, ..opt("policy-arn", "ARN", "managed policy that limits the session") },
    Opt {
        variables: &["AWS_REGION", "AWS_DEFAULT_REGION"],
        attribute: true,
        ..opt("region", "REGION", "AWS region whose STS is asked [by the role's partition]")
    },
    Opt {
        variables: &["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"],
        ..opt("sts-endpoint", "URL", "another STS [the region's]")
    },
    opt("google-token-file", "FILE", "read the ID token from FILE [metadata server]"),
    opt("impersonate-service-account", "EMAIL", "be this service account [the default one, or the file's]"),
    Opt {
        variables: &["CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"],
        ..opt("iam-credentials-endpoint", "URL", "another IAM Credentials [https://iamcredentials.googleapis.com]")
    },
    Opt {
        variables: &["GOOGLE_APPLICATION_CREDENTIALS"],
        ..opt("external-account", "FILE", "AWS → Google: the file that gcloud wrote for a workload identity pool")
    },
    opt("workload-identity-provider", "NAME", "instead of a file: projects/N/locations/global/workloadIdentityPools/…"),
    Opt { repeatable: true, ..opt("scope", "SCOPE", "scope of the Google access token [cloud-platform]") },
    opt("identity", "SOURCE", "environment, profile, web-identity, container or imds [the first that is configured]"),
    opt("imdsv1", "", "accept version 1 of the instance metadata service too"),
    opt("assume-role-arn", "ARN", "an AWS role, assumed before Google is asked"),
    opt("proof", "KIND", "signed-request or web-identity-token (of AWS STS) [by the file]"),
    opt("subject-token-audience", "AUDIENCE", "audience of that token [https:, then the provider]"),
    opt("google-sts-endpoint", "URL", "another Google STS [by the file, https://sts.googleapis.com]"),
    Opt {
        variables: &["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"],
        ..opt("project", "ID", "the project that clients are told [the service account's]")
    },
    opt("metadata-port", "PORT", "port of the metadata server [any free one]"),
    opt(
        "allow-uid",
        "UID,…|any",
        "who may ask the metadata server, beside root and the agent's user [beside COMMAND, unless as root: nobody else; \
         any]",
    ),
    opt("access-token-file", "FILE", "where delivery access-token-file writes [in ~/.cache/fedboot]"),
    opt(
        "delivery",
        "LIST",
        "file,endpoint; or file, endpoint, process, token-file, env alone; or file with process or env; for Google \
         metadata, access-token-file, or both",
    ),
    Opt {
        variables: &["AWS_SHARED_CREDENTIALS_FILE"],
        ..opt("credentials-file", "FILE", "where credentials are written [~/.aws/credentials]")
    },
    opt("web-identity-token-file", "FILE", "where delivery token-file writes [beside the credentials file]"),
    opt("cache-file", "FILE", "what credential-process answers from [by the other options, in ~/.cache/fedboot]"),
    opt("file-mode", "MODE", "who may read what is written, as in chmod [0600]"),
    opt(
        "owner",
        "USER[:GID]",
        "as root: whose what is written is, at that user's home; COMMAND is still root's [root]",
    ),
    opt(
        "aws-profile",
        "NAME|none",
        "the profile that clients use [fedboot, where the delivery needs one]; for Google: that is read",
    ),
    opt("require", "PROFILE,…", "further roles that COMMAND waits for as well"),
    opt("on-failure", "exit|run", "what to do when there are no credentials in time [exit]"),
    opt("timeout", "TIME", "how long COMMAND may wait for credentials [60s]"),
    opt("no-refresh", "", "credentials once, never again"),
    opt("allow-http", "", "accept http: endpoints that are not on loopback or link-local"),
    opt(FLAGS_ONLY, "", "read no variable for any option"),
    opt("foreground", "", "agent: stay in front"),
    opt("follow-pid", "PID|FILE", "agent: end with this process, or with the one whose pid comes to stand in FILE"),
    opt("log-file", "FILE", "agent: append the log to FILE [stderr, unless that is a pipe]"),
    opt("format", "text|token|json", "status: text or json [text]; token: token or json [token]"),
    opt("log-format", "auto|text|json", "auto: text on a terminal, else JSON [auto]"),
    opt("log-level", "LEVEL", "debug, info, warning, error or critical [info; before COMMAND on a terminal warning]"),
];

/// What is said only when a second role is assumed.
pub const OF_A_SECOND_ROLE: &[&str] = &["then-role-arn", "external-id", "source-identity", "session-tag"];

/// The switch that leaves all variables unread.
pub const FLAGS_ONLY: &str = "flags-only";

/// What was typed.
pub enum Typed {
    /// `fedboot --help`.
    Help,
    /// `fedboot --version`.
    Version,
    /// `fedboot [OPTIONS] -- COMMAND [ARG…]`: the command and its arguments, never empty.
    Boot(Vec<OsString>),
    /// `fedboot agent [OPTIONS]`.
    Agent,
    /// `fedboot credential-process [OPTIONS]`.
    CredentialProcess,
    /// `fedboot token KIND [OPTIONS]`: which kind, if there is such a one.
    Token(Option<Kind>),
    /// `fedboot status [OPTIONS]`.
    Status,
    /// `fedboot env [OPTIONS]`.
    Env,
}

/// Which token `fedboot token` prints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An access token.
    Access,
    /// An ID token.
    Id,
    /// What google-auth's `executable` source asks for.
    Subject,
}

/// Options as typed: the flags, behind which the environment stands.
#[derive(Default)]
pub struct Options {
    flags: Vec<(&'static str, OsString)>,
    /// Whose variables are meant for somebody else.
    of_others: &'static [&'static str],
    /// Whether those of a second role are as well.
    role_is_typed: bool,
}

/// Splits argv without its first word into what is to be done and the words of the options.
///
/// # Errors
/// A usage error with a suggestion.
pub fn split(arguments: &[OsString]) -> Result<(Typed, &[OsString])> {
    let dashes = arguments.iter().position(|argument| argument == "--");
    let (before, command) = match dashes.and_then(|dashes| arguments.split_at_checked(dashes)) {
        Some((before, behind)) => (before, behind.get(1..)),
        None => (arguments, None),
    };
    match before
        .iter()
        .find_map(|argument| argument.to_str().filter(|a| ["--help", "-h", "--version", "-V"].contains(a)))
    {
        Some("--help" | "-h") => return Ok((Typed::Help, &[])),
        Some(_) => return Ok((Typed::Version, &[])),
        None => {}
    }
    let subcommand = match before.first().and_then(|word| word.to_str()) {
        Some("agent") => Typed::Agent,
        Some("credential-process") => Typed::CredentialProcess,
        Some("status") => Typed::Status,
        Some("env") => Typed::Env,
        Some("token") => {
            let kind = match before.get(1).and_then(|word| word.to_str()) {
                Some("access") => Kind::Access,
                Some("id") => Kind::Id,
                Some("subject") => Kind::Subject,
                _ => return Ok((Typed::Token(None), &[])),
            };
            return Ok((Typed::Token(Some(kind)), arguments.get(2..).unwrap_or_default()));
        }
        _ => {
            return match command {
                Some([]) => Err(Error::usage("no COMMAND after --").advice(USAGE)),
                Some(command) => Ok((Typed::Boot(command.to_vec()), before)),
                // A mistake in the options is the better answer.
                None => Err(parse_options(before, true, &mut Options::default())
                    .err()
                    .unwrap_or_else(|| Error::usage("no -- before the command").advice(USAGE))),
            };
        }
    };
    Ok((subcommand, arguments.get(1..).unwrap_or_default()))
}

/// Words that may stand where a command might be expected.
const SUBCOMMANDS: &[&str] = &["agent", "credential-process", "env", "status", "token"];

const USAGE: &str = "usage: fedboot [OPTIONS] -- COMMAND [ARG…] (fedboot --help lists subcommands and options)";

/// Reads the words of options; `options` gets those that stand before a mistake, too. Any other word is one, and the
/// advice depends on whether a command is to follow.
///
/// # Errors
/// A usage error with a suggestion.
pub fn parse_options(arguments: &[OsString], has_command: bool, options: &mut Options) -> Result<()> {
    let mut parser = lexopt::Parser::from_args(arguments);
    // What the parser says holds the word itself, which may be a key in the wrong place.
    let typed = |_| Error::usage("an option is malformed").advice(USAGE);
    while let Some(argument) = parser.next().map_err(typed)? {
        let name = match argument {
            lexopt::Arg::Long(name) => name.to_owned(),
            lexopt::Arg::Short(letter) if letter.is_ascii_alphanumeric() => {
                return Err(Error::usage(format!("unknown option -{letter}")).advice(USAGE));
            }
            lexopt::Arg::Short(_) => return Err(Error::usage("unknown option").advice(USAGE)),
            lexopt::Arg::Value(word) => return Err(stray(&word.to_string_lossy(), has_command)),
        };
        let Some(option) = OPTIONS.iter().find(|option| option.name == name) else {
            let shown = if is_option_name(&name) { format!(" --{name}") } else { String::new() };
            return Err(Error::usage(format!("unknown option{shown}")).advice(suggestion(&name)));
        };
        if !option.repeatable && options.flags_of(option.name).next().is_some() {
            return Err(Error::usage(format!("--{name} is given twice")));
        }
        let value = if option.value.is_empty() {
            if parser.optional_value().is_some() {
                return Err(Error::usage(format!("--{name} takes no value")));
            }
            "1".into()
        } else {
            parser.value().map_err(|_| {
                Error::usage(format!("--{name} has no value")).advice(format!("write --{name} {}", option.value))
            })?
        };
        if value.is_empty() {
            return Err(Error::usage(format!("--{name} has an empty value")));
        }
        options.flags.push((option.name, value));
    }
    Ok(())
}

/// A word that belongs to no option, and may be a value without its option.
fn stray(word: &str, has_command: bool) -> Error {
    let meant = input::closest(SUBCOMMANDS.iter().copied(), word);
    let meant = meant.map(|word| format!("did you mean {word}? ")).unwrap_or_default();
    if has_command {
        return Error::usage("a word that belongs to no option stands before --")
            .advice(format!("{meant}write fedboot [OPTIONS] -- COMMAND [ARG…]"));
    }
    Error::usage("there is a word that belongs to no option, and this takes no command")
        .advice(format!("{meant}{USAGE}"))
}

/// Whether somebody meant to write an option.
fn is_option_name(name: &str) -> bool {
    name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !shown::is_opaque(name)
}

fn suggestion(name: &str) -> String {
    let part = |option: &str| name.len() > 2 && (option.starts_with(name) || option.ends_with(name));
    OPTIONS
        .iter()
        .map(|option| (if part(option.name) { 0 } else { strsim::damerau_levenshtein(option.name, name) }, option.name))
        .filter(|(distance, _)| *distance <= 3)
        .min()
        .map_or_else(|| "fedboot --help lists the options".into(), |(_, option)| format!("did you mean --{option}?"))
}

impl Options {
    fn flags_of(&self, name: &str) -> impl Iterator<Item = &OsStr> {
        self.flags.iter().filter(move |(flag, _)| *flag == name).map(|(_, value)| value.as_os_str())
    }

    /// The option's value: the flag, else its variables in `world`.
    pub fn value(&self, world: &World, name: &str) -> Option<InputValue> {
        self.value_said_to_fedboot(world, name).or_else(|| {
            let option = OPTIONS.iter().find(|option| option.name == name && self.variables_count(name))?;
            option.variables.iter().find_map(|variable| InputValue::variable(world, variable))
        })
    }

    /// The same, but not from a variable that is for others too.
    pub fn value_said_to_fedboot(&self, world: &World, name: &str) -> Option<InputValue> {
        if let Some(value) = self.flags_of(name).next() {
            return Some(InputValue::new(format!("--{name}"), value));
        }
        if self.variables_count(name) { InputValue::variable(world, &variable_name(name)) } else { None }
    }

    fn variables_count(&self, name: &str) -> bool {
        let is_of_others = self.of_others.contains(&name) || (self.role_is_typed && OF_A_SECOND_ROLE.contains(&name));
        self.flags_of(FLAGS_ONLY).next().is_none() && !is_of_others
    }

    /// Gives `name` a value if it has none.
    pub fn set_default(&mut self, world: &World, name: &'static str, value: &str) {
        if self.value(world, name).is_none() {
            self.flags.push((name, value.into()));
        }
    }

    /// Has only flags count for `names`, and for what belongs to a role that is named by a flag.
    pub fn leave_variables(&mut self, names: &'static [&'static str]) {
        self.of_others = names;
        let typed = self.flags_of("role-arn").next().is_some();
        self.role_is_typed = typed;
    }

    /// Refuses flags that have no meaning here.
    ///
    /// # Errors
    /// A usage error that names the first of them.
    pub fn refuse(&self, names: &[&str]) -> Result<()> {
        match self.flags.iter().find(|(flag, _)| names.contains(flag)) {
            Some((flag, _)) => Err(Error::usage(format!("--{flag} has no meaning here")).advice(USAGE)),
            None => Ok(()),
        }
    }

    /// Refuses flags but `names`.
    ///
    /// # Errors
    /// A usage error that names the first other one.
    pub fn refuse_but(&self, names: &[&str]) -> Result<()> {
        self.refuse(&OPTIONS.iter().map(|option| option.name).filter(|name| !names.contains(name)).collect::<Vec<_>>())
    }

    /// The values of one that may be given more than once.
    ///
    /// # Errors
    /// A usage error where one is not UTF-8.
    pub fn texts(&self, world: &World, name: &str) -> Result<Vec<InputValue>> {
        if self.flags_of(name).next().is_some() {
            return self.flags_of(name).map(|value| checked(InputValue::new(format!("--{name}"), value))).collect();
        }
        let mut words = match self.text(world, name)? {
            Some(given) => given.split(char::is_whitespace)?,
            None => Vec::new(),
        };
        words.retain(|word| !word.raw().is_empty());
        Ok(words)
    }

    /// The value where it is text.
    ///
    /// # Errors
    /// A usage error where it is not UTF-8.
    pub fn text(&self, world: &World, name: &str) -> Result<Option<InputValue>> {
        self.value(world, name).map(checked).transpose()
    }

    /// The text itself, of an option that takes any.
    ///
    /// # Errors
    /// A usage error where it is not UTF-8.
    pub fn free_text(&self, world: &World, name: &str) -> Result<Option<String>> {
        self.value(world, name).map(|given| given.text().map(str::to_owned)).transpose()
    }
}

fn checked(given: InputValue) -> Result<InputValue> {
    given.text()?;
    Ok(given)
}

/// An option that cannot have this value.
pub fn invalid(name: &str, given: &InputValue) -> Error {
    hint(name, given.bad("has a value that it cannot have"))
}

/// What the option called `name` takes, as advice after `error`.
pub fn hint(name: &str, error: Error) -> Error {
    match OPTIONS.iter().find(|option| option.name == name) {
        Some(Opt { value, help, .. }) => error.advice(format!("write --{name} {value}: {help}")),
        None => error,
    }
}

/// `FEDBOOT_ROLE_ARN` for `role-arn`.
pub fn variable_name(option: &str) -> String {
    // One piece: each option of a boot is asked for by this name.
    let bytes = "FEDBOOT_".bytes().chain(option.bytes());
    let letters = bytes.map(|byte| if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() });
    String::from_utf8(letters.collect()).unwrap_or_default()
}

/// What `--help` prints.
pub fn help() -> String {
    let mut text = String::from(
        "fedboot gets short-lived cloud credentials, without any key, and becomes COMMAND.\n\n\
         usage: fedboot [OPTIONS] -- COMMAND [ARG…]    credentials first, then COMMAND; they stay fresh beside it\n       \
         fedboot agent [OPTIONS]                the same without COMMAND: eval \"$(fedboot agent)\"\n       \
         fedboot credential-process [OPTIONS]   one answer, for credential_process in an AWS profile\n       \
         fedboot token access|id [OPTIONS]      a Google token; token subject answers google-auth's executable source\n       \
         fedboot status [OPTIONS]               what the agent has; exit code 0 fresh, 1 stale, 2 none\n       \
         fedboot env [OPTIONS]                  what its command was given, for another shell: eval \"$(fedboot env)\"\n       \
         fedboot --help | --version\n\n\
         options (each also as FEDBOOT_NAME, then as the variables in parentheses):\n",
    );
    for option in OPTIONS {
        let left = format!("--{} {}", option.name, option.value);
        let variables =
            if option.variables.is_empty() { String::new() } else { format!(" ({})", option.variables.join(", ")) };
        let _ = writeln!(text, "  {left:<38} {}{variables}", option.help);
    }
    text + "\ntemplates: {service_account} {service_account_email} {project} {hostname} {instance_name} {attribute:NAME}\n\
            exit code: COMMAND's own; 125 fedboot failed, 126 COMMAND is not executable, 127 there is no COMMAND;\n\
            of agent, credential-process and token: 0, 1 no credentials, 2 called wrongly; of env 2 where there is no agent\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn splits_at_the_first_dashes() {
        let mut options = Options::default();
        let argv = words("--role-arn=a --role-arn b=c --timeout 5 -- cmd --help -- x");
        let Ok((Typed::Boot(command), flags)) = split(&argv) else {
            panic!("no boot");
        };
        parse_options(flags, true, &mut options).expect("options");
        assert_eq!(command, words("cmd --help -- x"));
        let world = World::imagined(&[("FEDBOOT_TIMEOUT", "9"), ("AWS_REGION", "eu-west-1")], || unreachable!());
        assert_eq!(options.value(&world, "timeout"), Some(InputValue::new("--timeout", "5")));
        assert_eq!(options.value(&world, "region"), Some(InputValue::new("AWS_REGION", "eu-west-1")));
        assert_eq!(options.value(&world, "audience"), None);
        let flags = ["a", "b=c"].map(|value| InputValue::new("--role-arn", value));
        assert_eq!(options.texts(&world, "role-arn").expect("texts"), flags);
        let world = World::imagined(&[("FEDBOOT_POLICY_ARN", " a  b\n")], || unreachable!());
        let words = ["a", "b"].map(|value| InputValue::new("FEDBOOT_POLICY_ARN", value));
        assert_eq!(options.texts(&world, "policy-arn").expect("texts"), words);
    }

    #[test]
    fn one_line_with_a_suggestion() {
        for (line, part) in [
            ("", "no -- before the command"),
            ("--", "no COMMAND after --"),
            ("boot", "a word that belongs to no option stands before --"),
            ("agemt -- x", "did you mean agent?"),
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
                parse_options(flags, matches!(typed, Typed::Boot(_)), &mut Options::default())
            });
            let error = error.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
