//! Files that must not outlast this process: temporary ones, which hold keys, and lock files.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::system::private_file::walk::Place;

static UNFINISHED: Mutex<Vec<Place>> = Mutex::new(Vec::new());

fn unfinished() -> MutexGuard<'static, Vec<Place>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn remember(place: &Place) {
    unfinished().push(place.clone());
}

pub fn forget(place: &Place) {
    unfinished().retain(|other| other.name != place.name || other.directory.id() != place.directory.id());
}

/// Removes what a write that hangs would leave behind when this process ends.
pub fn abandon() {
    for place in std::mem::take(&mut *unfinished()) {
        let _ = place.remove();
    }
}
