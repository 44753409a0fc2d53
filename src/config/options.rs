//! argv → verb, options and command as typed. What an option means is for the other files of [`crate::config`].

use std::ffi::{OsStr, OsString};

use crate::config::option_table::{self, FLAGS_ONLY, OF_A_SECOND_ROLE, OPTIONS, Opt, VERBS, Verb};
use crate::error::{Error, Result, reasons};
use crate::system::input::{self, InputValue};
use crate::system::shown;
use crate::system::world::World;

/// What was typed.
pub enum Invocation {
    /// `fedboot --help`, or that of a verb.
    Help(Option<&'static Verb>),
    /// `fedboot --version`.
    Version,
    /// `fedboot [OPTIONS] -- COMMAND [ARG…]`: the command and its arguments, never empty.
    Run(Vec<OsString>),
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
    /// `fedboot trust-policy [OPTIONS]`.
    TrustPolicy,
    /// `fedboot doctor [OPTIONS] [-- COMMAND [ARG…]]`: the command and its arguments, if there is one.
    Doctor(Vec<OsString>),
}

impl Invocation {
    /// By which the table names the verb; none where no option counts.
    pub fn verb(&self) -> u8 {
        match self {
            Self::Help(_) | Self::Version => 0,
            Self::Run(_) => option_table::RUN,
            Self::Agent => option_table::AGENT,
            Self::CredentialProcess => option_table::CREDENTIAL_PROCESS,
            Self::Token(_) => option_table::TOKEN,
            Self::Status => option_table::STATUS,
            Self::Env => option_table::ENV,
            Self::TrustPolicy => option_table::TRUST_POLICY,
            Self::Doctor(_) => option_table::DOCTOR,
        }
    }
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
    /// The verb, where the variables of options without a meaning for it are there for somebody else.
    only_of: u8,
    /// Whether those of a second role are as well.
    role_is_typed: bool,
}

/// Splits argv without its first word into what is to be done and the words of the options.
///
/// # Errors
/// A usage error with a suggestion.
pub fn split(arguments: &[OsString]) -> Result<(Invocation, &[OsString])> {
    let dashes = arguments.iter().position(|argument| argument == "--");
    let (before, command) = match dashes.and_then(|dashes| arguments.split_at_checked(dashes)) {
        Some((before, behind)) => (before, behind.get(1..)),
        None => (arguments, None),
    };
    let word = |n: usize| {
        before.get(n).and_then(|word| word.to_str()).filter(|word| !word.is_empty() && !word.starts_with('-'))
    };
    let switches = ["--help", "-h", "--version", "-V"];
    match before.iter().find(|argument| switches.iter().any(|switch| argument == switch)) {
        Some(switch) if switch == "--version" || switch == "-V" => return Ok((Invocation::Version, &[])),
        None if word(0) != Some(HELP) => {}
        _ => {
            let name = word(usize::from(word(0) == Some(HELP))).filter(|name| *name != HELP);
            let verb = |name| VERBS.iter().find(|verb| verb.name == name).ok_or_else(|| no_such_verb(name));
            return Ok((Invocation::Help(name.map(verb).transpose()?), &[]));
        }
    }
    let subcommand = match word(0) {
        Some("agent") => Invocation::Agent,
        Some("credential-process") => Invocation::CredentialProcess,
        Some("status") => Invocation::Status,
        Some("env") => Invocation::Env,
        Some("trust-policy") => Invocation::TrustPolicy,
        Some("doctor") => {
            let command = command.unwrap_or_default().to_vec();
            return Ok((Invocation::Doctor(command), before.get(1..).unwrap_or_default()));
        }
        Some("token") => {
            let kind = match word(1) {
                Some("access") => Kind::Access,
                Some("id") => Kind::Id,
                Some("subject") => Kind::Subject,
                _ => return Ok((Invocation::Token(None), &[])),
            };
            return Ok((Invocation::Token(Some(kind)), arguments.get(2..).unwrap_or_default()));
        }
        Some(word) if closest_verb(word).is_some() => return Err(no_such_verb(word)),
        _ => {
            return match command {
                Some([]) => Err(Error::usage("no COMMAND after --").reason(&reasons::COMMAND_LINE).advice(USAGE)),
                Some(command) => Ok((Invocation::Run(command.to_vec()), before)),
                // A mistake in the options is the better answer.
                None => Err(parse_options(before, true, &mut Options::default()).err().unwrap_or_else(|| {
                    Error::usage("no -- before the command").reason(&reasons::COMMAND_LINE).advice(USAGE)
                })),
            };
        }
    };
    Ok((subcommand, arguments.get(1..).unwrap_or_default()))
}

const HELP: &str = "help";

fn no_such_verb(name: &str) -> Error {
    let meant = closest_verb(name).map(|verb| format!("did you mean {verb}?"));
    let advice = meant.unwrap_or_else(|| "a command stands behind --: fedboot -- COMMAND [ARG…]".into());
    Error::usage("there is no such verb").reason(&reasons::COMMAND_LINE).advice(advice)
}

/// The verb that somebody may have meant.
fn closest_verb(name: &str) -> Option<&'static str> {
    input::closest(VERBS.iter().map(|verb| verb.name), name)
}

const USAGE: &str = "usage: fedboot [OPTIONS] -- COMMAND [ARG…] (fedboot --help lists subcommands and options)";

