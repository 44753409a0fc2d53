//! Whom to trust: Mozilla's roots, compiled in because images such as distroless and scratch have none, and where those do
//! not suffice what the user's variables and the system's own store name. A bundle of the system's takes milliseconds to
//! parse, so that is done only for a certificate that needs it.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};
use tokio_rustls::TlsConnector;

use crate::world;

/// Where distributions keep their bundle: Debian, Fedora, openSUSE, RHEL 7, Alpine; the list is Go's
/// (<https://go.dev/src/crypto/x509/root_linux.go>).
const STORES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A bundle of authorities in PEM.
pub struct Bundle {
    /// Who has named it, and as what; none for the system's own, which need not be good.
    said: Option<String>,
    /// Its bytes, or why there are none.
    content: Result<Vec<u8>, String>,
    /// What judges by it, once it was needed.
    verifier: OnceLock<Result<Arc<WebPkiServerVerifier>, rustls::Error>>,
}

impl Bundle {
    /// The one that the user has named.
    pub fn named(said: String, content: Result<Vec<u8>, String>) -> Self {
        Self { said: Some(said), content, verifier: OnceLock::new() }
    }

    /// The system's own, if it has one.
    pub async fn of_system() -> Option<Self> {
        for store in STORES {
            if let Ok(content) = world::load_file(Path::new(store)).await {
                return Some(Self { said: None, content: Ok(content), verifier: OnceLock::new() });
            }
        }
        None
    }

    fn roots(&self) -> Result<RootCertStore, BadBundle> {
        let bad =
            |what: &str| BadBundle(format!("the CA file of {} {what}", self.said.as_deref().unwrap_or("the system")));
        let pem = self.content.as_ref().map_err(|why| bad(why))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| bad("holds malformed PEM"))?;
            // System bundles hold a few roots that no longer parse; the others still count.
            let _ = roots.add(certificate);
        }
        if roots.is_empty() { Err(bad("holds no CA certificate")) } else { Ok(roots) }
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        let load = || match self.roots() {
            Ok(roots) => verifier(roots, provider),
            Err(_) if self.said.is_none() => Err(unknown_issuer()),
            Err(bad) => Err(rustls::Error::Other(OtherError(Arc::new(bad)))),
        };
        self.verifier.get_or_init(load).clone()
    }
}

/// What is said of a certificate by an authority that nobody here knows.
pub fn unknown_issuer() -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)
}

/// Why the user's authorities cannot be asked.
#[derive(Clone, Debug)]
pub struct BadBundle(pub String);

impl fmt::Display for BadBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadBundle {}

/// Judges certificates: by Mozilla's roots, and where those do not do, by one bundle after the other.
struct Trust {
    mozilla: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    bundles: Vec<Bundle>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

fn verifier(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    built.map_err(|error| rustls::Error::General(error.to_string()))
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judge = |by: &WebPkiServerVerifier| by.verify_server_cert(certificate, chain, name, ocsp, now);
        let mut outcome = judge(&self.mozilla);
        for bundle in &self.bundles {
            let Err(why) = &outcome else { break };
            // Another authority of the same name as the right one says that the signature is bad. What somebody who
            // knows the issuer has to say is worth more than that the next one does not.
            outcome = match judge(&*bundle.verifier(&self.provider)?) {
                Err(next) if next == unknown_issuer() => Err(why.clone()),
                next => next,
            };
        }
        outcome
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.mozilla.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.mozilla.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.mozilla.supported_verify_schemes()
    }
}

/// TLS that trusts Mozilla's roots and, where those know no issuer, `bundles`.
///
/// # Errors
/// What rustls says of its own parts.
pub fn connector(bundles: Vec<Bundle>) -> Result<TlsConnector, rustls::Error> {
    let mut provider = rustls::crypto::ring::default_provider();
    // Processors have instructions for SHA-256, which a handshake hashes a hundred times, but few for SHA-384.
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let provider = Arc::new(provider);
    let mozilla = verifier(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }, &provider)?;
    let trust = Trust { mozilla, provider: provider.clone(), bundles };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_no_client_auth();
    // Each connection is the only one for half an hour: nothing would ever be resumed.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}
