use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fedboot_sandbox::{Sandbox, Service};

use crate::client::{FORM, encoded, exchange, parameters, request, tls};

#[test]
fn delay_is_latency_not_throughput() {
    let sandbox = Sandbox::start().unwrap();
    let echo = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = echo.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in echo.incoming() {
            let mut stream = stream.unwrap();
            let mut copy = stream.try_clone().unwrap();
            std::thread::spawn(move || std::io::copy(&mut stream, &mut copy));
        }
    });
    let round_trip = Duration::from_millis(40);
    let proxy = sandbox.delay_proxy(&target, round_trip).unwrap();
    let start = Instant::now();
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    assert!(start.elapsed() < round_trip / 2);
    // A busy machine may add to one of them, hardly to all.
    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0; 1]).unwrap();
        quickest = quickest.min(start.elapsed());
    }
    assert!(quickest >= round_trip && quickest < round_trip + round_trip / 2, "{quickest:?}");
    // Eight megabytes would take minutes if each piece waited for the one before it.
    let start = Instant::now();
    let mut reader = client.try_clone().unwrap();
    let reading = std::thread::spawn(move || reader.read_exact(&mut vec![0; 8 << 20]));
    client.write_all(&vec![7; 8 << 20]).unwrap();
    reading.join().unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    let address = proxy.address();
    drop(proxy);
    std::thread::sleep(Duration::from_millis(50));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn sts_behind_a_delay() {
    let sandbox = Sandbox::start().unwrap();
    let proxy = sandbox.delay_proxy(&sandbox.sts_url(), Duration::from_millis(10)).unwrap();
    assert!(proxy.url().starts_with("https://127.0.0.1:"));
    let body = encoded(&parameters(&sandbox));
    let answer = request(&proxy.url(), "POST", &[FORM], &body, Some(&sandbox.ca_file())).unwrap();
    assert_eq!(answer.status, 200);
}

/// The proxy's answer to CONNECT, and the tunnel.
fn connect(address: std::net::SocketAddr, target: &str, header: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let text = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n{header}\r\n");
    stream.write_all(text.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (String::from_utf8(head).unwrap()[9..12].to_string(), stream)
}

#[test]
fn a_tunnel_leads_aws_to_the_sandbox() {
    let sandbox = Sandbox::start().unwrap();
    let proxy = sandbox.resolving_proxy(Some(("user", "secret"))).unwrap();
    assert!(proxy.url().starts_with("http://user:secret@127.0.0.1:"));
    let host = "sts.eu-west-1.amazonaws.com";
    let target = format!("{host}:443");
    assert_eq!(connect(proxy.address(), &target, "").0, "407");
    // user:secret
    let password = "proxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\n";
    let (status, stream) = connect(proxy.address(), &target, password);
    assert_eq!(status, "200");
    let body = encoded(&parameters(&sandbox));
    let text = format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{}: {}\r\ncontent-length: {}\r\n\r\n{body}",
        FORM.0,
        FORM.1,
        body.len()
    );
    let answer = exchange(tls(stream, host, &sandbox.ca_file()).unwrap(), &text).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(sandbox.requests_to(Service::Sts)[0].header("host"), Some(host));
    assert_eq!(proxy.targets(), [target.clone(), target]);
    assert_eq!(proxy.requests()[0].status, 407);
}

#[test]
fn only_names_of_the_clouds_have_certificates() {
    let sandbox = Sandbox::start().unwrap();
    let address = sandbox.sts_url().replace("https://", "");
    for (name, good) in [
        ("sts.us-gov-west-1.amazonaws.com", true),
        ("sts.cn-north-1.amazonaws.com.cn", true),
        ("sts.eu-west-1.api.aws", true),
        ("iamcredentials.googleapis.com", true),
        ("localhost", true),
        ("sts.example.com", false),
        ("fakeamazonaws.com", false),
    ] {
        let mut stream = tls(TcpStream::connect(&address).unwrap(), name, &sandbox.ca_file()).unwrap();
        let shaken = stream.conn.complete_io(&mut stream.sock);
        assert_eq!(shaken.is_ok(), good, "{name}: {shaken:?}");
    }
}

#[test]
fn plain_requests_through_the_proxy() {
    let sandbox = Sandbox::start().unwrap();
    let proxy = sandbox.connect_proxy(None).unwrap();
    let url = sandbox.jwks_url();
    let stream = TcpStream::connect(proxy.address()).unwrap();
    let text = format!("GET {url} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let answer = exchange(stream, &text).unwrap();
    assert!(answer.json()["keys"].is_array());
    assert_eq!(proxy.targets(), [url]);
    let (status, _) = connect(proxy.address(), "127.0.0.1:1", "");
    assert_eq!(status, "502");
}
