//! AWS STS: `AssumeRoleWithWebIdentity`.
//!
//! An unsigned form POST to the regional endpoint, version 2011-06-15, with the token in the body, never in the URL
//! (URLs stand in proxies' logs). Reply and errors are XML.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use std::rc::Rc;
use std::time::Duration;

use hyper::Method;
use hyper::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};

use super::{sts_errors, sts_reply::Reply};
use crate::error::{Error, Kind, Result};
use crate::flow::{BoxFuture, Credentials, Exchange, Proof};
use crate::http::{Connection, Endpoint, Failure, Http, Response, excerpt};
use crate::world::World;

/// STS answers within a second; a proxy or a throttled link may take some.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One STS endpoint, and how long its credentials shall live.
pub struct AssumeRoleWithWebIdentity {
    world: Rc<World>,
    endpoint: Endpoint,
    duration: Duration,
}

impl AssumeRoleWithWebIdentity {
    /// Asks `endpoint` for credentials that live for `duration` (whole seconds).
    pub fn new(world: Rc<World>, endpoint: Endpoint, duration: Duration) -> Self {
        Self { world, endpoint, duration }
    }

    async fn connect(&self, http: &Http) -> std::result::Result<Connection, Failure> {
        http.within(TIMEOUT, http.connect(&self.endpoint)).await
    }

    fn read(
        &self,
        response: &Response,
        proof: &Proof,
        step: &str,
        role_arn: &str,
        session: &str,
    ) -> Result<Credentials> {
        let address = self.endpoint.url("/");
        let reply = Reply::parse(&response.body);
        let text = |name| reply.as_ref().and_then(|reply| reply.text(name));
        let request_id = text("RequestId").map(str::to_owned).or_else(|| response.header("x-amzn-requestid"));
        let request_id = request_id.map(|id| excerpt(id.as_bytes()));
        if response.status != 200 {
            let status = response.status.as_u16();
            let code = text("Code").unwrap_or_default();
            let problem = if code.is_empty() {
                response.describe()
            } else {
                let message = excerpt(text("Message").unwrap_or("without a message").as_bytes());
                format!("answered {status} {code}: {message}")
            };
            return Err(Error::new(sts_errors::kind(status, code), step, address, problem)
                .request_id(request_id)
                .advice(sts_errors::advice(status, code, role_arn, &proof.claims)));
        }
        // White space in one would be a line of its own in the credentials file.
        let word = |name| text(name).filter(|text| !text.contains(|c: char| c.is_whitespace() || c.is_control()));
        let (Some(key_id), Some(secret), Some(token)) =
            (word("AccessKeyId"), word("SecretAccessKey"), word("SessionToken"))
        else {
            // Never an excerpt of this body: half of it may be a key.
            let kind = response.header("content-type").unwrap_or_else(|| "no content type".into());
            let problem = format!(
                "answered 200 ({kind}, {} bytes) without credentials in it: cut short, or not AWS STS",
                response.body.len()
            );
            return Err(Error::new(Kind::Transient, step, address, problem)
                .request_id(request_id)
                .advice("check --sts-endpoint and what stands between"));
        };
        // Some compatible stores leave the expiration out; they were asked for this duration.
        let expiration = reply.as_ref().and_then(|reply| reply.time("Expiration"));
        Ok(Credentials {
            access_key_id: key_id.to_owned(),
            secret_access_key: SecretString::from(secret),
            session_token: SecretString::from(token),
            expiration: expiration.unwrap_or_else(|| self.world.now() + self.duration),
            role_arn: role_arn.to_owned(),
            role_session_name: session.to_owned(),
        })
    }
}

impl Exchange for AssumeRoleWithWebIdentity {
    type Prepared = std::result::Result<Connection, Failure>;

    fn prepare<'a>(&'a self, http: &'a Http) -> BoxFuture<'a, Self::Prepared> {
        Box::pin(self.connect(http))
    }

    fn exchange<'a>(
        &'a self,
        http: &'a Http,
        prepared: Self::Prepared,
        proof: &'a Proof,
        role_arn: &'a str,
        role_session_name: &'a str,
    ) -> BoxFuture<'a, Result<Credentials>> {
        Box::pin(async move {
            let step = format!("assume role {role_arn} as {role_session_name}");
            let failed = |failure: Failure| {
                failure
                    .in_step(&step, self.endpoint.url("/"))
                    .advice("check --region or --sts-endpoint, and what stands between: proxy, firewall, certificates")
            };
            let connection = match prepared {
                Ok(connection) if connection.is_open() => connection,
                // It stood too long while the token was on its way.
                Ok(_) => self.connect(http).await.map_err(failed)?,
                Err(failure) => return Err(failed(failure)),
            };
            let body = form_urlencoded::Serializer::new(String::new())
                .append_pair("Action", "AssumeRoleWithWebIdentity")
                .append_pair("Version", "2011-06-15")
                .append_pair("RoleArn", role_arn)
                .append_pair("RoleSessionName", role_session_name)
                .append_pair("DurationSeconds", &self.duration.as_secs().to_string())
                .append_pair("WebIdentityToken", proof.token.expose_secret())
                .finish();
            let headers = [(CONTENT_TYPE, "application/x-www-form-urlencoded")];
            let response = http
                .within(TIMEOUT, connection.send(&self.endpoint, Method::POST, "/", &headers, body))
                .await
                .map_err(failed)?
                .without(&proof.token);
            self.read(&response, proof, &step, role_arn, role_session_name)
        })
    }
}
