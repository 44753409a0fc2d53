//! Sessions of roles: whoever holds one's keys may sign in its name. STS gives them out, and so do the places where
//! programs run.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::clock::{random_bytes, random_text, whole_second};
use crate::settings::Settings;
use crate::settings::dialect::Text;
use crate::settings::role::Role;
use crate::state::State;
use crate::state::issued::Issued;

/// What the sessions of instances, tasks and pods last.
const LIFETIME: Duration = Duration::from_secs(6 * 3600);
/// New keys are there this long before the old ones end.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// New keys, before it is said who asked for them.
pub(crate) fn start(settings: &Settings, role: &Role, name: &str, duration: Duration) -> Issued {
    let issued_at = SystemTime::now();
    let end = issued_at + settings.credential_lifetime.unwrap_or(duration);
    let mut session_token = format!("IQoJb3JpZ2luX2VjEN//+w=={}", BASE64.encode(random_bytes::<400>()));
    if settings.dialect.text == Text::Entities {
        session_token.push('&');
    }
    Issued {
        access_key_id: format!("ASIA{}", random_text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        secret_access_key: format!(
            "{}+/",
            BASE64.encode(random_bytes::<28>()).replace('=', "").chars().take(38).collect::<String>()
        ),
        session_token,
        role_arn: role.arn.clone(),
        session_name: name.to_string(),
        assumed_role_arn: format!(
            "arn:{}:sts::{}:assumed-role/{}/{name}",
            role.partition(),
            role.account(),
            role.name()
        ),
        assumed_role_id: format!("{}:{name}", role.id()),
        account: role.account().to_string(),
        subject: String::new(),
        audience: String::new(),
        chained_from: None,
        source_identity: None,
        session_tags: BTreeMap::new(),
        transitive_tag_keys: Vec::new(),
        duration_seconds: duration.as_secs(),
        session_policy: None,
        policy_arns: Vec::new(),
        issued_at,
        expires_at: if settings.dialect.nanoseconds { end } else { whole_second(end) },
    }
}

/// The keys of a role at a place: the same until their end is near, then new ones.
pub(crate) fn at_place(state: &State, settings: &Settings, role_arn: &str, name: &str) -> Issued {
    let lifetime = settings.credential_lifetime.unwrap_or(LIFETIME);
    let margin = MARGIN.min(lifetime / 2);
    let fresh = |known: &Issued| {
        let same = known.role_arn == role_arn && known.session_name == name;
        let left = known.expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        // One from before the lifetime was cut would outlive those of now.
        same && left > margin && left <= lifetime + Duration::from_secs(1)
    };
    // Who may take it is not asked here: it was attached.
    let role = Role::new(role_arn, "{}");
    state.issued_or(fresh, || start(settings, &role, name, LIFETIME))
}
