//! AWS → Google: identity, proof and exchanges put together, for whatever token is wanted.

use std::rc::Rc;
use std::time::SystemTime;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::config::to_google::{CLOUD_PLATFORM, ProofChoice, TokenExchange};
use crate::error::{Error, Kind, Result, reasons};
use crate::exchange::google_sts::GoogleSts;
use crate::exchange::sts::caller_identity::{self, CallerIdentity};
use crate::exchange::sts::web_identity_token;
use crate::federation::TokenIssuer;
use crate::federation::aws_signer::AwsSigner;
use crate::format::jwt;
use crate::identity::subject_token;
use crate::model::credentials::{Content, Credentials, Principal};
use crate::model::proof::{Claims, SubjectToken};
use crate::model::request::TokenRequest;
use crate::model::{BoxFuture, provider};
use crate::system::http::Http;
use crate::system::iam_credentials::IamCredentials;
use crate::system::log::Log;
use crate::system::shown;
use crate::system::world::{self, World};
use crate::timing::{retry, schedule};

/// The way to one provider and service account.
pub struct AwsToGoogle {
    world: Rc<World>,
    exchange: TokenExchange,
    signer: AwsSigner,
    sts: GoogleSts,
    account: Option<IamCredentials>,
    /// The federated token, while it need not be a new one.
    federated: Mutex<Option<Federated>>,
}

#[derive(Clone)]
struct Federated {
    token: SecretString,
    issued: SystemTime,
    expiration: SystemTime,
    /// What the proof said of its subject.
    subject: Option<String>,
}

impl AwsToGoogle {
    /// The way that `exchange` describes.
    pub fn new(exchange: TokenExchange, world: Rc<World>, log: Log) -> Self {
        let (endpoint, path) = exchange.sts.clone();
        let (client, user_project) = exchange.client.clone();
        Self {
            signer: AwsSigner::new(exchange.aws.clone(), world.clone(), log),
            sts: GoogleSts { endpoint, path, audience: exchange.audience.clone(), client, user_project },
            account: exchange
                .service_account
                .as_ref()
                .map(|(endpoint, email)| IamCredentials::new(endpoint.clone(), email.clone())),
            exchange,
            world,
            federated: Mutex::default(),
        }
    }

    /// Who this workload is on AWS.
    pub fn signer(&self) -> &AwsSigner {
        &self.signer
    }

    /// The ARN for which the signer's keys stand, as AWS's STS says; `None` where it does not.
    ///
    /// # Errors
    /// Why there are no keys.
    pub async fn caller(&self, http: &Http) -> Result<Option<String>> {
        let (keys, region) = self.signer.keys(http).await?;
        let usual = format!("https://sts.{{region}}.amazonaws.com{}", caller_identity::QUERY);
        let url = match &self.exchange.proof {
            ProofChoice::SignedRequest(url) => url.clone(),
            _ => usual,
        };
        let url = self.signer.named_sts(caller_identity::QUERY).unwrap_or(url);
        Ok(self.caller_identity(&url).arn(http, &keys, &region, self.world.now()).await)
    }

    /// What the proof says, where it is a token that says anything.
    ///
    /// # Errors
    /// Why there is no proof.
    pub async fn claims(&self, http: &Http) -> Result<Option<Claims>> {
        Ok(self.prove(http).await?.claims)
    }

    /// Has Google's STS take the proof; what it gives for it is kept for a service account's tokens. Returns its end.
    ///
    /// # Errors
    /// What came back instead.
    pub async fn federate(&self, http: &Http) -> Result<SystemTime> {
        Ok(self.bearer(http).await?.expiration)
    }

    /// A proof of who this workload is. What needs no identity yet is done meanwhile.
    async fn prove(&self, http: &Http) -> Result<SubjectToken> {
        match &self.exchange.proof {
            ProofChoice::File(file, format, kind) => subject_token::in_file(file, format, kind).await,
            ProofChoice::Url(url, headers, format, kind) => {
                subject_token::from_url(http, url, headers, format, kind).await
            }
            ProofChoice::SignedRequest(url) => {
                let (keys, region) = self.signer.keys(http).await?;
                self.caller_identity(url).prove(&keys, &region, self.world.now())
            }
            ProofChoice::WebIdentityToken(audience) => {
                let (keys, region) = self.signer.keys(http).await?;
                let (sts, now) = (self.signer.sts(&region)?, self.world.now());
                web_identity_token::token(http, &sts, &region, &keys, audience, now).await
            }
        }
    }

