use std::io::ErrorKind;
use std::time::{Duration, Instant};

use fedboot_sandbox::{Fault, Port, Sandbox, Service};

use crate::client::{assume, get, metadata, parameters, post_form};

#[test]
fn each_effect_as_the_client_sees_it() {
    let sandbox = Sandbox::start().unwrap();
    let next = |fault: Fault| {
        sandbox.fault(Service::Sts, fault);
        assume(&sandbox)
    };
    assert_eq!(next(Fault::status(503, "busy")).unwrap().text(), "busy");
    let throttled = next(Fault::error("Throttling")).unwrap();
    assert_eq!((throttled.status, throttled.element("Code").as_deref()), (400, Some("Throttling")));
    let redirect = next(Fault::redirect("http://127.0.0.1:1/")).unwrap();
    assert_eq!((redirect.status, redirect.headers["location"].as_str()), (302, "http://127.0.0.1:1/"));
    assert!(String::from_utf8(next(Fault::garbage()).unwrap().body).is_err());
    let captive = next(Fault::captive()).unwrap();
    assert_eq!((captive.status, captive.text().contains("<html>")), (200, true));
    assert_eq!(next(Fault::cut_body()).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(next(Fault::close()).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(next(Fault::drip(Duration::from_micros(1))).unwrap().status, 200);
    assert!(next(Fault::wrong_certificate()).unwrap_err().to_string().contains("certificate"));
    assert_eq!(assume(&sandbox).unwrap().status, 200);

    let failed = sandbox.connections();
    let failed: Vec<_> = failed.iter().filter(|c| c.handshake_error.is_some()).collect();
    assert_eq!(failed.len(), 1);
    let log = sandbox.requests_to(Service::Sts);
    assert!(log.iter().all(|r| r.connection != failed[0].id));
    assert_eq!(log.len(), 9);
    // Cut and dripped answers were real ones.
    assert_eq!(sandbox.issued().len(), 3);
    assert_eq!(log[1].fault.as_deref().map(|f| f.contains("Throttling")), Some(true));
}

#[test]
fn delays_are_exact() {
    let sandbox = Sandbox::start().unwrap();
    let delay = Duration::from_millis(50);
    sandbox.fault(Service::Metadata, Fault::delay(delay).always().on("identity"));
    // A busy machine may add to one of them, hardly to all.
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        parameters(&sandbox);
        quickest = quickest.min(start.elapsed());
    }
    assert!(quickest >= delay && quickest < delay + Duration::from_millis(25), "{quickest:?}");
    assert!(sandbox.requests().iter().all(|request| request.took >= delay));
    assert!(metadata(&sandbox, "project/project-id").status == 200);
}

#[test]
fn a_hung_request_is_logged_and_the_client_may_leave() {
    let sandbox = Sandbox::start().unwrap();
    sandbox.fault(Service::Sts, Fault::hang());
    sandbox.fault(Service::Sts, Fault::delay(Duration::from_secs(60)));
    let address = sandbox.sts_http_url().replace("http://", "");
    for verdict in ["never answered", "the client went away"] {
        use std::io::{Read, Write};
        let mut client = std::net::TcpStream::connect(&address).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let text = "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                    content-length: 8\r\n\r\nAction=A";
        client.write_all(text.as_bytes()).unwrap();
        assert!(client.read(&mut [0; 1]).is_err());
        drop(client);
        let count = if verdict == "never answered" { 1 } else { 2 };
        let seen = sandbox.wait_for(count, "A", Duration::from_secs(5)).unwrap();
        let last = seen.last().unwrap();
        assert_eq!((last.verdict.as_str(), last.status), (verdict, None));
    }
}

#[test]
fn queues_end_and_clear() {
    let sandbox = Sandbox::start().unwrap();
    let path = "project/project-id";
    sandbox.fault(Service::Metadata, Fault::pass());
    sandbox.fault(Service::Metadata, Fault::status(500, "").times(2));
    let statuses = |count| -> Vec<u16> { (0..count).map(|_| metadata(&sandbox, path).status).collect() };
    assert_eq!(statuses(4), [200, 500, 500, 200]);
    sandbox.fault(Service::Metadata, Fault::status(404, "").always());
    assert_eq!(statuses(3), [404, 404, 404]);
    sandbox.clear_faults();
    assert_eq!(statuses(1), [200]);
}

#[test]
fn connections_are_refused_for_a_while() {
    let late = Duration::from_millis(300);
    let sandbox = Sandbox::builder().refuse_first(Service::Metadata, late).start().unwrap();
    let start = Instant::now();
    let connect = |url: &str| std::net::TcpStream::connect(url);
    let host = sandbox.metadata_host();
    assert_eq!(connect(&host).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    while connect(&host).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(start.elapsed() > late - Duration::from_millis(100));

    let open = connect(&sandbox.sts_http_url().replace("http://", "")).unwrap();
    sandbox.refuse_connections(Service::Sts, late);
    for url in [sandbox.sts_url(), sandbox.sts_http_url()] {
        let address = url.split_once("://").unwrap().1.to_string();
        assert_eq!(connect(&address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    open.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let cut = std::io::Read::read(&mut &open, &mut [0; 1]);
    assert!(matches!(&cut, Ok(0)) || cut.unwrap_err().kind() == ErrorKind::ConnectionReset);
    std::thread::sleep(late + Duration::from_millis(100));
    assert_eq!(post_form(&sandbox, &parameters(&sandbox)).status, 200);
}

#[test]
fn ports_may_be_fixed() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let sandbox = Sandbox::builder().port(Port::Metadata, free).start().unwrap();
    assert_eq!(sandbox.metadata_host(), format!("127.0.0.1:{free}"));
    let taken = Sandbox::builder().port(Port::Sts, free).start().err().unwrap().to_string();
    assert!(taken.starts_with("Sts on 127.0.0.1:"), "{taken}");
    assert_eq!(get(&sandbox.jwks_url()).status, 200);
}
