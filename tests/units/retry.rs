use std::time::Duration;

use fedboot::timing::retry::REFRESH;

#[test]
fn grows_to_the_cap_and_never_to_nothing() {
    for (failures, random, millis) in
        [(1, 0.0, 1000), (1, 1.0, 2000), (2, 1.0, 4000), (6, 1.0, 60_000), (u32::MAX, 1.0, 60_000), (9, 0.0, 1000)]
    {
        assert_eq!(REFRESH.delay(failures, random), Duration::from_millis(millis), "{failures} {random}");
    }
}
