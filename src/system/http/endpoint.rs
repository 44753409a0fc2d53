//! Where to connect: a URL that was understood, and how a message shows it.

use std::net::{IpAddr, Ipv6Addr};

use hyper::Uri;

use crate::error::{Error, Kind, Result};
use crate::system::shown;

/// Where to connect, checked by [`Endpoint::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    scheme: Scheme,
    host: String,
    port: u16,
    /// The path that every request's path is appended to, without a slash at its end.
    path: String,
    proxied: bool,
    /// Whether who knows its paths may have what is there.
    confidential: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Endpoint {
    /// Parses a URL. `http:` is for loopback and link-local addresses unless `allow_http`: what fedboot sends and
    /// receives are tokens.
    ///
    /// # Errors
    /// A usage error that says what is wrong with the URL, to follow the name of what said it. What could not be
    /// understood may be a password and is not repeated.
    pub fn parse(url: &str, allow_http: bool) -> Result<Self> {
        let bad = |why: &str| Error::usage(format!("is no endpoint: {why}"));
        if url.contains('@') {
            return Err(bad("an endpoint URL must not hold a user name or password"));
        }
        let uri: Uri = url.parse().map_err(|_| bad("not a URL"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(bad("it must begin with https:// (or http:// on loopback)")),
        };
        let authority = uri.authority().ok_or_else(|| bad("no host"))?;
        if uri.query().is_some() || url.contains('#') {
            return Err(bad("no query or fragment is allowed"));
        }
        let host = authority.host().to_owned();
        if host.is_empty() {
            return Err(bad("no host"));
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str().len() > host.len() => return Err(bad("the port is no number")),
            None if scheme == Scheme::Http => 80,
            None => 443,
        };
        if !shown::is_authority(authority.as_str()) {
            return Err(bad("its host is none"));
        }
        let near = is_near(&host);
        if scheme == Scheme::Http && !near && !allow_http {
            // A word alone may be no host.
            let is_name = host.contains('.') && !shown::is_opaque(&host);
            let what = if is_name { format!("is {}", shown::url(url)) } else { "is no endpoint".into() };
            return Err(Error::usage(format!("{what}: http: would carry a token in the clear"))
                .advice("use https:, or --allow-http if the network is yours"));
        }
        let proxied = !(scheme == Scheme::Http && near);
        let path = uri.path().trim_end_matches('/').into();
        Ok(Self { scheme, host, port, path, proxied, confidential: false })
    }

    /// The endpoint and the path with its query of a whole URL, by the rules of [`Endpoint::parse`].
    ///
    /// # Errors
    /// A usage error that says what is wrong with the URL.
    pub fn with_path(url: &str, allow_http: bool) -> Result<(Self, String)> {
        let after_scheme = url.find("://").map_or(0, |at| at.saturating_add(3));
        let (scheme, rest) = url.split_at_checked(after_scheme).unwrap_or(("", url));
        let (host, path) = rest.find(['/', '?']).and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
        let path = if path.starts_with('?') { format!("/{path}") } else { path.into() };
        // A password with a slash in it would pass for a path.
        let before_query = path.split('?').next().unwrap_or_default();
        if before_query.contains(['@', '#']) {
            return Err(Error::usage("is no endpoint: there is an @ or a # in its path"));
        }
        Ok((Self::parse(&format!("{scheme}{host}"), allow_http)?, path))
    }

    /// The host, with brackets around an address of version 6.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether a proxy may be asked.
    pub(super) fn is_proxied(&self) -> bool {
        self.proxied
    }

    /// Whether requests travel over TLS.
    pub fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        match self.host.trim_matches(['[', ']']).parse() {
            Ok(address) => IpAddr::is_loopback(&address),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// The same endpoint, never asked through a proxy.
    #[must_use]
    pub fn direct(self) -> Self {
        Self { proxied: false, ..self }
    }

    /// The same endpoint, whose paths are shown to nobody: who knows one may have the credentials that are there.
    #[must_use]
    pub fn confidential(self) -> Self {
        Self { confidential: true, ..self }
    }

    pub(super) fn is_confidential(&self) -> bool {
        self.confidential
    }

    /// The URL of `path` under this endpoint, to ask or to sign.
    pub fn url(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin(), self.path)
    }

    /// The same as messages show it.
    pub fn shown(&self, path: &str) -> String {
        if self.confidential {
            return self.origin();
        }
        format!("{}{}", self.origin(), shown::url_path(&format!("{}{path}", self.path)))
    }

    fn origin(&self) -> String {
        let (scheme, default_port) = match self.scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
        };
        let port = if self.port == default_port { String::new() } else { format!(":{}", self.port) };
        format!("{scheme}://{}{port}", self.host)
    }

    pub(super) fn uri(&self, path: &str) -> Result<Uri> {
        let malformed = |_| Error::new(Kind::Fatal, "", "", "not asked: no request can carry this path");
        self.url(path).parse().map_err(malformed)
    }
}

/// Loopback and link-local hosts: what is sent there stays on the machine or comes from its hypervisor.
fn is_near(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => address == Ipv6Addr::LOCALHOST || address.is_unicast_link_local(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// A part of a path as it is meant.
pub fn percent_decoded(path: &str) -> String {
    // Of a path, a plus is a plus.
    let pair = format!("={}", path.replace('+', "%2B"));
    form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
