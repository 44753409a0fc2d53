//! A command such as `gosu USER …` or `su USER …` becomes another user, who cannot read what is written for root: found in
//! its arguments, and warned of.

use std::ffi::OsString;

use crate::config::delivery::{self, GoogleDeliveryConfig};
use crate::config::direction::{self, Direction};
use crate::config::options::Options;
use crate::system::process::Account;
use crate::system::shown;
use crate::system::world::World;

/// A program that runs another one; lists are of words.
struct Program {
    names: &'static str,
    /// Options behind which a value stands, without their hyphens.
    valued: &'static str,
    /// Further ones, whose value is the user that the other program runs as.
    users: &'static str,
    /// What its first word is that is no option.
    first: First,
}

/// See [`Program`].
#[derive(PartialEq, Eq)]
enum First {
    /// The user.
    User,
    /// The other program.
    Program,
    /// A word about how it runs, before the other program.
    Word,
}

const fn program(names: &'static str, valued: &'static str) -> Program {
    Program { names, valued, users: "", first: First::Program }
}

const PROGRAMS: &[Program] = &[
    program("tini tini-static docker-init catatonit", "p e"),
    program("dumb-init", "r rewrite"),
    program("env", "u C unset chdir"),
    program("nice", "n adjustment"),
    program("ionice", "c n class classdata"),
    program("stdbuf", "i o e input output error"),
    program("nohup setsid exec", ""),
    Program { first: First::Word, ..program("timeout", "s k signal kill-after") },
    Program { first: First::User, ..program("gosu su-exec s6-setuidgid setuidgid setuser", "") },
    Program { first: First::User, ..program("su", SU) },
    Program { users: "u user", first: First::User, ..program("runuser", SU) },
    Program { users: "u user", ..program("sudo doas", "g p C h D R T U r t a group prompt host chdir chroot") },
    Program {
        users: "reuid ruid euid",
        ..program(
            "setpriv",
            "regid rgid egid groups inh-caps ambient-caps bounding-set securebits pdeathsig selinux-label apparmor-profile",
        )
    },
    Program { users: "u", ..program("chpst s6-applyuidgid", "U b e n l L m d o p f c r t / g G") },
    Program {
        users: "c chuid",
        ..program(
            "start-stop-daemon",
            "x a p n u g s R d r N P I k exec startas pidfile name user group signal retry chdir chroot nicelevel umask",
        )
    },
    Program { users: "user uid", ..program("capsh", "") },
    Program { users: "userspec", first: First::Word, ..program("chroot", "groups") },
];

const SU: &str = "c s g G w command session-command shell group supp-group whitelist-environment";

/// Programs that run one another, at most: more is nobody's command.
const MOST: usize = 8;

/// A warning where `command`, started as root, becomes a user who may not read what is delivered.
pub fn warning(command: &[OsString], options: &Options, world: &World) -> Option<String> {
    if world.user != 0 || options.value(world, "owner").is_some() {
        return None;
    }
    let words: Vec<&str> = command.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let (program, user) = next_user(&words)?;
    let name = user.split(':').find(|part| !part.is_empty()).unwrap_or_default().trim_start_matches('#');
    let is_root = |user: &str| user == "root" || Account::find(user).is_some_and(|account| account.user() == 0);
    if is_root(name) || !reads_files(options, world) {
        return None;
    }
    let is_name = name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    let (who, owner) = if is_name && !name.is_empty() && !shown::is_opaque(name) {
        (format!("user {name}"), name)
    } else {
        ("another user".into(), "with that user")
    };
    Some(format!(
        "{program} makes COMMAND {who}, who may not read what is written for root, and most clients will find no \
         credentials: say --owner {owner}"
    ))
}

/// Whether clients have to read a file that is root's alone.
fn reads_files(options: &Options, world: &World) -> bool {
    let (is_written, mode) = match direction::of(options, world) {
        Ok(Direction::GoogleToAws) => match delivery::delivery(options, world) {
            Ok(delivery) => (!delivery.is_only_environment(), delivery.mode),
            Err(_) => return false,
        },
        Ok(Direction::AwsToGoogle) => match GoogleDeliveryConfig::resolve(options, world) {
            Ok(delivery) => (delivery.access_token_file.is_some(), delivery.mode),
            Err(_) => return false,
        },
        Err(_) => return false,
    };
    is_written && mode & 0o044 == 0
}

/// The first program in `words` that becomes another user, and the user as it is named there.
fn next_user<'a>(mut words: &[&'a str]) -> Option<(&'static str, &'a str)> {
    for _ in 0..MOST {
        let (first, rest) = words.split_first()?;
        let name = first.rsplit('/').next().unwrap_or_default();
        let known = |program: &'static Program| Some((program, word_of(program.names, name)?));
        let Some((program, name)) = PROGRAMS.iter().find_map(known) else {
            // Whatever it is, it most likely runs what stands there.
            let dashes = rest.iter().position(|word| *word == "--")?;
            words = rest.get(dashes.saturating_add(1)..)?;
            continue;
        };
        match program.read(rest) {
            Read::User(user) => return Some((name, user)),
            Read::Program(rest) => words = rest,
        }
    }
    None
}

/// The word in `list` that is `word`.
fn word_of(list: &'static str, word: &str) -> Option<&'static str> {
    list.split(' ').find(|known| !known.is_empty() && *known == word)
}

/// What the words of a program say.
enum Read<'a, 'b> {
    /// Whom it becomes.
    User(&'a str),
    /// What it runs as who it is.
    Program(&'b [&'a str]),
}

impl Program {
    fn read<'a, 'b>(&self, mut words: &'b [&'a str]) -> Read<'a, 'b> {
        while let Some((word, rest)) = words.split_first() {
            let (word, next) = (*word, rest.first().copied().unwrap_or_default());
            let is_assignment = self.names == "env" && word.contains('=');
            let option = word.strip_prefix('-').filter(|_| word != "--");
            // su's lone hyphen, env's too.
            if option == Some("") || is_assignment {
                words = rest;
                continue;
            }
            let Some(option) = option else {
                let behind = if word == "--" { rest } else { words };
                return match (&self.first, behind.split_first()) {
                    (First::User, Some((user, _))) => Read::User(user),
                    (First::Word, Some((_, behind))) => Read::Program(behind),
                    _ => Read::Program(behind),
                };
            };
            let (name, own) = self.name_and_value(option);
            if word_of(self.users, name).is_some() {
                return Read::User(own.unwrap_or(next));
            }
            let is_apart = own.is_none() && word_of(self.valued, name).is_some();
            words = if is_apart { rest.get(1..).unwrap_or_default() } else { rest };
        }
        Read::Program(&[])
    }

    /// The name of an option, in letters one of them, and the value that stands in the same word: whichever letter takes
    /// one is the last.
    fn name_and_value<'a>(&self, option: &'a str) -> (&'a str, Option<&'a str>) {
        if let Some(long) = option.strip_prefix('-') {
            return long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        }
        let letters = option.char_indices();
        let mut letters = letters.filter_map(|(at, it)| option.get(at..)?.split_at_checked(it.len_utf8()));
        let takes =
            |(letter, _): &(&str, &str)| [self.valued, self.users].iter().any(|it| word_of(it, letter).is_some());
        let (letter, value) = letters.find(takes).unwrap_or((option, ""));
        (letter, Some(value).filter(|value| !value.is_empty()))
    }
}