    fn caller_identity(&self, verification_url: &str) -> CallerIdentity {
        CallerIdentity { verification_url: verification_url.into(), target: self.exchange.audience.clone() }
    }

    /// A token for Google's STS's own answer: the proof, exchanged. The connection for it is opened meanwhile.
    async fn exchange(&self, http: &Http, scopes: &[String]) -> Result<Federated> {
        let mut first = true;
        loop {
            let connection = async { Ok(self.sts.connect(http).await.ok()) };
            let exchanged = async {
                let (subject, connection) = tokio::try_join!(biased; self.prove(http), connection)?;
                let issued = self.sts.exchange(http, connection, &subject, scopes, || self.world.now()).await?;
                Ok((issued, subject.claims.map(|claims| claims.sub)))
            };
            match exchanged.await.map_err(|error| self.signer.explain(error)) {
                Ok(((token, expiration), subject)) => {
                    return Ok(Federated { token, expiration, issued: self.world.now(), subject });
                }
                // It may have grown old on its way, or the issuer's keys may have just changed.
                Err(error) if error.kind == Kind::RefusedProof && first => first = false,
                Err(error) => return Err(error.into_fatal()),
            }
            self.world.sleep(retry::BOOT.delay(1, self.world.random())).await;
        }
    }

    /// What IAM Credentials is shown: used for as many tokens as come before it is due for a refresh.
    async fn bearer(&self, http: &Http) -> Result<Federated> {
        let mut kept = self.federated.lock().await;
        if let Some(federated) = &*kept
            && self.world.now()
                < world::later(federated.issued, schedule::refresh_after(federated.issued, federated.expiration, 0.0))
            && federated.issued <= self.world.now()
        {
            return Ok(federated.clone());
        }
        let federated = self.exchange(http, &[CLOUD_PLATFORM.into()]).await?;
        *kept = Some(federated.clone());
        Ok(federated)
    }

    /// A token of the service account.
    async fn impersonate(&self, http: &Http, account: &IamCredentials, request: &TokenRequest) -> Result<Credentials> {
        let mut first = true;
        loop {
            let connection = async { Ok(account.connect(http).await.ok()) };
            let (bearer, connection) = tokio::try_join!(biased; self.bearer(http), connection)?;
            let issued = if let TokenRequest::IdToken(audience) = request {
                let token = account.id_token(http, connection, &bearer.token, audience).await;
                token.and_then(|token| self.id_token(&token))
            } else {
                let scopes = self.scopes(request);
                account.access_token(http, connection, &bearer.token, scopes, self.exchange.lifetime).await
            };
            let error = match issued {
                Ok((token, expiration)) => return Ok(self.google(token, expiration)),
                Err(error) => error,
            };
            if error.kind == Kind::RefusedProof && first {
                // It has been revoked, or its issuer's clock is another.
                self.federated.lock().await.take();
                first = false;
                continue;
            }
            let error = self.explain(http, account, error.into_fatal(), bearer.subject.as_deref()).await;
            return Err(self.signer.explain(error));
        }
    }

    fn scopes<'a>(&'a self, request: &'a TokenRequest) -> &'a [String] {
        match request {
            TokenRequest::AccessToken(scopes) => scopes,
            _ => &self.exchange.scopes,
        }
    }

    /// An ID token with its end.
    fn id_token(&self, token: &SecretString) -> Result<(SecretString, SystemTime)> {
        let read = jwt::decode(token.expose_secret());
        let read = read.and_then(|proof| Ok((proof.token, world::time_at(proof.claims.exp).ok_or("never ends")?)));
        read.map_err(|why| {
            let step = format!("mint an ID token of {}", self.exchange.principal());
            Error::new(Kind::Transient, step, "IAM Credentials", format!("answered 200, but the answer {why}"))
        })
    }

    fn google(&self, token: SecretString, expiration: SystemTime) -> Credentials {
        Credentials {
            content: Content::GoogleToken(token),
            expiration,
            principal: Principal::Google(self.exchange.principal()),
            identity: self.signer.identity(),
        }
    }

