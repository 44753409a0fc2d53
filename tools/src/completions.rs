//! completions: for bash, zsh and fish. Behind `--` it is the turn of the command's own ones, which is added to what
//! clap's generator knows.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell;
use fedboot::config::option_table::{OPTIONS, Opt, RUN, STATUS, TOKEN, VERBS, Verb};

/// The beginning of what is generated, and what follows it there.
const ADDITIONS: [(Shell, &str, &str, &str); 3] = [
    (
        Shell::Bash,
        "fedboot.bash",
        "    COMPREPLY=()\n",
        r#"    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == -- ]]; then
            if declare -F _command_offset >/dev/null; then
                _command_offset $((i + 1))
            elif ((i + 1 == COMP_CWORD)); then
                COMPREPLY=($(compgen -c -- "${COMP_WORDS[COMP_CWORD]}"))
            fi
            return 0
        fi
    done
"#,
    ),
    (
        Shell::Zsh,
        "_fedboot",
        "_fedboot() {\n",
        r"    integer dashes=${words[(ie)--]}
    if (( dashes < CURRENT )); then
        shift dashes words
        (( CURRENT -= dashes ))
        _normal
        return
    fi
",
    ),
    (Shell::Fish, "fedboot.fish", "    set -e cmd[1]\n", "    contains -- -- $cmd\n    and return 1\n"),
];

/// To the end of fish's.
const FISH_COMMAND: &str = "complete -c fedboot -n 'contains -- -- (commandline -opc)' -f \
    -a '(complete -C (string replace -r \"^.*? -- \" \"\" -- (commandline -pc)))'\n";

/// Their names and texts.
pub fn scripts() -> Vec<(String, String)> {
    ADDITIONS
        .into_iter()
        .map(|(shell, name, behind, addition)| {
            let mut bytes = Vec::new();
            clap_complete::generate(shell, &mut command(), "fedboot", &mut bytes);
            let mut text = String::from_utf8(bytes).expect("a script is text");
            assert!(text.contains(behind), "clap's script for {shell} is another one than it was");
            text = text.replacen(behind, &format!("{behind}{addition}"), 1);
            if shell == Shell::Fish {
                // An option that waits for its value comes before any verb.
                text = text.replacen("    or return\n", "    or return 0\n", 1);
                for verb in VERBS.iter().filter(|verb| verb.bit != RUN) {
                    let words = words(verb).join(" ");
                    let name = verb.name;
                    text +=
                        &format!("complete -c fedboot -n '__fish_fedboot_using_subcommand {name}' -f -a '{words}'\n");
                }
                text += FISH_COMMAND;
            }
            (format!("completions/{name}"), text)
        })
        .collect()
}

/// fedboot's command line as clap would have it.
fn command() -> Command {
    let verbs = VERBS.iter().filter(|verb| verb.bit != RUN);
    let command = Command::new("fedboot").version("").disable_help_subcommand(true).disable_help_flag(true);
    let command = with_options(command.disable_version_flag(true), RUN).arg(switch("version", "the version"));
    command.subcommands(verbs.map(subcommand))
}

fn subcommand(verb: &'static Verb) -> Command {
    let command = Command::new(verb.name).about(verb.help).disable_help_flag(true).disable_version_flag(true);
    let command = if verb.bit == 0 { command } else { with_options(command, verb.bit) };
    let words = words(verb);
    if words.is_empty() {
        command
    } else {
        command.arg(Arg::new("word").value_parser(PossibleValuesParser::new(words)))
    }
}

/// The words of which one stands behind the verb.
fn words(verb: &'static Verb) -> Vec<&'static str> {
    match verb.usage.split(' ').next() {
        _ if verb.bit == 0 => VERBS.iter().filter(|verb| ![0, RUN].contains(&verb.bit)).map(|verb| verb.name).collect(),
        Some(words) if words.contains('|') => words.split('|').collect(),
        _ => Vec::new(),
    }
}

fn with_options(command: Command, verb: u8) -> Command {
    let options = OPTIONS.iter().filter(|option| option.verbs & verb != 0);
    command.args(options.map(|option| argument(option, verb))).arg(switch("help", "what has a meaning here"))
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn argument(option: &'static Opt, verb: u8) -> Arg {
    if option.value.is_empty() {
        return switch(option.name, option.help);
    }
    let action = if option.repeatable { ArgAction::Append } else { ArgAction::Set };
    // zsh's generator escapes no colon in there.
    let name = option.value.split("[:").next().unwrap_or_default();
    let argument = Arg::new(option.name).long(option.name).value_name(name).action(action).help(option.help);
    let hint = match option.value {
        "FILE" | "PID|FILE" => ValueHint::FilePath,
        "URL" => ValueHint::Url,
        "USER[:GID]" => ValueHint::Username,
        words if words.contains('|') && !words.contains(char::is_uppercase) => {
            let other = if verb == STATUS { "token" } else { "text" };
            let is_meant = |word: &&str| ![STATUS, TOKEN].contains(&verb) || option.name != "format" || *word != other;
            return argument.value_parser(PossibleValuesParser::new(words.split('|').filter(is_meant)));
        }
        _ => ValueHint::Other,
    };
    argument.value_hint(hint)
}
