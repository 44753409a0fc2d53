//! AWS STS, as far as its actions have it in common: a form POST to one endpoint, version 2011-06-15, and an answer or
//! an error in XML.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html>

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use form_urlencoded::Serializer;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName};
use secrecy::SecretString;

use crate::error::{Error, Kind, Result, reasons};
use crate::exchange::sts::errors::{self, Caller, Refusal};
use crate::format::xml::Reply;
use crate::model::credentials::{Content, Credentials, Keys, Principal};
use crate::model::request::SessionRequest;
use crate::system::http::{Connection, Endpoint, Failure, Http, Response};
use crate::system::world::{self, World};

/// STS answers within a second; a proxy or a throttled link may take some.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The content type of every request.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// What limits a session to less than its role may do:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session>.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionPolicies {
    /// A policy in JSON.
    pub policy: Option<String>,
    /// Managed policies.
    pub policy_arns: Vec<String>,
}

/// What every action asks with.
pub(super) fn form(action: &str, session: &SessionRequest, limits: &SessionPolicies) -> Serializer<'static, String> {
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

    /// The same as messages show it.
    pub(super) fn shown(&self) -> String {
        self.endpoint.shown("/")
    }

    pub(super) async fn connect(&self, http: &Http) -> std::result::Result<Connection, Failure> {
        http.within(TIMEOUT, http.connect(&self.endpoint)).await
    }

    /// Posts the form `body`, on a connection that was `prepared`. `explain` says why it was refused.
    pub(super) async fn ask(
        &self,
        http: &Http,
        prepared: std::result::Result<Connection, Failure>,
        question: Question<'_>,
    ) -> Result<Answer> {
        let Question { step, headers, body, explain } = question;
        let failed = |failure: Failure| failure.in_step(&step, self.shown());
        let connection = prepared.map_err(failed)?;
        let headers: Vec<_> = [(CONTENT_TYPE, FORM)].into_iter().chain(headers.iter().cloned()).collect();
        let response = http
            .send_on(Some(connection), &self.endpoint, TIMEOUT, Method::POST, "/", &headers, body)
            .await
            .map_err(failed)?;
        let reply = Reply::parse(&response.body);
        let text = |name| reply.as_ref().and_then(|reply| reply.text(name));
        let request_id = text("RequestId").map(str::to_owned).or_else(|| response.header("x-amzn-requestid"));
        let request_id = request_id.filter(|id| is_request_id(id));
        if response.status != 200 {
            let status = response.status.as_u16();
            let code = text("Code").unwrap_or_default();
            let message = response.words(text("Message").unwrap_or("without a message"));
            let problem = if code.is_empty() {
                response.describe()
            } else {
                format!("answered {status} {}: {message}", response.words(code))
            };
            let error = Error::new(errors::kind(status, code), step, self.shown(), problem).request_id(request_id);
            let skew = response.skew(self.world.now()).filter(|skew| skew.is_too_much() && errors::is_of_time(code));
            return Err(match skew {
                Some(skew) => error.because(&reasons::CLOCK, &[("skew", &skew.to_string())]),
                None => explain(error, &Refusal { status, code, message: &message }),
            });
        }
        Ok(Answer { reply, response, request_id, step, address: self.shown() })
    }

    /// Asks for credentials of `session` with the form `body`.
    pub(super) async fn credentials(
        &self,
        http: &Http,
        prepared: std::result::Result<Connection, Failure>,
        signed: (&[(HeaderName, &str)], String),
        session: &SessionRequest,
        caller: &Caller<'_>,
    ) -> Result<Credentials> {
        let step = format!("assume role {} as {}", session.role_arn, session.role_session_name);
        let explain = |error, refusal: &Refusal<'_>| errors::explain(error, refusal, session, caller);
        let (headers, body) = signed;
        let answer = self.ask(http, prepared, Question { step, headers, body, explain: &explain }).await?;
        let [key_id, secret, token] = answer.words(["AccessKeyId", "SecretAccessKey", "SessionToken"])?;
        Ok(Credentials {
            content: Content::Keys(Keys {
                access_key_id: key_id.to_owned(),
                secret_access_key: SecretString::from(secret),
                session_token: SecretString::from(token),
            }),
            // Some compatible stores leave the expiration out; they were asked for this duration.
            expiration: answer.expiration().unwrap_or_else(|| world::later(self.world.now(), session.duration)),
            principal: Principal::Role {
                arn: session.role_arn.clone(),
                session_name: session.role_session_name.clone(),
            },
            identity: String::new(),
        })
    }
}

/// AWS's are hexadecimal with dashes; other services have their own.
fn is_request_id(id: &str) -> bool {
    let is_hexadecimal = id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let is_short = id.len() <= 20 && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (12..=64).contains(&id.len()) && (is_hexadecimal || is_short)
}

/// What is asked of STS, and what to say when it is refused.
pub(super) struct Question<'a> {
    /// A phrase that follows "cannot".
    pub step: String,
    /// Beside the content type.
    pub headers: &'a [(HeaderName, &'a str)],
    /// The form.
    pub body: String,
    /// Adds to an error why STS has refused.
    pub explain: &'a dyn Fn(Error, &Refusal<'_>) -> Error,
}

/// An answer with status 200.
pub(super) struct Answer {
    reply: Option<Reply>,
    response: Response,
    request_id: Option<String>,
    step: String,
    address: String,
}

impl Answer {
    /// The texts of elements that must be there. White space in one would be a line of its own in the credentials file.
    pub(super) fn words<const N: usize>(&self, names: [&str; N]) -> Result<[&str; N]> {
        let mut words = [""; N];
        for (word, name) in words.iter_mut().zip(names) {
            let text = self.reply.as_ref().and_then(|reply| reply.text(name));
            let text = text.filter(|text| !text.contains(|c: char| c.is_whitespace() || c.is_control()));
            *word = text.ok_or_else(|| self.useless())?;
        }
        Ok(words)
    }

    /// When what came expires.
    pub(super) fn expiration(&self) -> Option<SystemTime> {
        self.reply.as_ref().and_then(|reply| reply.time("Expiration"))
    }

    /// Never an excerpt of this body: half of it may be a key.
    fn useless(&self) -> Error {
        let problem = format!(
            "answered 200 ({}, {} bytes) without credentials in it: cut short, or not AWS STS",
            self.response.content_type(),
            self.response.body.len()
        );
        Error::new(Kind::Transient, self.step.clone(), self.address.clone(), problem)
            .request_id(self.request_id.clone())
            .because(&reasons::NOT_STS, &[])
    }
}
