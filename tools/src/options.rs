//! docs/options.md: every option, where it may come from, and for what it has a meaning.

use fedboot::config::option_table::{OPTIONS, Opt};

/// Its name and text.
pub fn document() -> (String, String) {
    let mut text = String::from(include_str!("options.md"));
    let mut last = None;
    for option in OPTIONS {
        if last.replace((option.group, option.cloud)) != Some((option.group, option.cloud)) {
            text += &format!("\n## {}, {}\n\n", option.group.name(), option.cloud.way());
            text += "| option | | default | variables | for |\n|---|---|---|---|---|\n";
        }
        text += &row(option);
    }
    ("docs/options.md".into(), text)
}

fn row(option: &Opt) -> String {
    let marks = [(option.attribute, " ⁺"), (option.repeatable, " ∗")];
    let marks: String = marks.iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| *mark).collect();
    let own = format!("FEDBOOT_{}", option.name.to_uppercase().replace('-', "_"));
    let variables: Vec<_> = [own.as_str()].iter().chain(option.variables).map(|name| format!("`{name}`")).collect();
    let verbs: Vec<_> = option.verbs().map(|verb| if verb.name.is_empty() { "COMMAND" } else { verb.name }).collect();
    let cells = [
        format!("`{}`{marks}", option.typed()),
        option.help.to_owned(),
        option.default.to_owned(),
        variables.join(", "),
        verbs.join(", "),
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|").replace('<', "\\<")).join(" | "))
        .replace("|  |", "| |")
}
