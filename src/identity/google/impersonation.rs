//! Another service account's ID token, minted by [`IamCredentials`] for the default service account.
//!
//! It needs `roles/iam.serviceAccountOpenIdTokenCreator` or `…TokenCreator` on that account:
//! <https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateIdToken>.

use secrecy::ExposeSecret;

use crate::error::{Error, Kind, Result, reasons};
use crate::format::jwt;
use crate::identity::Identity;
use crate::identity::google::metadata::MetadataClient;
use crate::model::BoxFuture;
use crate::model::fact::Fact;
use crate::model::proof::Proof;
use crate::system::http::Http;
use crate::system::iam_credentials::IamCredentials;
use crate::system::shown;

/// IAM Credentials, called with the metadata server's access token.
pub struct Impersonation {
    metadata: MetadataClient,
    account: IamCredentials,
    audience: String,
}

impl Impersonation {
    /// Tokens of `account` for `audience`.
    pub fn new(metadata: MetadataClient, account: IamCredentials, audience: String) -> Self {
        Self { metadata, account, audience }
    }

    /// Adds to a missing permission who must be given it.
    async fn explain(&self, http: &Http, error: Error) -> Error {
        // Another access token would be the same one.
        let error = error.into_fatal();
        if !error.is(&reasons::NOT_IMPERSONATABLE) {
            return error;
        }
        let email = self.account.email();
        let own = self.metadata.fact(http, &Fact::ServiceAccountEmail).await.ok().flatten();
        let own = own.filter(|own| shown::is_email(own)).unwrap_or_else(|| "DEFAULT_ACCOUNT".into());
        let binding = self.account.binding("serviceAccountTokenCreator", &format!("serviceAccount:{own}"));
        error.because(&reasons::MAY_NOT_IMPERSONATE, &[("email", email)]).paste(binding)
    }
}

impl Identity for Impersonation {
    fn prove<'a>(&'a self, http: &'a Http) -> BoxFuture<'a, Result<Proof>> {
        Box::pin(async move {
            let email = self.account.email();
            let access_token = self.metadata.access_token(http).await?;
            let token = match self.account.id_token(http, None, &access_token, &self.audience).await {
                Ok(token) => token,
                Err(error) => return Err(self.explain(http, error).await),
            };
            jwt::decode(token.expose_secret()).map_err(|why| {
                Error::new(
                    Kind::Transient,
                    format!("mint an ID token of {email}"),
                    "IAM Credentials",
                    format!("answered 200, but the answer {why}"),
                )
            })
        })
    }

    fn source(&self) -> &'static str {
        "impersonation"
    }

    fn fact<'a>(&'a self, http: &'a Http, fact: &'a Fact) -> BoxFuture<'a, Result<Option<String>>> {
        match fact {
            Fact::ServiceAccount | Fact::ServiceAccountEmail => {
                let email = self.account.email().to_owned();
                Box::pin(async { Ok(Some(email)) })
            }
            other => self.metadata.fact(http, other),
        }
    }
}
