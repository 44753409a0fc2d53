//! An agent that was frozen past the end of what it had (SIGSTOP, a cgroup's freezer, a suspended machine): who asks first
//! after the thaw is answered with something fresh, both ways, also when the last try before had failed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fedboot_sandbox::{AwsPlace, Fault, Sandbox, Service};

use crate::common::launch::{Held, kill, stop};
use crate::common::{PATIENCE, Stage, eventually};

/// Sessions and tokens last this long.
const LIFETIME: Duration = Duration::from_secs(4);

/// What is asked for, and by what its requests are known.
#[derive(Clone, Copy, Debug)]
enum Way {
    ToAws,
    ToGoogle,
}

impl Way {
    fn stage(self) -> Stage {
        match self {
            Self::ToAws => Stage::with(Sandbox::builder().credential_lifetime(LIFETIME)),
            Self::ToGoogle => {
                let builder = Sandbox::builder().access_token_cap(LIFETIME);
                let mut stage = Stage::with(builder.aws(AwsPlace::Environment));
                for (name, value) in stage.sandbox.env() {
                    stage.set(&name, value);
                }
                stage
            }
        }
    }

    fn service(self) -> Service {
        match self {
            Self::ToAws => Service::Sts,
            Self::ToGoogle => Service::IamCredentials,
        }
    }

    /// Asks the loopback server once.
    fn ask(self, held: &Held) -> (u16, String) {
        let (address, path) = match self {
            Self::ToAws => {
                let uri = held.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
                let (address, path) = uri["http://".len()..].split_once('/').expect("a path");
                (address.to_owned(), path.to_owned())
            }
            Self::ToGoogle => (
                held.variable("GCE_METADATA_HOST"),
                "computeMetadata/v1/instance/service-accounts/default/token".into(),
            ),
        };
        let mut stream = TcpStream::connect(&address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request =
            format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer)
    }
}

/// Stops the agent until what it has has ended.
fn freeze(held: &Held) -> u32 {
    let agent = held.agent();
    stop(agent);
    agent
}

/// What happens before the freeze.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    /// A refresh has failed.
    Failure,
    /// A refresh is under way, and will have failed because of the freeze.
    Request,
}

fn check(way: Way, before: Before) {
    let stage = way.stage();
    let held = stage.hold(&[]);
    let first = way.ask(&held);
    assert_eq!(first.0, 200, "{way:?} {before:?}: {}", first.1);
    let count = || stage.sandbox.requests_to(way.service()).len();
    let asked = count();
    match before {
        Before::Nothing => {}
        Before::Failure => {
            stage.sandbox.fault(way.service(), Fault::status(500, "").always());
            eventually("a refresh fails", || count() > asked);
            // Its answer has arrived.
            thread::sleep(Duration::from_millis(100));
        }
        Before::Request => {
            stage.sandbox.fault(way.service(), Fault::hang().times(1));
            eventually("a refresh is under way", || count() > asked);
        }
    }
    let agent = freeze(&held);
    let ends = SystemTime::now() + LIFETIME + Duration::from_secs(7);
    stage.sandbox.clear_faults();
    eventually("time passes", || SystemTime::now() > ends);
    // The request is there before the agent knows what time it is.
    let (answer, took) = thread::scope(|scope| {
        let asking = scope.spawn(|| way.ask(&held));
        thread::sleep(Duration::from_millis(50));
        let start = Instant::now();
        kill(agent, libc::SIGCONT);
        (asking.join().expect("an answer"), start.elapsed())
    });
    assert_eq!(answer.0, 200, "{way:?} {before:?} after {took:?}: {}", answer.1);
    let body = |answer: &str| answer.split_once("\r\n\r\n").expect("a body").1.to_owned();
    assert_ne!(body(&answer.1), body(&first.1), "{way:?} {before:?}");
    held.release(&stage).assert_succeeded();
}

#[test]
fn the_first_request_after_a_thaw_has_something_fresh() {
    thread::scope(|scope| {
        for way in [Way::ToAws, Way::ToGoogle] {
            for before in [Before::Nothing, Before::Failure, Before::Request] {
                scope.spawn(move || check(way, before));
            }
        }
    });
}

/// A service that does this from now on, and an agent that was frozen until what it has had ended.
fn thawed(way: Way, fault: Fault) -> (Stage, Held) {
    let stage = way.stage();
    let held = stage.hold(&[]);
    stage.sandbox.fault(way.service(), fault.always());
    let agent = freeze(&held);
    let ends = SystemTime::now() + LIFETIME + Duration::from_secs(1);
    eventually("time passes", || SystemTime::now() > ends);
    kill(agent, libc::SIGCONT);
    (stage, held)
}

fn both_ways(check: fn(Way)) {
    thread::scope(|scope| {
        for way in [Way::ToAws, Way::ToGoogle] {
            scope.spawn(move || check(way));
        }
    });
}

#[test]
fn a_refresh_that_does_not_come_back_is_not_called_a_failure() {
    both_ways(|way| {
        let (stage, held) = thawed(way, Fault::delay(Duration::from_secs(4)));
        let (status, answer) = way.ask(&held);
        assert_eq!(status, 503, "{way:?}: {answer}");
        assert!(answer.contains("within a second") && !answer.contains("fail"), "{way:?}: {answer}");
        held.release(&stage).assert_succeeded();
    });
}

#[test]
fn a_refresh_that_fails_says_what_came_back() {
    both_ways(|way| {
        let (stage, held) = thawed(way, Fault::status(500, "no"));
        // On a machine that is busy even a refusal may take more than the second that the first client waits.
        eventually("the refusal is told", || {
            let (status, answer) = way.ask(&held);
            assert_eq!(status, 503, "{way:?}: {answer}");
            answer.contains("answered 500")
        });
        held.release(&stage).assert_succeeded();
    });
}
