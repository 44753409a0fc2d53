//! One port: it listens, or refuses connections for a while. Who answers is not known here.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Instant;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::settings::names::Port;

/// Connections that may wait to be accepted.
pub(crate) const BACKLOG: u32 = 1024;

/// Stop listening, drop every connection, and listen again after a while.
pub(crate) struct Refuse {
    pub until: Instant,
    pub done: mpsc::Sender<()>,
}

/// A socket that holds its port but refuses connections until it listens.
pub(crate) fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// How a port begins.
pub(crate) enum Opening {
    /// It listens already.
    Open(TcpListener),
    /// It refuses connections until then.
    Late(TcpSocket, Instant),
}

/// Serves one port as long as the runtime lives.
pub(crate) async fn run<S>(
    port: Port,
    mut opening: Opening,
    mut orders: UnboundedReceiver<Refuse>,
    serve: impl Fn(TcpStream) -> S,
) where
    S: Future<Output = ()> + Send + 'static,
{
    loop {
        let listener = match opening {
            Opening::Open(listener) => Ok(listener),
            Opening::Late(socket, until) => {
                tokio::time::sleep_until(until.into()).await;
                socket.listen(BACKLOG)
            }
        };
        let (listener, address) = match listener.and_then(|l| l.local_addr().map(|a| (l, a))) {
            Ok(listening) => listening,
            Err(e) => return eprintln!("fedboot-sandbox: {port:?} cannot listen: {e}"),
        };
        let mut connections = JoinSet::new();
        let order = loop {
            tokio::select! {
                accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream));
                },
                Some(_) = connections.join_next() => {}
                Some(order) = orders.recv() => break order,
            }
        };
        drop(listener);
        connections.shutdown().await;
        opening = match reserve(address) {
            Ok(socket) => Opening::Late(socket, order.until),
            Err(e) => {
                return eprintln!("fedboot-sandbox: {port:?} cannot have {address} again: {e}");
            }
        };
        // Nobody may be waiting any more.
        let _ = order.done.send(());
    }
}
