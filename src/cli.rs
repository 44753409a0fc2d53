//! argv → what was typed. What it means is [`crate::config`]'s business.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::world::World;

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
    /// One line of help.
    pub help: &'static str,
}

const fn opt(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { name, value, variables: &[], attribute: false, help }
}

/// Every option, in the order of `--help`.
pub const OPTIONS: &[Opt] = &[
    Opt {
        variables: &["AWS_ROLE_ARN"],
        attribute: true,
        ..opt("role-arn", "ARN", "the AWS role to assume (template)")
    },
    Opt { attribute: true, ..opt("audience", "AUDIENCE", "audience of the Google ID token [sts.amazonaws.com]") },
    Opt {
        variables: &["AWS_ROLE_SESSION_NAME"],
        attribute: true,
        ..opt("role-session-name", "NAME", "session name in CloudTrail (template) [{hostname}]")
    },
    Opt { attribute: true, ..opt("duration", "TIME", "lifetime of the credentials: 3600, 90m, 12h [1h]") },
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
    opt("impersonate-service-account", "EMAIL", "use this service account's ID token"),
    Opt {
        variables: &["CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"],
        ..opt("iam-credentials-endpoint", "URL", "another IAM Credentials [https://iamcredentials.googleapis.com]")
    },
    Opt {
        variables: &["AWS_SHARED_CREDENTIALS_FILE"],
        ..opt("credentials-file", "FILE", "where credentials are written [~/.aws/credentials]")
    },
    opt("delivery", "LIST", "file, endpoint or both, separated by a comma [file,endpoint]"),
    opt("on-failure", "exit|run", "what to do when there are no credentials in time [exit]"),
    opt("timeout", "TIME", "how long COMMAND may wait for credentials [60s]"),
    opt("no-refresh", "", "credentials once, never again"),
    opt("allow-http", "", "accept http: endpoints that are not on loopback or link-local"),
    opt("log-format", "auto|text|json", "auto: text on a terminal, else JSON [auto]"),
    opt("log-level", "LEVEL", "debug, info, warning, error or critical [info]"),
];

/// What was typed.
pub enum Typed {
    /// `fedboot --help`.
    Help,
    /// `fedboot --version`.
    Version,
    /// `fedboot [OPTIONS] -- COMMAND [ARG…]`.
    Boot {
        /// The command and its arguments, never empty.
        command: Vec<OsString>,
    },
}

