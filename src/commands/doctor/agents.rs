//! Agents that run already, and how they are.

use serde_json::Value;

use crate::agent::inquiry::{self, Found};
use crate::agent::status::{self, Freshness};
use crate::commands::doctor::findings::Finding;
use crate::config::options::Options;
use crate::system::shown;
use crate::system::world::World;

/// A finding for each role of each agent whose files stand beside this one's.
pub fn findings(options: &Options, world: &World) -> Vec<Finding> {
    let Found { beside, silent, others, .. } = inquiry::agents(&status::credentials_file(options, world), world, true);
    let mut findings: Vec<Finding> = beside.iter().flat_map(|agent| of(&agent.state, world)).collect();
    if !silent.is_empty() {
        findings.push(Finding::warning("agent", inquiry::does_not_answer(&silent)).remedy("fedboot status"));
    }
    if findings.is_empty() && !others.is_empty() {
        findings.push(Finding::warning("agent", inquiry::of_others(&others)).remedy(inquiry::as_them(&others)));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("agent", "none runs beside this credentials file"));
    }
    findings
}

fn of(state: &Value, world: &World) -> Vec<Finding> {
    let agent = state.get("agent").unwrap_or(&Value::Null).to_string();
    let roles = state.get("roles").and_then(Value::as_array);
    let finding = |role: &Value| {
        let text = |name: &str| role.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let who = status::principal(role).unwrap_or("somebody");
        let until = text("expiration").map(|end| format!(", until {end}")).unwrap_or_default();
        let last = text("last_error").map(|error| format!("; the last try failed: {}", shown::one_line(error, 300)));
        let last = last.unwrap_or_default();
        let about = format!("agent {agent} keeps credentials of {who}");
        let freshness = Freshness::told(role, world.now());
        match freshness {
            Freshness::Fresh => Finding::ok("agent", format!("{about}: fresh{until}")),
            Freshness::Stale => Finding::warning("agent", format!("{about}: they are not refreshed{until}{last}"))
                .remedy("see its log; what this report names first is most likely why"),
            Freshness::None => Finding::warning("agent", format!("{about} and has none{last}"))
                .remedy("see its log; what this report names first is most likely why"),
        }
        .field("state", freshness.name())
    };
    roles.into_iter().flatten().map(finding).collect()
}
