//! Where each port is.

use std::net::SocketAddr;

use crate::settings::names::Port;

pub(crate) struct Addresses(pub Vec<(Port, SocketAddr)>);

impl Addresses {
    pub(crate) fn of(&self, port: Port) -> SocketAddr {
        self.0.iter().find(|(of, _)| *of == port).expect("every port has an address").1
    }

    pub(crate) fn url(&self, port: Port) -> String {
        let scheme = if port.tls() { "https" } else { "http" };
        let address = self.of(port);
        match address.port() {
            80 => format!("{scheme}://{}", address.ip()),
            _ => format!("{scheme}://{address}"),
        }
    }
}
