//! AWS STS, as far as its actions have it in common: a form POST to one endpoint, version 2011-06-15, and an answer or
//! an error in XML.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html>

use std::rc::Rc;
use std::time::Duration;

use form_urlencoded::Serializer;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName};
use secrecy::SecretString;

use super::sts_errors::{self, Caller};
use super::sts_reply::Reply;
use crate::error::{Error, Kind, Result};
use crate::flow::{Content, Credentials, Keys, Session};
use crate::http::{Connection, Endpoint, Failure, Http, Response, excerpt};
use crate::world::World;

/// STS answers within a second; a proxy or a throttled link may take some.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The content type of every request.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// What limits a session to less than its role may do:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session>.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// A policy in JSON.
    pub policy: Option<String>,
    /// Managed policies.
    pub policy_arns: Vec<String>,
}

/// What every action asks with.
pub(super) fn form(action: &str, session: &Session, limits: &Limits) -> Serializer<'static, String> {
    let mut form = Serializer::new(String::new());
    form.append_pair("Action", action)
        .append_pair("Version", "2011-06-15")
        .append_pair("RoleArn", &session.role_arn)
        .append_pair("RoleSessionName", &session.role_session_name)
        .append_pair("DurationSeconds", &session.duration.as_secs().to_string());
    if let Some(policy) = &limits.policy {
        form.append_pair("Policy", policy);
    }
    for (number, arn) in (1..).zip(&limits.policy_arns) {
        form.append_pair(&format!("PolicyArns.member.{number}.arn"), arn);
    }
    form
}

/// One STS endpoint.
#[derive(Clone)]
pub struct Sts {
    world: Rc<World>,
    endpoint: Endpoint,
}

impl Sts {
    /// The one at `endpoint`.
    pub fn new(world: Rc<World>, endpoint: Endpoint) -> Self {
        Self { world, endpoint }
    }

    /// The URL that is asked, and signed.
    pub(super) fn url(&self) -> String {
        self.endpoint.url("/")
    }

    pub(super) async fn connect(&self, http: &Http) -> std::result::Result<Connection, Failure> {
        http.within(TIMEOUT, http.connect(&self.endpoint)).await
    }

    /// Posts the form `body`. `secret` is cut out of what the user is shown of the answer.
    #[expect(clippy::too_many_arguments, reason = "two callers, each with all of it at hand")]
    pub(super) async fn post(
        &self,
        http: &Http,
        prepared: std::result::Result<Connection, Failure>,
        headers: &[(HeaderName, &str)],
        body: String,
        session: &Session,
        caller: &Caller<'_>,
        secret: &SecretString,
    ) -> Result<Credentials> {
        let step = format!("assume role {} as {}", session.role_arn, session.role_session_name);
        let failed = |failure: Failure| {
            failure
                .in_step(&step, self.url())
                .advice("check --region or --sts-endpoint, and what stands between: proxy, firewall, certificates")
        };
        let connection = match prepared {
            Ok(connection) if connection.is_open() => connection,
            // It stood too long while the token was on its way.
            Ok(_) => self.connect(http).await.map_err(failed)?,
            Err(failure) => return Err(failed(failure)),
        };
        let headers: Vec<_> = [(CONTENT_TYPE, FORM)].into_iter().chain(headers.iter().cloned()).collect();
        let response = http
            .within(TIMEOUT, connection.send(&self.endpoint, Method::POST, "/", &headers, body))
            .await
            .map_err(failed)?
            .without(secret);
        self.read(&response, &step, session, caller)
    }

    fn read(&self, response: &Response, step: &str, session: &Session, caller: &Caller<'_>) -> Result<Credentials> {
        let address = self.url();
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
                .advice(sts_errors::advice(status, code, &session.role_arn, caller)));
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
            content: Content::Keys(Keys {
                access_key_id: key_id.to_owned(),
                secret_access_key: SecretString::from(secret),
                session_token: SecretString::from(token),
            }),
            expiration: expiration.unwrap_or_else(|| self.world.now() + session.duration),
            role_arn: session.role_arn.clone(),
            role_session_name: session.role_session_name.clone(),
        })
    }
}
