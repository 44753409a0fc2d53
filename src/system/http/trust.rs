//! Whom to trust: Mozilla's roots, compiled in because images such as distroless and scratch have none, and where those do
//! not suffice what the user's variables and the system's own store name. A bundle of the system's takes milliseconds to
//! parse, so that is done only for a certificate that needs it.

use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::system::http::crypto;
use crate::system::http::trace::{self, Certificate, Trusted};
use crate::system::world;

/// Where distributions keep their bundle: Debian, Fedora, openSUSE, RHEL 7, Alpine; the list is Go's
/// (<https://go.dev/src/crypto/x509/root_linux.go>).
const STORES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whether a certificate was met that nobody trusts without the system's store: from then on that is asked at once.
pub static SYSTEM_IS_NEEDED: AtomicBool = AtomicBool::new(false);

/// TLS, made ready once.
#[derive(Clone)]
pub struct Tls {
    /// Who says hello.
    pub connector: TlsConnector,
    /// Who judges.
    pub trust: Arc<Trust>,
    /// Whether the system's store counts.
    pub has_system: bool,
}

/// A bundle of authorities in PEM.
pub struct Bundle {
    /// Who has named it, and as what; none for the system's own, which need not be good.
    origin: Option<String>,
    /// Its bytes, or why there are none.
    content: Result<Vec<u8>, String>,
    /// What it holds, once that was needed.
    roots: OnceLock<Result<RootCertStore, rustls::Error>>,
}

impl Bundle {
    /// The one that the user has named.
    pub fn named(origin: String, content: Result<Vec<u8>, String>) -> Self {
        Self { origin: Some(origin), content, roots: OnceLock::new() }
    }

    /// The system's own, if it has one.
    pub async fn of_system() -> Option<Self> {
        for store in STORES {
            if let Ok(content) = world::load_file(Path::new(store)).await {
                return Some(Self { origin: None, content: Ok(content), roots: OnceLock::new() });
            }
        }
        None
    }

    fn roots(&self) -> Result<&RootCertStore, rustls::Error> {
        self.roots.get_or_init(|| self.parse()).as_ref().map_err(Clone::clone)
    }

    fn parse(&self) -> Result<RootCertStore, rustls::Error> {
        let mut roots = RootCertStore::empty();
        let bad = |what: &str| match &self.origin {
            Some(origin) => {
                let bad = BadBundle(format!("the CA file of {origin} {what}"));
                rustls::Error::Other(OtherError(Arc::new(bad)))
            }
            None => unknown_issuer(),
        };
        let pem = self.content.as_ref().map_err(|why| bad(why))?;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| bad("holds malformed PEM"))?;
            // System bundles hold a few roots that no longer parse; the others still count.
            let _ = roots.add(certificate);
        }
        if roots.is_empty() { Err(bad("holds no CA certificate")) } else { Ok(roots) }
    }
}

/// What is said of a certificate by an authority that nobody here knows.
fn unknown_issuer() -> rustls::Error {
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

/// Judges certificates as rustls does by itself, by Mozilla's roots, and where those do not do, by one bundle after the
/// other.
pub struct Trust {
    mozilla: RootCertStore,
    bundles: Vec<Bundle>,
    algorithms: WebPkiSupportedAlgorithms,
    /// The last certificate that was shown, and by what it was trusted.
    last: Mutex<Option<(CertificateDer<'static>, Trusted)>>,
}

impl Trust {
    /// Whose certificate was shown last.
    pub fn last_certificate(&self) -> Option<Certificate> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|(shown, trust)| Certificate { issuer: trace::issuer(shown), trust: trust.clone() })
    }

    /// By what the certificate is trusted.
    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Trusted, rustls::Error> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        let judge = |roots: &RootCertStore| {
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, chain, now, self.algorithms.all)
        };
        let mut outcome = judge(&self.mozilla);
        let mut trust = Trusted::Mozilla;
        for bundle in &self.bundles {
            let Err(why) = &outcome else { break };
            trust = bundle.origin.clone().map_or(Trusted::System, Trusted::Named);
            // Another authority of the same name as the right one says that the signature is bad. What somebody who
            // knows the issuer has to say is worth more than that the next one does not.
            outcome = match bundle.roots().and_then(judge) {
                Err(next) if next == unknown_issuer() => Err(why.clone()),
                next => next,
            };
        }
        outcome?;
        verify_server_name(&certificate, name)?;
        Ok(trust)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = self.judge(certificate, chain, name, now);
        let trust = judged.as_ref().map_or(Trusted::Nothing, Clone::clone);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((certificate.clone().into_owned(), trust));
        judged.map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// TLS that trusts Mozilla's roots and, where those know no issuer, `bundles`; and who judges there.
///
/// # Errors
/// What rustls says of its own parts.
pub fn connector(bundles: Vec<Bundle>) -> Result<(TlsConnector, Arc<Trust>), rustls::Error> {
    let provider = crypto::provider();
    let mozilla = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let algorithms = provider.signature_verification_algorithms;
    let trust = Arc::new(Trust { mozilla, bundles, algorithms, last: Mutex::default() });
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(trust.clone())
        .with_no_client_auth();
    // Each connection is the only one for half an hour: nothing would ever be resumed.
    config.resumption = rustls::client::Resumption::disabled();
    Ok((TlsConnector::from(Arc::new(config)), trust))
}