    /// For whom this workload's keys stand.
    ///
    /// # Errors
    /// Why there are no keys, or that AWS does not say.
    pub async fn caller_arn(&self, http: &Http) -> Result<String> {
        self.signer.keys(http).await.map_err(|error| self.signer.explain(error))?;
        let url = match &self.exchange.proof {
            ProofChoice::SignedRequest(url) => url.clone(),
            _ => format!("https://sts.{{region}}.amazonaws.com{}", caller_identity::QUERY),
        };
        let step = "learn who this is on AWS";
        let none = || Error::new(Kind::Transient, step, shown::url(&url), "did not say for whom the keys stand");
        self.arn(http, &url).await.ok_or_else(none)
    }

    /// For whom this workload's keys stand, as AWS says: where the request would go, else at the STS that was named.
    async fn arn(&self, http: &Http, verification_url: &str) -> Option<String> {
        let (keys, region) = self.signer.keys(http).await.ok()?;
        let urls = [Some(verification_url.to_owned()), self.signer.named_sts(caller_identity::QUERY)];
        for url in urls.iter().flatten() {
            let arn = self.caller_identity(url).arn(http, &keys, &region, self.world.now()).await;
            if arn.is_some() {
                return arn;
            }
        }
        None
    }

    /// Adds to a refusal who must be allowed what, and the command that does so.
    async fn explain(&self, http: &Http, account: &IamCredentials, error: Error, subject: Option<&str>) -> Error {
        if !error.is(&reasons::NOT_IMPERSONATABLE) {
            return error;
        }
        let member = match (subject, &self.exchange.proof) {
            (Some(subject), _) => format!("principal://iam.googleapis.com/{}/subject/{subject}", self.exchange.pool()),
            (None, ProofChoice::SignedRequest(url)) => {
                let arn = self.arn(http, url).await;
                let arn = arn.unwrap_or_else(|| "arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION".into());
                provider::member_of_role(self.exchange.pool(), aws_role(&arn))
            }
            _ => format!("principalSet://iam.googleapis.com/{}/*", self.exchange.pool()),
        };
        error.paste(account.binding("workloadIdentityUser", &format!("\"{member}\"")))
    }
}

/// What the usual attribute mapping makes of an ARN: the role without its session, or whatever else it names.
/// <https://cloud.google.com/iam/docs/workload-identity-federation-with-other-clouds#mappings-and-conditions>
pub fn aws_role(arn: &str) -> &str {
    match arn.split_once(":assumed-role/") {
        Some((account, rest)) => {
            let role = rest.split('/').next().unwrap_or_default();
            let end = account.len().saturating_add(":assumed-role/".len()).saturating_add(role.len());
            arn.get(..end).unwrap_or(arn)
        }
        None => arn,
    }
}

impl TokenIssuer for AwsToGoogle {
    fn mint<'a>(&'a self, http: &'a Http, request: &'a TokenRequest) -> BoxFuture<'a, Result<Credentials>> {
        Box::pin(async move {
            match (request, &self.account) {
                (TokenRequest::SubjectToken, _) => {
                    let subject = self.prove(http).await?;
                    let Some(claims) = subject.claims else {
                        return Err(Error::usage(
                            "a client that exchanges by itself takes a JWT, not a signed AWS request",
                        )
                        .advice("use --proof web-identity-token, with an OIDC provider for AWS's issuer"));
                    };
                    let expiration = world::time_at(claims.exp).unwrap_or_else(|| self.world.now());
                    Ok(self.google(subject.token, expiration))
                }
                (_, Some(account)) => self.impersonate(http, account, request).await,
                (TokenRequest::AccessToken(_), None) => {
                    let Federated { token, expiration, .. } = self.exchange(http, self.scopes(request)).await?;
                    Ok(self.google(token, expiration))
                }
                (TokenRequest::IdToken(_), None) => Err(Error::new(
                    Kind::Fatal,
                    "mint an ID token",
                    "",
                    "only service accounts have ID tokens, and none is impersonated",
                )
                .advice("name one with --impersonate-service-account, or write the file with --service-account")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_as_google_maps_them() {
        for (arn, role) in [
            ("arn:aws:sts::1:assumed-role/r/session", "arn:aws:sts::1:assumed-role/r"),
            ("arn:aws:sts::1:assumed-role/r", "arn:aws:sts::1:assumed-role/r"),
            ("arn:aws:iam::1:user/u", "arn:aws:iam::1:user/u"),
        ] {
            assert_eq!(aws_role(arn), role);
        }
    }
}
