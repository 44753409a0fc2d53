//! What `--help` and `help` print, from the table.

use crate::config::option_table::{OPTIONS, Opt, RUN, VERBS, Verb};

/// No line is longer.
const WIDTH: usize = 100;
/// Where the second column begins: behind the longest option.
const COLUMN: usize = 39;

/// What has a meaning for `verb`, or for any.
pub fn help(verb: Option<&Verb>) -> String {
    let mut text = String::new();
    if verb.is_none() {
        text += "fedboot gets short-lived cloud credentials, without any key, and becomes COMMAND.\n\n";
    }
    text += "usage:\n";
    for each in VERBS.iter().filter(|each| verb.is_none_or(|verb| verb.bit == each.bit)) {
        row(&mut text, &each.typed(), each.help);
    }
    let mut last = None;
    for option in OPTIONS.iter().filter(|option| verb.is_none_or(|verb| option.verbs & verb.bit != 0)) {
        let heading = Some((option.group, option.cloud));
        if last != heading {
            text.extend(["\n", option.group.name(), ", ", option.cloud.way(), ":\n"]);
            last = heading;
        }
        row(&mut text, &option.typed(), &described(option, verb.is_none()));
    }
    text += "\nAn option is a flag, else its variable FEDBOOT_NAME, else a (VARIABLE), else the [default].\n\
             templates: {service_account} {service_account_email} {project} {hostname} {instance_name}\n           \
             {attribute:NAME}\n";
    if let Some(verb) = verb.or(VERBS.first()) {
        text.extend(["exit code: ", verb.exit_code, "\n"]);
        for example in verb.examples.lines() {
            text.extend(["  ", example, "\n"]);
        }
    }
    text
}

/// The sentence, behind the verbs that it is only for where all verbs' options stand together.
fn described(option: &Opt, is_among_all: bool) -> String {
    let mut text = String::new();
    if is_among_all && option.verbs & RUN == 0 {
        let verbs: Vec<_> = option.verbs().map(|verb| verb.name).collect();
        text.extend([&verbs.join(", "), ": "]);
    }
    text += option.help;
    if !option.default.is_empty() {
        text.extend([" [", option.default, "]"]);
    }
    if !option.variables.is_empty() {
        text.extend([" (", &option.variables.join(", "), ")"]);
    }
    text
}

/// Two columns, the second one broken between words; below the first where that one is too long.
fn row(text: &mut String, left: &str, right: &str) {
    let mut line = format!("  {left:<0$}", COLUMN - 2);
    if left.chars().count() > COLUMN - 2 {
        text.extend([&line, "\n"]);
        line = " ".repeat(COLUMN);
    }
    for word in right.split(' ') {
        if line.chars().chain(word.chars()).count() >= WIDTH {
            text.extend([&line, "\n"]);
            line = " ".repeat(COLUMN);
        }
        line.extend([" ", word]);
    }
    text.extend([&line, "\n"]);
}
