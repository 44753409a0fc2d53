//! From a connection to one that nobody else can read.

use std::io;
use std::sync::atomic::Ordering;

use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::error::reasons;
use crate::system::http::trust::{self, BadBundle, Bundle, SYSTEM_IS_NEEDED, Tls};
use crate::system::http::{BoxStream, Failure, Http, progress};
use crate::system::world;

impl Http {
    pub(super) async fn tls(&self, host: &str, stream: BoxStream) -> Result<BoxStream, Failure> {
        let ready = self.tls.borrow().clone();
        let connector = match ready {
            Some(tls) => tls.connector,
            None => self.trust(SYSTEM_IS_NEEDED.load(Ordering::Relaxed)).await?.0,
        };
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| Failure::lasting(format!("{host} is no valid server name")))?;
        let _waiting = progress::wait_for(format!("TLS with {host}"));
        let started = Instant::now();
        let stream = connector.connect(name, stream).await.map_err(|error| {
            let why = error.get_ref().and_then(|inner| inner.downcast_ref());
            self.met_a_stranger.set(matches!(why, Some(rustls::Error::InvalidCertificate(_))));
            tls_failure(&error, host)
        })?;
        self.trace.borrow_mut().secured = Some(started.elapsed());
        Ok(Box::new(stream))
    }

    /// Prepares TLS with what the variables name and, if `system`, what the system's own store holds; says whether there
    /// is one.
    pub(super) async fn trust(&self, system: bool) -> Result<(TlsConnector, bool), Failure> {
        let mut bundles = Vec::new();
        for file in &self.ca_files {
            bundles.push(Bundle::named(file.origin_and_path(), file.load().await));
        }
        let store = if system { Bundle::of_system().await } else { None };
        let has_store = store.is_some();
        bundles.extend(store);
        let (connector, trust) =
            trust::connector(bundles).map_err(|error| Failure::lasting(error.to_string()).reason(&reasons::CA_FILE))?;
        self.tls.replace(Some(Tls { connector: connector.clone(), trust, has_system: system }));
        Ok((connector, has_store))
    }
}

fn tls_failure(error: &io::Error, host: &str) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let shown = format!("showed a certificate that is not to be trusted for {host} ({why:?})");
            let is_of_time = matches!(
                why,
                CertificateError::Expired
                    | CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYet
                    | CertificateError::NotValidYetContext { .. }
            );
            Failure::lasting(shown).reason(if is_of_time { &reasons::CERTIFICATE_TIME } else { &reasons::CERTIFICATE })
        }
        Some(rustls::Error::Other(why)) if why.0.is::<BadBundle>() => {
            Failure::lasting(format!("not asked: {}", why.0)).reason(&reasons::CA_FILE)
        }
        Some(why) => Failure::passing(format!("failed in the TLS handshake: {why}")),
        None => Failure::passing(format!("failed in the TLS handshake: {}", world::plain(error))),
    }
}
