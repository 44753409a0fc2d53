//! What has a name in JSON and on the command line: the services, their ports, and the places on AWS.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::de::IntoDeserializer;
use serde::de::value::Error;
use serde::{Deserialize, Serialize};

/// The services whose requests are logged and may be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Google's metadata server.
    Metadata,
    /// Google's published keys.
    Jwks,
    /// Google's IAM Credentials API.
    IamCredentials,
    /// AWS's Security Token Service.
    Sts,
    /// The metadata service of an EC2 instance.
    Imds,
    /// The endpoints that give keys to ECS tasks and to pods.
    Container,
    /// Google's Security Token Service.
    GoogleSts,
}

impl Service {
    /// The service whose ports it is reached on.
    pub(crate) fn on_port(self) -> Self {
        if self == Self::Jwks { Self::IamCredentials } else { self }
    }
}

/// The sandbox's ports, for [`crate::Builder::port`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Port {
    /// Metadata server.
    Metadata,
    /// JWKS and IAM Credentials over HTTP.
    Google,
    /// JWKS and IAM Credentials over HTTPS.
    GoogleTls,
    /// STS over HTTP.
    Sts,
    /// STS over HTTPS.
    StsTls,
    /// Google STS over HTTP.
    GoogleSts,
    /// Google STS over HTTPS.
    GoogleStsTls,
    /// The metadata service of an EC2 instance.
    Imds,
    /// The endpoints for ECS tasks and pods.
    Container,
    /// Control API.
    Control,
}

impl Port {
    /// The ports of the services with these; JWKS shares those of IAM Credentials.
    pub(crate) const OF_SERVICES: [(Self, Service); 9] = [
        (Self::Metadata, Service::Metadata),
        (Self::Google, Service::IamCredentials),
        (Self::GoogleTls, Service::IamCredentials),
        (Self::Sts, Service::Sts),
        (Self::StsTls, Service::Sts),
        (Self::GoogleSts, Service::GoogleSts),
        (Self::GoogleStsTls, Service::GoogleSts),
        (Self::Imds, Service::Imds),
        (Self::Container, Service::Container),
    ];

    pub(crate) fn tls(self) -> bool {
        matches!(self, Self::GoogleTls | Self::StsTls | Self::GoogleStsTls)
    }
}

/// A place where a program finds AWS credentials, in the order in which the SDKs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AwsPlace {
    /// Keys in the environment.
    Environment,
    /// Keys in a profile of the shared files.
    Profile,
    /// A pod with IAM roles for service accounts: a token file that STS takes.
    WebIdentity,
    /// A task on ECS or Fargate.
    Ecs,
    /// A pod with EKS Pod Identity.
    PodIdentity,
    /// An EC2 instance with a role.
    Imds,
}

impl AwsPlace {
    /// The port of its credentials with the address that it has on AWS.
    pub(crate) fn real_address(self) -> Option<(Port, SocketAddr)> {
        match self {
            Self::Environment | Self::Profile | Self::WebIdentity => None,
            Self::Ecs => Some((Port::Container, ([169, 254, 170, 2], 80).into())),
            Self::PodIdentity => Some((Port::Container, ([169, 254, 170, 23], 80).into())),
            Self::Imds => Some((Port::Imds, ([169, 254, 169, 254], 80).into())),
        }
    }
}

impl fmt::Display for AwsPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        f.write_str(&name.as_str().unwrap_or_default().replace('_', "-"))
    }
}

macro_rules! read_by_name {
    ($($type:ty)+) => {$(
        impl FromStr for $type {
            type Err = Error;

            /// By its name, in which `-` and `_` are the same.
            fn from_str(text: &str) -> Result<Self, Error> {
                Self::deserialize(text.replace('-', "_").into_deserializer())
            }
        }
    )+};
}

read_by_name!(Service Port AwsPlace);