/// Options as typed: the flags, behind which the environment stands.
#[derive(Default)]
pub struct Options(Vec<(&'static str, OsString)>);

/// Reads argv without its first word; `options` gets those that stand before a mistake, too.
///
/// # Errors
/// A usage error with a suggestion.
pub fn parse(arguments: &[OsString], options: &mut Options) -> Result<Typed> {
    let (before, command) = match arguments.iter().position(|argument| argument == "--") {
        Some(dashes) => (&arguments[..dashes], Some(&arguments[dashes + 1..])),
        None => (arguments, None),
    };
    match before
        .iter()
        .find_map(|argument| argument.to_str().filter(|a| ["--help", "-h", "--version", "-V"].contains(a)))
    {
        Some("--help" | "-h") => return Ok(Typed::Help),
        Some(_) => return Ok(Typed::Version),
        None => {}
    }
    parse_options(before, options)?;
    match command {
        Some([]) => Err(Error::usage("no COMMAND after --").advice(USAGE)),
        Some(command) => Ok(Typed::Boot { command: command.to_vec() }),
        None => Err(Error::usage("no -- before the command").advice(USAGE)),
    }
}

const USAGE: &str = "usage: fedboot [OPTIONS] -- COMMAND [ARG…] (fedboot --help lists the options)";

/// Reads the options alone, as the agent gets them.
///
/// # Errors
/// A usage error with a suggestion.
pub fn parse_options(arguments: &[OsString], options: &mut Options) -> Result<()> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let typed = |error: lexopt::Error| Error::usage(error.to_string()).advice(USAGE);
    while let Some(argument) = parser.next().map_err(typed)? {
        let name = match argument {
            lexopt::Arg::Long(name) => name.to_owned(),
            lexopt::Arg::Short(letter) => return Err(Error::usage(format!("unknown option -{letter}")).advice(USAGE)),
            lexopt::Arg::Value(word) => {
                let word = word.to_string_lossy();
                return Err(Error::usage(format!("{word:?} stands before --"))
                    .advice(format!("write fedboot [OPTIONS] -- {word} …")));
            }
        };
        let Some(option) = OPTIONS.iter().find(|option| option.name == name) else {
            return Err(Error::usage(format!("unknown option --{name}")).advice(suggestion(&name)));
        };
        if options.flag(option.name).is_some() {
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
        options.0.push((option.name, value));
    }
    Ok(())
}

fn suggestion(name: &str) -> String {
    OPTIONS
        .iter()
        .map(|option| (strsim::damerau_levenshtein(option.name, name), option.name))
        .filter(|(distance, option)| *distance <= 3 || (name.len() > 2 && option.starts_with(name)))
        .min()
        .map_or_else(|| "fedboot --help lists the options".into(), |(_, option)| format!("did you mean --{option}?"))
}

impl Options {
    fn flag(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(flag, _)| *flag == name).map(|(_, value)| value.as_os_str())
    }

    /// The option's value: the flag, else its variables in `world`.
    pub fn value(&self, world: &World, name: &str) -> Option<OsString> {
        if let Some(value) = self.flag(name) {
            return Some(value.into());
        }
        let option = OPTIONS.iter().find(|option| option.name == name)?;
        world
            .variable(&variable_name(name))
            .or_else(|| option.variables.iter().find_map(|variable| world.variable(variable)))
    }

    /// The same as text.
    ///
    /// # Errors
    /// A usage error where it is not UTF-8.
    pub fn text(&self, world: &World, name: &str) -> Result<Option<String>> {
        self.value(world, name)
            .map(|value| value.into_string().map_err(|_| Error::usage(format!("the value of --{name} is not UTF-8"))))
            .transpose()
    }
}

/// `FEDBOOT_ROLE_ARN` for `role-arn`.
pub fn variable_name(option: &str) -> String {
    format!("FEDBOOT_{}", option.to_uppercase().replace('-', "_"))
}

/// What `--help` prints.
pub fn help() -> String {
    let mut text = String::from(
        "fedboot gets short-lived cloud credentials, without any key, and becomes COMMAND.\n\n\
         usage: fedboot [OPTIONS] -- COMMAND [ARG…]\n       fedboot --help | --version\n\n\
         options (each also as FEDBOOT_NAME, then as the variables in parentheses):\n",
    );
    for option in OPTIONS {
        let left = format!("--{} {}", option.name, option.value);
        let variables =
            if option.variables.is_empty() { String::new() } else { format!(" ({})", option.variables.join(", ")) };
        let _ = writeln!(text, "  {left:<38} {}{variables}", option.help);
    }
    text + "\ntemplates: {service_account} {service_account_email} {project} {hostname} {instance_name} {attribute:NAME}\n\
            exit code: COMMAND's own; 125 fedboot failed, 126 COMMAND is not executable, 127 there is no COMMAND\n"
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
        let argv = words("--role-arn=a --timeout 5 -- cmd --help -- x");
        let Ok(Typed::Boot { command }) = parse(&argv, &mut options) else {
            panic!("no boot");
        };
        assert_eq!(command, words("cmd --help -- x"));
        let world = World::imagined(&[("FEDBOOT_TIMEOUT", "9"), ("AWS_REGION", "eu-west-1")], || unreachable!());
        assert_eq!(options.value(&world, "timeout"), Some("5".into()));
        assert_eq!(options.value(&world, "region"), Some("eu-west-1".into()));
        assert_eq!(options.value(&world, "audience"), None);
    }

    #[test]
    fn one_line_with_a_suggestion() {
        for (line, part) in [
            ("", "no -- before the command"),
            ("--", "no COMMAND after --"),
            ("boot", "\"boot\" stands before --"),
            ("--role-arm a -- x", "did you mean --role-arn?"),
            ("--role -- x", "did you mean --role-arn?"),
            ("--zzz -- x", "fedboot --help"),
            ("-x -- x", "unknown option -x"),
            ("--role-arn -- x", "--role-arn has no value"),
            ("--role-arn= -- x", "empty value"),
            ("--no-refresh=yes -- x", "takes no value"),
            ("--timeout 1 --timeout 2 -- x", "given twice"),
        ] {
            let error =
                parse(&words(line), &mut Options::default()).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
