//! A TCP proxy with the latency of a distant server: each direction is late by half a round trip, in a pipeline, so
//! that the latency grows and the throughput does not shrink. The connection to the proxy itself stands at once.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::clock::sleep_until;

/// A running proxy; it stops when it is dropped.
pub struct DelayProxy {
    address: SocketAddr,
    target: String,
    task: AbortHandle,
}

impl DelayProxy {
    /// `target` is `HOST:PORT` or a URL with a port.
    pub(crate) fn start(runtime: &Handle, target: &str, round_trip: Duration) -> Result<Self, String> {
        let wrong = |why: &dyn std::fmt::Display| format!("delay proxy to {target}: {why}");
        let host = target.split_once("://").map_or(target, |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or("");
        let to = host.to_socket_addrs().map_err(|e| wrong(&e))?.next().ok_or_else(|| wrong(&"no address"))?;
        let (listener, address) = bind().map_err(|e| wrong(&e))?;
        let run = async move {
            let Ok(listener) = TcpListener::from_std(listener) else {
                return;
            };
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => if let Ok((client, _)) = accepted {
                        connections.spawn(pump(client, to, round_trip / 2));
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        };
        Ok(Self { address, target: target.to_string(), task: runtime.spawn(run).abort_handle() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The target with this proxy's address in place of its own: a URL if the target was one.
    pub fn url(&self) -> String {
        match self.target.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://{}", self.address),
            None => self.address.to_string(),
        }
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A listener on a free loopback port, ready for tokio.
pub(crate) fn bind() -> io::Result<(StdTcpListener, SocketAddr)> {
    let listener = StdTcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn pump(client: TcpStream, to: SocketAddr, delay: Duration) -> io::Result<()> {
    let server = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(delayed(from_client, to_server, delay), delayed(from_server, to_client, delay))?;
    Ok(())
}

async fn delayed(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) -> io::Result<()> {
    // Bounded, so that a reader that stops also stops the writer, as a real network would in the end.
    let (line, mut end) = mpsc::channel::<(Instant, Bytes)>(4096);
    let read = async move {
        loop {
            let mut bytes = BytesMut::with_capacity(16 << 10);
            let count = from.read_buf(&mut bytes).await?;
            let arrival = (Instant::now() + delay, bytes.freeze());
            if line.send(arrival).await.is_err() || count == 0 {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = end.recv().await {
            sleep_until(due).await;
            // No bytes stand for the end.
            if bytes.is_empty() {
                return to.shutdown().await;
            }
            to.write_all(&bytes).await?;
        }
        Ok(())
    };
    tokio::try_join!(read, write)?;
    Ok(())
}
