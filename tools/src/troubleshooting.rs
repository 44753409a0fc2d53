//! docs/troubleshooting.md: every reason, what is seen, why, and what to do.

use std::fmt::Write as _;

use fedboot::error::{Reason, reasons};

/// Name and text of the page.
pub fn document() -> (String, String) {
    let mut text = String::from(include_str!("troubleshooting.md"));
    let mut floor = "";
    for reason in reasons::all() {
        let now = floor_of(reason);
        if now != floor {
            floor = now;
            let _ = write!(text, "\n## {floor}\n");
        }
        let _ = write!(text, "\n### {}\n", reason.code);
        for (name, value) in [
            ("You see", reason.cause),
            ("Why", reason.why),
            ("What to do", reason.remedy),
            ("More", &link(reason.source)),
        ] {
            if !value.is_empty() {
                let _ = write!(text, "\n**{name}**: {}\n", with_names(value));
            }
        }
    }
    ("docs/troubleshooting.md".into(), text)
}

/// What its code says it is about.
fn floor_of(reason: &Reason) -> &'static str {
    match reason.code.as_bytes().get(2) {
        Some(b'0') => "What was typed or set, the command, the agent",
        Some(b'1') => "Who the workload is on Google Cloud",
        Some(b'2') => "AWS STS",
        Some(b'3') => "Who the workload is on AWS",
        Some(b'4') => "Google's STS and IAM Credentials",
        Some(b'5') => "On the way to a server",
        _ => "Where credentials are written",
    }
}

fn link(source: &str) -> String {
    if source.starts_with("https://") {
        return format!("<{source}>");
    }
    let path = source.strip_prefix("docs/").map_or_else(|| format!("../{source}"), str::to_owned);
    format!("[{source}]({path})")
}

/// A placeholder as a name of what stands there.
fn with_names(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        text += &format!("{before}*{name}*");
        rest = behind;
    }
    text + rest
}
