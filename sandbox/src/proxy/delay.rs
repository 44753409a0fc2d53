//! A TCP proxy with the latency of a distant server: each direction is late by half a round trip, in a pipeline, so
//! that the latency grows and the throughput does not shrink. The connection to the proxy itself stands at once.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::clock::sleep_until;
use crate::proxy::listening::Listening;

/// A running proxy; it stops when it is dropped.
pub struct DelayProxy {
    listening: Listening,
    target: String,
}

impl DelayProxy {
    /// `target` is `HOST:PORT` or a URL with a port.
    pub(crate) fn start(runtime: &Handle, target: &str, round_trip: Duration) -> anyhow::Result<Self> {
        let host = target.split_once("://").map_or(target, |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or("");
        let to = host.to_socket_addrs().ok().and_then(|mut all| all.next());
        let to = to.with_context(|| format!("delay proxy to {target}: no address"))?;
        let listening = Listening::start(runtime, move |client| async move {
            // Either side may end the connection as it likes.
            let _ = pump(client, to, round_trip / 2).await;
        })?;
        Ok(Self { listening, target: target.to_string() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// The target with this proxy's address in place of its own: a URL if the target was one.
    pub fn url(&self) -> String {
        match self.target.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://{}", self.listening.address),
            None => self.listening.address.to_string(),
        }
    }
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
