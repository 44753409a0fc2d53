//! Load on the server that fedboot gives its command, the metadata server or the credentials endpoint, by the command's
//! environment: `load CLIENTS REQUESTS PAUSE_US`. Each client keeps its connection and pauses between two requests, as
//! SDK clients do; with a pause of 0 they do not. Prints microseconds: median, 99th percentile, answers a second.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, error::Error};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1).map(|argument| argument.parse::<usize>());
    let mut next = || arguments.next().ok_or("usage: load CLIENTS REQUESTS PAUSE_US");
    let (clients, requests, pause) = (next()??, next()??, Duration::from_micros(next()?? as u64));
    let (url, header) = match env::var("FEDBOOT_METADATA_HOST") {
        Ok(host) => (
            format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token"),
            "Metadata-Flavor: Google".to_owned(),
        ),
        Err(_) => (env::var("AWS_CONTAINER_CREDENTIALS_FULL_URI")?, "Accept: application/json".to_owned()),
    };
    let (host, path) = url.trim_start_matches("http://").split_once('/').ok_or("no path in the URL")?;
    let request: Arc<str> = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\n\r\n").into();
    let barrier = Arc::new(Barrier::new(clients));
    let start = Instant::now();
    let threads: Vec<_> = (0..clients)
        .map(|client| {
            let (request, barrier, host) = (request.clone(), barrier.clone(), host.to_owned());
            thread::spawn(move || {
                let mut stream = TcpStream::connect(host).expect("the endpoint");
                stream.set_nodelay(true).expect("an option");
                let mut buffer = [0; 8192];
                let mut took = Vec::with_capacity(requests);
                barrier.wait();
                // Out of step, as independent clients are.
                thread::sleep(
                    pause * u32::try_from(client).expect("few clients") / u32::try_from(clients).expect("few clients"),
                );
                for _ in 0..requests {
                    let asked = Instant::now();
                    stream.write_all(request.as_bytes()).expect("a request");
                    // The whole answer comes in one packet, which a test of its own makes sure of.
                    let count = stream.read(&mut buffer).expect("an answer");
                    took.push(asked.elapsed());
                    assert!(buffer[..count].starts_with(b"HTTP/1.1 200"), "not an answer");
                    if !pause.is_zero() {
                        thread::sleep(pause);
                    }
                }
                took
            })
        })
        .collect();
    let mut took: Vec<Duration> = threads.into_iter().flat_map(|thread| thread.join().expect("a client")).collect();
    let seconds = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let micros = |part: f64| took[(took.len() as f64 * part) as usize].as_micros();
    println!("{} {} {:.0}", micros(0.5), micros(0.99), took.len() as f64 / seconds);
    Ok(())
}
