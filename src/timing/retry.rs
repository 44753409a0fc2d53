//! How long to wait before the next try: exponential backoff with full jitter.
//!
//! Full jitter because thousands of workers start in the same second:
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::system::world::World;

/// The first wait and the longest one.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

/// While the command waits: a metadata server that is three seconds late should cost little more than that.
pub const BOOT: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(5) };

/// While the command runs on the last good credentials.
pub const REFRESH: Backoff = Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(60) };

/// With less than this left until a deadline no further try is worth it.
pub const LAST_TRY: Duration = Duration::from_millis(50);

impl Backoff {
    /// Waits of up to `first`, doubled each time up to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The wait after the `failures`-th failure in a row (from 1), with `random` in `0.0..1.0`: up to
    /// `first · 2^(failures-1)`, at most `longest`, and at least half of `first`, so that no draw of the dice makes
    /// a busy loop.
    pub fn delay(self, failures: u32, random: f64) -> Duration {
        let ceiling = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.longest);
        let floor = self.first.mul_f64(0.5);
        floor.saturating_add(ceiling.saturating_sub(floor).mul_f64(random))
    }
}

/// Tries until `deadline`, as long as that can help, with the backoff of a boot.
///
/// # Errors
/// The last one, with the number of tries.
pub async fn until<T>(world: &World, deadline: Instant, attempt: impl AsyncFn() -> Result<T>) -> Result<T> {
    let started = world.monotonic();
    let mut failures: u32 = 0;
    let mut last = None;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        failures = failures.saturating_add(1);
        let left = deadline.duration_since(world.monotonic());
        if !error.is_retryable() || left <= LAST_TRY {
            // A try that the deadline cut short says less than the one before it.
            let error = last.filter(|_| left.is_zero()).unwrap_or(error);
            return Err(Error { tries: Some((failures, started.elapsed())), ..error });
        }
        last = Some(error);
        world.sleep(BOOT.delay(failures, world.random()).min(left)).await;
    }
}
