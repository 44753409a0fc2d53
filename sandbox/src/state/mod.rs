//! What the services share: settings, faults, the log, and all that they have issued.

use std::collections::HashMap;
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};
use tempfile::TempDir;

use crate::clock::uuid;
use crate::settings::Settings;
use crate::settings::names::AwsPlace;

use crate::state::access_token::AccessToken;
use crate::state::addresses::Addresses;
use crate::state::faults::Faults;
use crate::state::issued::Issued;
use crate::state::log::Log;
use crate::state::pod::Pod;

pub(crate) mod access_token;
pub(crate) mod addresses;
pub(crate) mod faults;
pub(crate) mod issued;
pub(crate) mod log;
pub(crate) mod pod;

pub(crate) struct State {
    pub addresses: Addresses,
    pub directory: TempDir,
    pub faults: Faults,
    pub log: Log,
    /// Where on AWS the command is, if it is there.
    pub place: Option<AwsPlace>,
    /// The pod that the sandbox is on EKS.
    pub pod: Pod,
    /// The task that it is on ECS; who knows its id gets its keys.
    pub task_id: String,
    settings: RwLock<Settings>,
    pub issued: Mutex<Vec<Issued>>,
    pub access_tokens: Mutex<HashMap<String, AccessToken>>,
    pub imds_tokens: Mutex<HashMap<String, SystemTime>>,
}

impl State {
    pub(crate) fn new(
        settings: Settings,
        place: Option<AwsPlace>,
        addresses: Addresses,
        directory: TempDir,
        log: Log,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            addresses,
            faults: Faults::default(),
            log,
            place,
            pod: Pod::start(directory.path(), &settings)?,
            directory,
            task_id: uuid(),
            settings: RwLock::new(settings),
            issued: Mutex::default(),
            access_tokens: Mutex::default(),
            imds_tokens: Mutex::default(),
        })
    }

    pub(crate) fn settings(&self) -> Settings {
        self.settings.read().clone()
    }

    /// Changes the settings, all of them or, if the change is refused, none.
    pub(crate) fn change(&self, change: impl FnOnce(&Settings) -> anyhow::Result<Settings>) -> anyhow::Result<()> {
        let mut settings = self.settings.write();
        *settings = change(&settings)?;
        Ok(())
    }

    /// The newest credentials that are as wanted, or new ones.
    pub(crate) fn issued_or(&self, wanted: impl Fn(&Issued) -> bool, make: impl FnOnce() -> Issued) -> Issued {
        let mut issued = self.issued.lock();
        if let Some(known) = issued.iter().rev().find(|known| wanted(known)) {
            return known.clone();
        }
        let made = make();
        issued.push(made.clone());
        made
    }

    pub(crate) fn find_issued(&self, access_key_id: &str) -> Option<Issued> {
        self.issued.lock().iter().find(|issued| issued.access_key_id == access_key_id).cloned()
    }

    /// Whether these were given out and have not ended.
    pub(crate) fn is_valid(&self, access_key_id: &str, secret_access_key: &str, session_token: &str) -> bool {
        self.find_issued(access_key_id).is_some_and(|known| {
            known.is_live() && known.secret_access_key == secret_access_key && known.session_token == session_token
        })
    }

    /// Whether IMDS gave this token out and it has not ended.
    pub(crate) fn is_imds_token(&self, token: &str) -> bool {
        self.imds_tokens.lock().get(token).is_some_and(|until| SystemTime::now() < *until)
    }
}
