//! On the way to a server.

use crate::error::reason::{Reason, reasons};

reasons! {
    NAME_UNKNOWN "FB501": "", "see whether that name is right and whether this machine has a DNS server that answers \
         (/etc/resolv.conf)",
        "The name could not be looked up: a mistyped endpoint or region, no DNS server, or a network without one.",
        "https://man7.org/linux/man-pages/man5/resolv.conf.5.html";
    UNREACHABLE "FB502": "", "see whether this network lets out connections to that address and port: firewall, security group, \
         NAT or VPC endpoint, proxy (HTTPS_PROXY)",
        "The address refuses or cannot be reached. Workers without public addresses reach Google's services, but not AWS, without \
         a NAT.",
        "https://cloud.google.com/dataflow/docs/guides/routes-firewall";
    NO_ANSWER "FB503": "", "see what stands between (firewall, NAT, security group, proxy), or raise --timeout if the network is slow",
        "The connection, or the answer on it, did not come in time.",
        "https://cloud.google.com/dataflow/docs/guides/routes-firewall";
    PROXY "FB504": "", "check HTTPS_PROXY, and NO_PROXY for what needs none",
        "The proxy that a variable names refuses, cannot be reached or wants other credentials.",
        "https://docs.aws.amazon.com/cli/v1/userguide/cli-configure-proxy.html";
    CERTIFICATE "FB505": "", "if a proxy or firewall inspects TLS here, name its authority's file in AWS_CA_BUNDLE or SSL_CERT_FILE",
        "The server's certificate is of an authority that is neither a public one, nor in the system's store, nor in a named file; \
         or it is for another name, or not valid now by this machine's clock.",
        "https://docs.aws.amazon.com/sdkref/latest/guide/feature-gen-config.html";
    CA_FILE "FB506": "", "mend the file, or take the variable away",
        "A file that AWS_CA_BUNDLE or SSL_CERT_FILE names holds no certificates in PEM.",
        "https://docs.aws.amazon.com/sdkref/latest/guide/feature-gen-config.html";
    NO_HTTP "FB507": "", "see what listens there, and what stands between",
        "Something answered that is not HTTP, or broke off.",
        "https://www.rfc-editor.org/rfc/rfc9112";
    CERTIFICATE_TIME "FB508": "", "set this machine's clock right, if it is not; else the server's certificate has ended",
        "A certificate counts from one time to another, by this machine's clock.",
        "https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5";
}
