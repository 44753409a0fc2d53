//! What the services share: settings, faults, the log, and all that they have issued.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use serde::Serialize;

use crate::aws::pod::Pod;
use crate::clock::uuid;
use crate::fault::Faults;
use crate::google::tokens::AccessToken;
use crate::log::{Log, as_rfc3339};
use crate::settings::Settings;

/// AWS credentials that were given out, by STS or at a place where programs run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Issued {
    /// `ASIA…`
    pub access_key_id: String,
    /// Secret half.
    pub secret_access_key: String,
    /// Session token.
    pub session_token: String,
    /// The role that was asked for.
    pub role_arn: String,
    /// The session name that was asked for.
    pub session_name: String,
    /// `arn:aws:sts::…:assumed-role/…`
    pub assumed_role_arn: String,
    /// `AROA…:SESSION`
    pub assumed_role_id: String,
    /// The role's account.
    pub account: String,
    /// `sub` of the token; empty after `AssumeRole`.
    pub subject: String,
    /// `aud` of the token; empty after `AssumeRole`.
    pub audience: String,
    /// Access key id of the session that asked for this one with `AssumeRole`: role chaining.
    pub chained_from: Option<String>,
    /// `SourceIdentity`, its own or that of the session before it in the chain.
    pub source_identity: Option<String>,
    /// `Tags`, with the transitive ones of the session before it.
    pub session_tags: BTreeMap<String, String>,
    /// Those of the tags that the next session in a chain inherits.
    pub transitive_tag_keys: Vec<String>,
    /// `DurationSeconds`, 3600 if there was none.
    pub duration_seconds: u64,
    /// `Policy`, the session policy.
    pub session_policy: Option<String>,
    /// `PolicyArns`.
    pub policy_arns: Vec<String>,
    /// When.
    #[serde(serialize_with = "as_rfc3339")]
    pub issued_at: SystemTime,
    /// From when on they are refused.
    #[serde(serialize_with = "as_rfc3339")]
    pub expires_at: SystemTime,
}

impl Issued {
    /// Still accepted now.
    pub fn is_live(&self) -> bool {
        SystemTime::now() < self.expires_at
    }
}

pub(crate) struct State {
    pub faults: Faults,
    pub log: Log,
    /// The pod that the sandbox is on EKS.
    pub pod: Pod,
    /// The task that it is on ECS; who knows its id gets its keys.
    pub task_id: String,
    settings: RwLock<Settings>,
    issued: Mutex<Vec<Issued>>,
    access_tokens: Mutex<HashMap<String, AccessToken>>,
    imds_tokens: Mutex<HashMap<String, SystemTime>>,
}

impl State {
    pub(crate) fn new(settings: Settings, log: Log, pod: Pod) -> Self {
        Self {
            faults: Faults::default(),
            log,
            pod,
            task_id: uuid(),
            settings: RwLock::new(settings),
            issued: Mutex::default(),
            access_tokens: Mutex::default(),
            imds_tokens: Mutex::default(),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the settings, all of them or, if the change is refused, none.
    pub(crate) fn change(&self, change: impl FnOnce(&Settings) -> Result<Settings, String>) -> Result<(), String> {
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        *settings = change(&settings)?;
        Ok(())
    }

    pub(crate) fn issue(&self, credentials: Issued) {
        self.vault().push(credentials);
    }

    /// The newest credentials that are as wanted, or new ones.
    pub(crate) fn issued_or(&self, wanted: impl Fn(&Issued) -> bool, make: impl FnOnce() -> Issued) -> Issued {
        let mut vault = self.vault();
        if let Some(known) = vault.iter().rev().find(|known| wanted(known)) {
            return known.clone();
        }
        let made = make();
        vault.push(made.clone());
        made
    }

    pub(crate) fn issued(&self) -> Vec<Issued> {
        self.vault().clone()
    }

    pub(crate) fn find_issued(&self, access_key_id: &str) -> Option<Issued> {
        let of = |c: &&Issued| c.access_key_id == access_key_id;
        self.vault().iter().find(of).cloned()
    }

    pub(crate) fn remember_token(&self, token: String, meaning: AccessToken) {
        self.tokens().insert(token, meaning);
    }

    pub(crate) fn find_token(&self, token: &str) -> Option<AccessToken> {
        self.tokens().get(token).cloned()
    }

    pub(crate) fn remember_imds_token(&self, token: String, until: SystemTime) {
        self.imds_tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(token, until);
    }

    /// Whether IMDS gave this token out and it has not ended.
    pub(crate) fn is_imds_token(&self, token: &str) -> bool {
        let tokens = self.imds_tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(token).is_some_and(|until| SystemTime::now() < *until)
    }

    fn vault(&self) -> MutexGuard<'_, Vec<Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<String, AccessToken>> {
        self.access_tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
