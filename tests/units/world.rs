use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use fedboot::system::world::World;
use tokio::time::Instant;

/// Waits half an hour in a world whose wall clock jumps by `jump` seconds after ten minutes; says how many seconds
/// the wait took by the clock that nobody can set, and how often the wall clock was read.
async fn half_an_hour(jump: i64) -> (u64, u32) {
    let start = Instant::now();
    let reads = Rc::new(Cell::new(0));
    let counter = reads.clone();
    let world = World::imagined(&[], move || {
        counter.set(counter.get() + 1);
        let passed = start.elapsed();
        let jump = if passed >= Duration::from_secs(600) { jump } else { 0 };
        let seconds = 1_000_000_u64.saturating_add_signed(jump) + passed.as_secs();
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    });
    world.wait(Duration::from_secs(1800)).await;
    (start.elapsed().as_secs(), reads.get())
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_forth_ends_the_wait_within_a_minute() {
    let (took, _) = half_an_hour(3600).await;
    assert!((600..=660).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_back_does_not_prolong_the_wait() {
    assert_eq!(half_an_hour(-3600).await.0, 1800);
}

#[tokio::test(start_paused = true)]
async fn the_agent_sleeps_for_a_minute_at_a_time() {
    let (took, reads) = half_an_hour(0).await;
    assert_eq!(took, 1800);
    // Once to see whether the wait is over, once to set the timer.
    assert!(reads <= 65, "{reads}");
}