/// Reads the words of options; `options` gets those that stand before a mistake, too. Any other word is one, and the
/// advice depends on whether a command is to follow.
///
/// # Errors
/// A usage error with a suggestion.
pub fn parse_options(arguments: &[OsString], has_command: bool, options: &mut Options) -> Result<()> {
    let mut parser = lexopt::Parser::from_args(arguments);
    // What the parser says holds the word itself, which may be a key in the wrong place.
    let typed = |_| Error::usage("an option is malformed").reason(&reasons::COMMAND_LINE).advice(USAGE);
    while let Some(argument) = parser.next().map_err(typed)? {
        let name = match argument {
            lexopt::Arg::Long(name) => name.to_owned(),
            lexopt::Arg::Short(letter) if letter.is_ascii_alphanumeric() => {
                return Err(Error::usage(format!("unknown option -{letter}"))
                    .reason(&reasons::COMMAND_LINE)
                    .advice(USAGE));
            }
            lexopt::Arg::Short(_) => {
                return Err(Error::usage("unknown option").reason(&reasons::COMMAND_LINE).advice(USAGE));
            }
            lexopt::Arg::Value(_) => return Err(stray(has_command)),
        };
        let Some(option) = option_table::option(&name) else {
            let shown = if is_option_name(&name) { format!(" --{name}") } else { String::new() };
            return Err(Error::usage(format!("unknown option{shown}"))
                .reason(&reasons::COMMAND_LINE)
                .advice(suggestion(&name)));
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
fn stray(has_command: bool) -> Error {
    if has_command {
        return Error::usage("a word that belongs to no option stands before --")
            .reason(&reasons::COMMAND_LINE)
            .advice("write fedboot [OPTIONS] -- COMMAND [ARG…]");
    }
    Error::usage("there is a word that belongs to no option, and this takes no command")
        .reason(&reasons::COMMAND_LINE)
        .advice(USAGE)
}

/// Whether somebody meant to write an option.
fn is_option_name(name: &str) -> bool {
    name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !shown::is_opaque(name)
}

fn suggestion(name: &str) -> String {
    let part = |option: &str| name.len() > 2 && (option.starts_with(name) || option.ends_with(name));
    OPTIONS
        .iter()
        .map(|option| {
            let distance = if part(option.name) { 0 } else { strsim::damerau_levenshtein(option.name, name) };
            // Names are cut at their end.
            (distance, !option.name.starts_with(name), option.name)
        })
        .filter(|(distance, ..)| *distance <= 3)
        .min()
        .map_or_else(|| "fedboot --help lists the options".into(), |(.., option)| format!("did you mean --{option}?"))
}

impl Options {
    fn flags_of(&self, name: &str) -> impl Iterator<Item = &OsStr> {
        self.flags.iter().filter(move |(flag, _)| *flag == name).map(|(_, value)| value.as_os_str())
    }

    /// The option's value: the flag, else its variables in `world`.
    pub fn value(&self, world: &World, name: &str) -> Option<InputValue> {
        self.value_said_to_fedboot(world, name).or_else(|| {
            let option = option_table::option(name).filter(|_| self.variables_count(name))?;
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
        let has_no_meaning =
            option_table::option(name).is_some_and(|option| option.verbs & self.only_of != self.only_of);
        let is_of_others = has_no_meaning || (self.role_is_typed && OF_A_SECOND_ROLE.contains(&name));
        self.flags_of(FLAGS_ONLY).next().is_none() && !is_of_others
    }

    /// Gives `name` a value if it has none.
    pub fn set_default(&mut self, world: &World, name: &'static str, value: &str) {
        if self.value(world, name).is_none() {
            self.flags.push((name, value.into()));
        }
    }

    /// Has only flags count for what has no meaning for `verb`, and for what belongs to a role that is named by a flag.
    pub fn leave_variables(&mut self, verb: u8) {
        self.only_of = verb;
        let typed = self.flags_of("role-arn").next().is_some();
        self.role_is_typed = typed;
    }

    /// Refuses flags that have no meaning here.
    ///
    /// # Errors
    /// A usage error that names the first of them.
    pub fn refuse(&self, has_no_meaning: &dyn Fn(&Opt) -> bool) -> Result<()> {
        match self.flags.iter().find(|(flag, _)| option_table::option(flag).is_some_and(has_no_meaning)) {
            Some((flag, _)) => {
                Err(Error::usage(format!("--{flag} has no meaning here")).reason(&reasons::COMMAND_LINE).advice(USAGE))
            }
            None => Ok(()),
        }
    }

    /// The values of one that may be given more than once.
    ///
    /// # Errors
    /// A usage error where one is not UTF-8.
    pub fn texts(&self, world: &World, name: &str) -> Result<Vec<InputValue>> {
        if self.flags_of(name).next().is_some() {
            return self.flags_of(name).map(|value| checked(InputValue::new(format!("--{name}"), value))).collect();
        }
        let mut words = match self.value(world, name) {
            Some(given) => given.split(char::is_whitespace)?,
            None => Vec::new(),
        };
        words.retain(|word| !word.raw().is_empty());
        words.into_iter().map(checked).collect()
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
    given.unwrapped()?;
    Ok(given)
}

/// An option that cannot have this value.
pub fn invalid(name: &str, given: &InputValue) -> Error {
    hint(name, given.bad("has a value that it cannot have"))
}

/// What the option called `name` takes, as advice after `error`.
pub fn hint(name: &str, error: Error) -> Error {
    match option_table::option(name) {
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
