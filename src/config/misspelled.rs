//! Variables that begin with `FEDBOOT_` and are no option's, though somebody seems to have meant one.

use std::cell::RefCell;

use crate::config::option_table::OPTIONS;
use crate::system::shown;
use crate::system::world::World;

/// What is changed in a name before it counts as another one: `FEDBOOT_ROLEARN`, `FEDBOOT_ROLE_ARNS`, `FEDBOOT_AWS_ROLE_ARN`.
const NEAR: usize = 2;

/// Each such variable, and the one that may be meant. Kubernetes sets `FEDBOOT_SERVICE_HOST` and its like for a service of
/// that name, so what is like no option is nobody's mistake.
pub fn misspelled(world: &World) -> Vec<(String, String)> {
    let found = RefCell::new(Vec::new());
    world.has_variable(|name| {
        let text = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix("FEDBOOT_"));
        if let Some(rest) = text.filter(|rest| rest.len() <= 64) {
            found.borrow_mut().extend(meant(rest).map(|meant| (format!("FEDBOOT_{}", shown::name(rest)), meant)));
        }
        false
    });
    found.into_inner()
}

fn meant(rest: &str) -> Option<String> {
    let typed = rest.to_lowercase().replace('_', "-");
    if OPTIONS.iter().any(|option| option.name == typed) && rest == rest.to_uppercase() {
        return None;
    }
    let plain = typed.strip_prefix("aws-").or_else(|| typed.strip_prefix("google-")).unwrap_or(&typed);
    let distance = |name: &str| strsim::damerau_levenshtein(name, &typed).min(strsim::damerau_levenshtein(name, plain));
    let nearest = OPTIONS.iter().map(|option| (distance(option.name), option.name)).min()?;
    let is_near = nearest.0 <= NEAR.min(nearest.1.len().saturating_sub(1) / 2);
    is_near.then(|| format!("FEDBOOT_{}", nearest.1.to_uppercase().replace('-', "_")))
}
