use fedboot::config::values::parse_duration;
use fedboot::system::input::InputValue;

#[test]
fn durations() {
    for (text, seconds) in [("3600", 3600), ("90m", 5400), ("12h", 43_200), ("1h 30m", 5400)] {
        assert_eq!(parse_duration(&InputValue::new("--duration", text)).expect(text).as_secs(), seconds);
    }
}
