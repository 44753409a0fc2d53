//! `kill -9`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::Stage;
use crate::common::launch::figure;
use crate::{Done, agent, beside, with_profiles};

/// Kills `kills` agents while they write, several at a time; the file is whole after each and for a reader meanwhile.
fn kill_while_writing(kills: usize) {
    const SIDE_BY_SIDE: usize = 2;
    let stage = Stage::new();
    let whole = with_profiles(&stage, 1500);
    let done = AtomicBool::new(false);
    let (left, round, interrupted) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Instant::now();
    let reads = thread::scope(|scope| {
        let reader = scope.spawn(|| whole.poll(&done));
        let guard = Done(&done);
        let killers: Vec<_> = (0..SIDE_BY_SIDE)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = round.fetch_add(1, Ordering::Relaxed);
                        if number >= kills {
                            return;
                        }
                        let mut agent = agent(&stage);
                        let asked = stage.sandbox.issued().len();
                        let patience = Instant::now();
                        // Its answer is on the way, or another's: either way something is about to be written.
                        while stage.sandbox.issued().len() == asked && patience.elapsed() < Duration::from_secs(10) {
                            thread::sleep(Duration::from_micros(200));
                        }
                        // Spread over the time that reading, writing and syncing take.
                        let spread = (number as u64 * 37) % 95;
                        thread::sleep(Duration::from_micros(spread * spread));
                        agent.kill();
                        whole.assert();
                        let temporaries = leftovers(&stage);
                        left.fetch_max(temporaries, Ordering::Relaxed);
                        if temporaries > 0 {
                            interrupted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        for killer in killers {
            killer.join().expect("whole after each kill");
        }
        drop(guard);
        reader.join().expect("no torn read")
    });
    figure(&format!(
        "files: {kills} agents killed while they wrote, in {:.1} s; {} kills met a temporary file, {} at most at one \
         time; {reads} reads saw the file whole",
        start.elapsed().as_secs_f64(),
        interrupted.into_inner(),
        left.load(Ordering::Relaxed)
    ));
    // One of each agent that runs, and of the one before whose left-overs it has not swept yet.
    assert!(left.into_inner() <= 2 * SIDE_BY_SIDE, "temporary files pile up");
    stage.run(["--", "true"]).assert_succeeded();
    whole.assert();
    assert_eq!(beside(&stage.credentials_file()), ["credentials"], "left-overs after a whole run");
}

/// Temporary files beside the credentials file.
fn leftovers(stage: &Stage) -> usize {
    beside(&stage.credentials_file()).iter().filter(|name| name.starts_with(".credentials.fedboot-")).count()
}

#[test]
fn killed_while_it_writes_it_leaves_the_file_whole() {
    kill_while_writing(600);
}

#[test]
#[ignore = "a minute: the same ten thousand times"]
fn killed_ten_thousand_times_while_it_writes_it_leaves_the_file_whole() {
    // Not in one go: the sandbox remembers all that it has issued.
    for _ in 0..20 {
        kill_while_writing(500);
    }
}
