//! docs/man: a page for fedboot in front of a command, and one for each verb that takes options.

use fedboot::config::option_table::{OPTIONS, Opt, RUN, VERBS, Verb};
use roff::{Roff, bold, italic, roman};

const ABOUT: &str = "fedboot stands in front of a container's command and gives it short-lived cloud credentials, without \
    any key: a Google identity becomes an AWS role's session, an AWS identity Google tokens. It keeps them fresh beside \
    the command, and becomes the command: same pid, same arguments, same signals.";
const VALUES: &str = "An option is a flag, else the variable FEDBOOT_NAME, else a variable that other programs know, else, \
    for some and only where no flag or variable names a role, a metadata attribute, else its default. Where an option may \
    be given more than once, white space separates the values in a variable.";
const TEMPLATES: &str = "A template may hold {service_account} (the part before @), {service_account_email}, {project}, \
    {hostname}, {instance_name} and {attribute:NAME}.";

/// Their names and texts.
pub fn pages() -> Vec<(String, String)> {
    let verbs = VERBS.iter().filter(|verb| verb.bit != 0);
    verbs.map(|verb| (format!("docs/man/{}.1", name(verb)), page(verb))).collect()
}

fn name(verb: &Verb) -> String {
    ["fedboot", verb.name].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

fn page(verb: &Verb) -> String {
    let mut page = Roff::new();
    let version = concat!("fedboot ", env!("CARGO_PKG_VERSION"));
    page.control("TH", [name(verb).to_uppercase().as_str(), "1", "\"\"", version]);
    let help = if verb.bit == RUN { "short-lived cloud credentials for a command, without any key" } else { verb.help };
    page.control("SH", ["NAME"]).text([roman(format!("{} - {help}", name(verb)))]);
    page.control("SH", ["SYNOPSIS"]);
    for (n, each) in VERBS.iter().filter(|each| verb.bit == RUN || each.bit == verb.bit).enumerate() {
        if n > 0 {
            page.control("br", []);
        }
        page.text([bold(["fedboot", each.name].join(" ").trim_end()), roman(" "), italic(each.usage)]);
    }
    page.control("SH", ["DESCRIPTION"]);
    let paragraphs = if verb.bit == RUN { &[ABOUT, VALUES, TEMPLATES][..] } else { &[VALUES] };
    for (n, paragraph) in paragraphs.iter().enumerate() {
        if n > 0 {
            page.control("PP", []);
        }
        page.text([roman(*paragraph)]);
    }
    page.control("SH", ["OPTIONS"]);
    let mut last = None;
    for option in OPTIONS.iter().filter(|option| option.verbs & verb.bit != 0) {
        if last.replace((option.group, option.cloud)) != Some((option.group, option.cloud)) {
            page.control("SS", [format!("{}, {}", option.group.name(), option.cloud.way()).as_str()]);
        }
        page.control("TP", []).text(vec![bold(format!("--{}", option.name)), roman(" "), italic(option.value)]);
        page.text([roman(option.help)]);
        for line in about(option) {
            page.control("br", []).text([roman(line)]);
        }
    }
    page.control("SH", ["EXIT STATUS"]).text([roman(verb.exit_code)]);
    page.control("SH", ["EXAMPLES"]).control("nf", []);
    for example in verb.examples.lines() {
        page.text([roman(example)]);
    }
    page.control("fi", []).control("SH", ["SEE ALSO"]);
    let others = VERBS.iter().filter(|other| other.bit != 0 && other.bit != verb.bit);
    page.text([roman(others.map(|other| format!("{}(1)", name(other))).collect::<Vec<_>>().join(", "))]);
    // As a shell has it: some printers have another one.
    page.render().replace('~', r"\(ti")
}

/// What else there is to say of an option.
fn about(option: &Opt) -> Vec<String> {
    let mut lines = Vec::new();
    if option.repeatable {
        lines.push("may be given more than once".into());
    }
    if !option.variables.is_empty() {
        lines.push(format!("variables: {}", option.variables.join(", ")));
    }
    if option.attribute {
        lines.push(format!("metadata attribute: fedboot-{}", option.name));
    }
    if !option.default.is_empty() {
        lines.push(format!("default: {}", option.default));
    }
    lines
}
