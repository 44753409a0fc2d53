//! A client that is simple enough to send what no SDK would.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fedboot_sandbox::Sandbox;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The text of the first XML element of that name.
    pub fn element(&self, name: &str) -> Option<String> {
        element(&self.text(), name)
    }
}

pub fn element(xml: &str, name: &str) -> Option<String> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut found: Option<String> = None;
    loop {
        match reader.read_event().expect("well-formed XML") {
            Event::Start(e) if e.local_name().as_ref() == name => found = Some(String::new()),
            Event::End(e) if e.local_name().as_ref() == name => return found,
            Event::Text(text) => {
                if let Some(found) = &mut found {
                    found.push_str(&text);
                }
            }
            Event::CData(text) => {
                if let Some(found) = &mut found {
                    found.push_str(&text);
                }
            }
            Event::GeneralRef(reference) => {
                if let Some(found) = &mut found {
                    let character = match reference.resolve_char_ref().expect("a character") {
                        Some(character) => character,
                        None => match &*reference {
                            "amp" => '&',
                            "lt" => '<',
                            "gt" => '>',
                            "quot" => '"',
                            "apos" => '\'',
                            other => panic!("&{other};"),
                        },
                    };
                    found.push(character);
                }
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// `http` or `https` URL, method, headers, body; ten seconds at most.
pub fn request(url: &str, method: &str, headers: &[(&str, &str)], body: &str, ca: Option<&Path>) -> io::Result<Answer> {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let path = if path.is_empty() { "/" } else { path };
    let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        text += &format!("host: {host}\r\n");
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    if scheme == "https" {
        exchange(tls(stream, "127.0.0.1", ca.expect("a CA for https"))?, &text)
    } else {
        exchange(stream, &text)
    }
}

pub fn tls(stream: TcpStream, name: &str, ca: &Path) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(ca).expect("a certificate in PEM");
    roots.add(ca).expect("a CA certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_string()).expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, stream))
}

pub fn exchange(mut stream: impl Read + Write, text: &str) -> io::Result<Answer> {
    stream.write_all(text.as_bytes())?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    let end = all.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().unwrap()[9..12].parse().unwrap();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_string()))
        .collect();
    let body = all[end + 4..].to_vec();
    let announced = headers.get("content-length").map(|length| length.parse().unwrap());
    if announced.is_some_and(|length: usize| body.len() < length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Answer { status, headers, body })
}

pub fn get(url: &str) -> Answer {
    request(url, "GET", &[], "", None).unwrap()
}

/// A GET to the metadata server with its header.
pub fn metadata(sandbox: &Sandbox, path: &str) -> Answer {
    let url = format!("http://{}/computeMetadata/v1/{path}", sandbox.metadata_host());
    request(&url, "GET", &[("metadata-flavor", "Google")], "", None).unwrap()
}

pub fn identity(sandbox: &Sandbox, audience: &str) -> String {
    let path = format!("instance/service-accounts/default/identity?audience={audience}&format=full");
    metadata(sandbox, &path).text()
}

pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

/// The parameters of an `AssumeRoleWithWebIdentity` that succeeds.
pub fn parameters(sandbox: &Sandbox) -> BTreeMap<&'static str, String> {
    [
        ("Action", "AssumeRoleWithWebIdentity".to_string()),
        ("Version", "2011-06-15".to_string()),
        ("RoleArn", sandbox.settings().roles[0].arn.clone()),
        ("RoleSessionName", "worker-1".to_string()),
        ("WebIdentityToken", identity(sandbox, "sts.amazonaws.com")),
    ]
    .into()
}

pub fn encoded(parameters: &BTreeMap<&'static str, String>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

pub fn post_form(sandbox: &Sandbox, parameters: &BTreeMap<&'static str, String>) -> Answer {
    request(&sandbox.sts_http_url(), "POST", &[FORM], &encoded(parameters), None).unwrap()
}

/// A whole exchange over TLS.
pub fn assume(sandbox: &Sandbox) -> io::Result<Answer> {
    let body = encoded(&parameters(sandbox));
    request(&sandbox.sts_url(), "POST", &[FORM], &body, Some(&sandbox.ca_file()))
}
