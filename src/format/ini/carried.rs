//! The settings of another profile that an edit has a section say too, between two comments.

use crate::format::ini::lines::Line;
use crate::format::ini::settings::Settings;

/// Settings of another profile, each for where the section itself does not say it.
#[derive(Clone)]
pub struct Carried {
    /// The profile's name.
    pub from: String,
    /// Its settings.
    pub settings: Settings,
}

/// Between these two comments stands what was carried.
pub const CARRIED: &str = "# fedboot: from the profile ";
/// See there.
pub const CARRIED_END: &str = "# fedboot: end";

/// A section's lines without those that were carried there.
///
/// An end belongs to the last beginning before it that has none yet, so that whichever the user has alone is not taken for
/// the other half of ours. Without an end it is not known how far it goes, and what stands there is the section's own.
pub fn without_carried<'a, 't>(all: Vec<(&'a Line<'t>, usize)>) -> Vec<(&'a Line<'t>, usize)> {
    let (mut kept, mut beginnings) = (Vec::with_capacity(all.len()), Vec::new());
    for (line, number) in all {
        if line.raw.starts_with(CARRIED.as_bytes()) {
            beginnings.push(kept.len());
        } else if line.text.trim_end() == CARRIED_END
            && let Some(beginning) = beginnings.pop()
        {
            kept.truncate(beginning);
            continue;
        }
        kept.push((line, number));
    }
    kept
}
