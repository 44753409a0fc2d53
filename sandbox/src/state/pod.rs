//! What a cluster gives to a pod: its
//! [projected tokens](https://kubernetes.io/docs/concepts/storage/projected-volumes/#serviceaccounttoken), each for
//! one audience, in files that are replaced as the kubelet does.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::clock::{unix, uuid};
use crate::jwt::issuers::{self, STS_AUDIENCE};
use crate::settings::Settings;

const POD_IDENTITY_AUDIENCE: &str = "pods.eks.amazonaws.com";

/// A pod with its files.
pub(crate) struct Pod {
    directory: PathBuf,
    name: String,
    uid: String,
    identity_token: Mutex<String>,
}

impl Pod {
    /// A pod that has its tokens.
    pub(crate) fn start(directory: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let uid = uuid();
        let pod = Self {
            directory: directory.join("pod"),
            name: format!("{}-{}", settings.kubernetes_service_account, &uid[..8]),
            uid,
            identity_token: Mutex::default(),
        };
        std::fs::create_dir(&pod.directory).with_context(|| pod.directory.display().to_string())?;
        pod.rotate(settings)?;
        Ok(pod)
    }

    /// For IRSA.
    pub(crate) fn sts_token_file(&self) -> PathBuf {
        self.directory.join("token")
    }

    /// For the container credentials of Pod Identity.
    pub(crate) fn identity_token_file(&self) -> PathBuf {
        self.directory.join("eks-pod-identity-token")
    }

    /// For Google's provider of the cluster's tokens.
    pub(crate) fn google_token_file(&self) -> PathBuf {
        self.directory.join("google-token")
    }

    /// The session that Pod Identity gives it.
    pub(crate) fn session_name(&self) -> String {
        format!("eks-demo-{}-{}", self.name, self.uid).chars().take(64).collect()
    }

    /// Writes new tokens. From then on Pod Identity refuses the one before.
    pub(crate) fn rotate(&self, settings: &Settings) -> anyhow::Result<()> {
        let mut current = self.identity_token.lock();
        let token = |audience: &str| issuers::EKS_KEY.sign(&self.claims(settings, audience));
        let google = settings.providers.iter().find(|provider| provider.issuer() == Some(issuers::EKS));
        let identity = token(POD_IDENTITY_AUDIENCE);
        replace(&self.sts_token_file(), &token(STS_AUDIENCE))?;
        replace(&self.identity_token_file(), &identity)?;
        if let Some(provider) = google {
            replace(&self.google_token_file(), &token(&provider.allowed_audiences()[0]))?;
        }
        *current = identity;
        Ok(())
    }

    pub(crate) fn is_identity_token(&self, token: &str) -> bool {
        *self.identity_token.lock() == token
    }

    /// The claims of a projected token.
    pub(crate) fn claims(&self, settings: &Settings, audience: &str) -> Value {
        let now = unix(SystemTime::now());
        let (namespace, account) = (&settings.kubernetes_namespace, &settings.kubernetes_service_account);
        json!({
            "iss": issuers::EKS,
            "sub": settings.pod_subject(),
            "aud": [audience],
            "iat": now,
            "nbf": now,
            "exp": now + settings.pod_token_lifetime.as_secs() as i64,
            "jti": uuid(),
            "kubernetes.io": {
                "namespace": namespace,
                "pod": {"name": self.name, "uid": self.uid},
                "serviceaccount": {"name": account, "uid": uuid()},
            },
        })
    }
}

/// Who reads it sees the old one or the new one.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, file)).with_context(|| file.display().to_string())
}
