//! What requests are waiting for, for whoever wonders why nothing happens.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::time::Instant;

thread_local! {
    static STEPS: RefCell<Vec<Step>> = const { RefCell::new(Vec::new()) };
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

struct Step {
    number: u64,
    awaited: String,
    since: Instant,
}

/// A step of a request, until this is dropped.
pub(super) struct Waiting(u64);

/// From now on `awaited` is waited for: "the answer of sts.amazonaws.com".
pub(super) fn wait_for(awaited: String) -> Waiting {
    let number = NEXT.replace(NEXT.get().wrapping_add(1));
    STEPS.with_borrow_mut(|steps| steps.push(Step { number, awaited, since: Instant::now() }));
    Waiting(number)
}

impl Drop for Waiting {
    fn drop(&mut self) {
        STEPS.with_borrow_mut(|steps| steps.retain(|step| step.number != self.0));
    }
}

/// What is waited for longest, and for how long.
pub fn longest_wait() -> Option<(String, Duration)> {
    STEPS.with_borrow(|steps| steps.first().map(|step| (step.awaited.clone(), step.since.elapsed())))
}
