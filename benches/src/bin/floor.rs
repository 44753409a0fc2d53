//! The floor: one ID token over HTTP, one `AssumeRoleWithWebIdentity` over TLS, and nothing else: no agent, no file, no
//! retry, no proxy, no checks. What fedboot takes above it is the price of all that.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::{env, fs};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn main() -> Result<(), Box<dyn Error>> {
    let metadata = env::var("GCE_METADATA_HOST")?;
    let sts = env::var("AWS_ENDPOINT_URL_STS")?;
    let sts = sts.trim_start_matches("https://").trim_end_matches('/');
    let role = env::var("FEDBOOT_ROLE_ARN")?;

    let token = ask(
        TcpStream::connect(&metadata)?,
        format!(
            "GET /computeMetadata/v1/instance/service-accounts/default/identity?audience=sts.amazonaws.com&format=full \
             HTTP/1.1\r\nHost: {metadata}\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n"
        ),
    )?;

    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in CertificateDer::pem_slice_iter(&fs::read(env::var("AWS_CA_BUNDLE")?)?) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = sts.split(':').next().unwrap_or_default().to_owned();
    let connection = ClientConnection::new(Arc::new(config), host.try_into()?)?;
    let body = format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName=floor&WebIdentityToken={token}",
        role.replace(':', "%3A").replace('/', "%2F")
    );
    let reply = ask(
        StreamOwned::new(connection, TcpStream::connect(sts)?),
        format!(
            "POST / HTTP/1.1\r\nHost: {sts}\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )?;
    if !reply.contains("<SessionToken>") {
        return Err("no credentials".into());
    }
    match env::args_os().nth(1) {
        Some(command) => Err(Command::new(command).args(env::args_os().skip(2)).exec().into()),
        None => Ok(()),
    }
}

fn ask(mut stream: impl Read + Write, request: String) -> Result<String, Box<dyn Error>> {
    stream.write_all(request.as_bytes())?;
    let mut reply = Vec::new();
    let mut buffer = [0; 4096];
    // A server that just closes the connection has said all there is.
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        reply.extend_from_slice(&buffer[..count]);
    }
    let reply = String::from_utf8(reply)?;
    let (head, body) = reply.split_once("\r\n\r\n").ok_or("no answer")?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(head.into());
    }
    Ok(body.into())
}
