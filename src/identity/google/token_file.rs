//! An ID token that somebody else keeps fresh in a file: a projected Kubernetes service-account token, a CI system's
//! token, or one written by `gcloud auth print-identity-token` for a try.
//!
//! The file is read anew for each exchange. The kubelet replaces its file long before the token expires:
//! <https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#serviceaccount-token-volume-projection>.

use crate::error::{Error, Kind, Result, reasons};
use crate::format::jwt;
use crate::identity::Identity;
use crate::model::BoxFuture;
use crate::model::fact::Fact;
use crate::model::proof::Proof;
use crate::system::http::Http;
use crate::system::input::InputFile;

/// A token file.
pub struct TokenFileIdentity {
    file: InputFile,
}

impl TokenFileIdentity {
    /// The token in `file`.
    pub fn new(file: InputFile) -> Self {
        Self { file }
    }
}

impl Identity for TokenFileIdentity {
    fn prove<'a>(&'a self, _: &'a Http) -> BoxFuture<'a, Result<Proof>> {
        Box::pin(async move {
            let step = "read the Google ID token";
            let failed = |problem: String| {
                Error::new(Kind::Fatal, step, self.file.shown(), problem)
                    .reason(&reasons::GOOGLE_TOKEN_FILE)
                    .advice("--google-token-file must name a file that holds one ID token")
            };
            let bytes = self.file.load().await.map_err(failed)?;
            jwt::decode(&String::from_utf8_lossy(&bytes)).map_err(|why| failed(why.to_owned()))
        })
    }

    fn source(&self) -> &'static str {
        "the token file"
    }

    fn fact<'a>(&'a self, _: &'a Http, _: &'a Fact) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async { Ok(None) })
    }
}
