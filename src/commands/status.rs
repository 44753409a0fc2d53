//! `fedboot status`: how things stand with the credentials that agents keep fresh, for probes and people.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::agent::inquiry::{self, Found};
use crate::agent::status::{self, Freshness};
use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::config::values;
use crate::error::Result;
use crate::system::shown;
use crate::system::world::World;

/// What the agents say whose files stand beside the credentials file, and the exit code of the worst.
///
/// # Errors
/// A usage error in the options, or that there is no agent.
pub fn report(options: &Options, world: &World) -> Result<(String, u8)> {
    Settings::resolve(options, world)?;
    let as_json = values::as_json(options, world)?;
    let file = status::credentials_file(options, world);
    let now = world.now();
    let mut worst = Freshness::Fresh;
    let Found { beside, silent, others, .. } = inquiry::agents(&file, world, true);
    let mut agents: Vec<Value> = beside.into_iter().map(|agent| agent.state).collect();
    for agent in &mut agents {
        let roles = agent.get_mut("roles").and_then(Value::as_array_mut);
        for role in roles.into_iter().flatten() {
            let state = Freshness::told(role, now);
            if let Some(role) = role.as_object_mut() {
                worst = worst.max(state);
                role.insert("state".into(), state.name().into());
            }
        }
    }
    if agents.is_empty() {
        worst = if silent.is_empty() { Freshness::None } else { Freshness::Stale };
    }
    let named = options.value(world, "credentials-file").map(|given| given.file(world).shown());
    let shown = named.unwrap_or_else(|| shown::path(&file));
    let text = match &agents[..] {
        _ if as_json => {
            let state = if others.is_empty() { worst.name() } else { "unknown" };
            let mut all = json!({"state": state, "agents": agents});
            if let (false, Some(all)) = (others.is_empty(), all.as_object_mut()) {
                all.insert("others".into(), others.into());
            }
            format!("{all}\n")
        }
        [] if !silent.is_empty() => {
            format!("stale: {}\n", inquiry::does_not_answer(&silent))
        }
        [] if !others.is_empty() => {
            format!("unknown: {}; {}\n", inquiry::of_others(&others), inquiry::as_them(&others))
        }
        [] => format!("none: no agent keeps credentials fresh beside {shown}\n"),
        agents => agents.iter().filter_map(|agent| agent.get("roles")?.as_array()).flatten().map(line).collect(),
    };
    Ok((text, worst as u8))
}

/// One role for people.
fn line(role: &Value) -> String {
    let text = |name: &str| role.get(name)?.as_str().filter(|text| !text.is_empty());
    let mut line =
        format!("{} {}", text("state").unwrap_or("none"), status::principal(role).unwrap_or("(no role yet)"));
    for name in ["profile", "session", "identity", "access_key_id", "expiration", "last_refresh", "next_refresh"] {
        if let Some(value) = text(name) {
            let _ = write!(line, " {name}={value}");
        }
    }
    let _ = write!(line, " failures={}", role.get("failures").unwrap_or(&Value::Null));
    if let Some(error) = text("last_error") {
        let _ = write!(line, " last_error={error}");
    }
    line + "\n"
}
