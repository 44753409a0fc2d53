//! A listener on a free loopback port, whose connections end with it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

/// It stops when it is dropped.
pub(crate) struct Listening {
    pub address: SocketAddr,
    task: AbortHandle,
}

impl Listening {
    pub(crate) fn start<S>(runtime: &Handle, serve: impl Fn(TcpStream) -> S + Send + 'static) -> anyhow::Result<Self>
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("proxy")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let run = async move {
            let Ok(listener) = TcpListener::from_std(listener) else {
                return;
            };
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => if let Ok((client, _)) = accepted {
                        connections.spawn(serve(client));
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        };
        Ok(Self { address, task: runtime.spawn(run).abort_handle() })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}
