//! What the last connection went through, step by step and with its times: for `fedboot doctor`, who tells of it.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use webpki::EndEntityCert;

use crate::system::shown;

/// See the module. What is not there was not come to, or was not needed.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The proxy that was asked.
    pub proxy: Option<String>,
    /// How long the look-up of the name took, and how many addresses came of it.
    pub looked_up: Option<(Duration, usize)>,
    /// How long the address took that let it connect.
    pub connected: Option<(Duration, SocketAddr)>,
    /// How long the TLS handshake took.
    pub secured: Option<Duration>,
    /// The certificate that the server has shown, trusted or not.
    pub certificate: Option<Certificate>,
}

/// Whose certificate a server has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Who has issued it, as it says.
    pub issuer: Option<String>,
    /// By what it was trusted.
    pub trust: Trusted,
}

/// By what a certificate is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// It is not.
    Nothing,
    /// Mozilla's roots, which are those of the world.
    Mozilla,
    /// A bundle that somebody has named: by what, and its path.
    Named(String),
    /// The system's own store alone.
    System,
}

/// The attributes by which an authority is known: its common name, its organisation.
/// <https://www.rfc-editor.org/rfc/rfc5280#appendix-A.1>
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANISATION: &[u8] = &[0x55, 0x04, 0x0a];

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// Who has issued a certificate, as a message may show it.
pub fn issuer(certificate: &CertificateDer<'_>) -> Option<String> {
    // What rustls takes for a certificate is one for webpki, which alone hands the name out.
    ParsedCertificate::try_from(certificate).ok()?;
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    let name = |which: &[u8]| attribute(parsed.issuer(), which);
    let said = match (name(COMMON_NAME), name(ORGANISATION)) {
        (Some(common), Some(organisation)) if common != organisation => format!("{common}, {organisation}"),
        (one, other) => one.or(other)?,
    };
    Some(shown::one_line(&shown::words(&said), 100))
}

/// The text of an attribute in a name: a sequence of sets of pairs.
fn attribute(name: &[u8], wanted: &[u8]) -> Option<String> {
    let mut sets = name;
    while let Some((_, mut pairs, rest)) = element(sets) {
        sets = rest;
        while let Some((SEQUENCE, pair, next)) = element(pairs) {
            pairs = next;
            let Some((OBJECT_IDENTIFIER, kind, text)) = element(pair) else { continue };
            if kind == wanted {
                let (_, text, _) = element(text)?;
                return Some(String::from_utf8_lossy(text).into_owned());
            }
        }
    }
    None
}

/// The first element of some DER: its tag and content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = der else { return None };
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 3))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        // C=US, O=Amazon, CN=Amazon RSA
        let name = b"\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02US\
                     \x31\x0f\x30\x0d\x06\x03\x55\x04\x0a\x13\x06Amazon\
                     \x31\x13\x30\x11\x06\x03\x55\x04\x03\x0c\x0aAmazon RSA";
        assert_eq!(attribute(name, COMMON_NAME).as_deref(), Some("Amazon RSA"));
        assert_eq!(attribute(name, ORGANISATION).as_deref(), Some("Amazon"));
        for cut in 0..name.len() {
            let _ = attribute(&name[..cut], COMMON_NAME);
        }
        assert_eq!(attribute(b"\x31\x83\xff\xff\xff", COMMON_NAME), None);
    }
}
