use std::time::Duration;

use fedboot::agent::readiness_message::ReadinessMessage;
use fedboot::error::{Error, Kind};
use fedboot::model::environment::Environment;
use fedboot::system::world::os_string;

#[test]
fn survives_the_pipe() {
    let mut environment = Environment::default();
    environment.set("A", os_string(b"\xff=1\n"));
    environment.set("EMPTY", "");
    environment.unset("B");
    let Some(ReadinessMessage::Ready(back)) =
        ReadinessMessage::decode(&ReadinessMessage::Ready(environment.clone()).encode())
    else {
        panic!("not ready");
    };
    assert_eq!(back, environment);
    assert!(matches!(
        ReadinessMessage::decode(&ReadinessMessage::Ready(Environment::default()).encode()),
        Some(ReadinessMessage::Ready(_))
    ));
    let mut error = Error::usage("bad").advice("mend").request_id(Some("id".into()));
    error.tries = Some((3, Duration::from_millis(1500)));
    let Some(ReadinessMessage::Failed(back)) =
        ReadinessMessage::decode(&ReadinessMessage::Failed(Box::new(error.clone())).encode())
    else {
        panic!("not failed");
    };
    assert_eq!(back.to_string(), error.to_string());
    assert_eq!(back.kind, Kind::Usage);
}

#[test]
fn half_a_report_is_none() {
    let mut environment = Environment::default();
    environment.set("A", "1");
    let whole = ReadinessMessage::Ready(environment).encode();
    for length in 0..whole.len() {
        assert!(ReadinessMessage::decode(&whole[..length]).is_none(), "{length} bytes");
    }
}
