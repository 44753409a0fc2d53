//! The faults that are still to come.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::settings::fault::{Effect, Fault};
use crate::settings::names::Service;

/// A fault at its service, with the number of requests that it could have hit so far.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub service: Service,
    #[serde(flatten)]
    pub fault: Fault,
    #[serde(skip)]
    pub seen: u32,
}

impl Pending {
    /// Whether it is the turn of the request that was counted last.
    fn due(&self) -> bool {
        self.fault.every.is_none_or(|nth| self.seen % nth == 0)
    }
}

/// The faults that are still to come. Counted ones go first, in order; then the newest that stays and whose turn it is.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<Pending>>);

impl Faults {
    pub(crate) fn add(&self, service: Service, fault: Fault) {
        self.0.lock().push(Pending { service, fault, seen: 0 });
    }

    pub(crate) fn clear(&self, service: Option<Service>) {
        self.0.lock().retain(|pending| service.is_some_and(|s| s != pending.service));
    }

    pub(crate) fn list(&self) -> Vec<Pending> {
        self.0.lock().clone()
    }

    /// The fault for a request, used up by it.
    pub(crate) fn take(&self, service: Service, action: &str, path: &str) -> Option<Fault> {
        self.take_if(service, |fault| fault.effect != Effect::WrongCertificate && fault.hits(action, path))
    }

    /// Whether the next TLS connection gets the wrong certificate.
    pub(crate) fn take_wrong_certificate(&self, service: Service) -> bool {
        self.take_if(service, |fault| fault.effect == Effect::WrongCertificate).is_some()
    }

    fn take_if(&self, service: Service, hit: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut faults = self.0.lock();
        let hits = |pending: &Pending| pending.service == service && hit(&pending.fault);
        for pending in faults.iter_mut().filter(|pending| hits(pending)) {
            pending.seen = pending.seen.wrapping_add(1);
        }
        let counted = |pending: &Pending| !pending.fault.stays() && pending.fault.times > 0 && hits(pending);
        if let Some(at) = faults.iter().position(counted) {
            let fault = faults[at].fault.clone();
            faults[at].fault.times -= 1;
            if faults[at].fault.times == 0 {
                faults.remove(at);
            }
            return Some(fault);
        }
        let stays = |pending: &&Pending| pending.fault.stays() && pending.due() && hits(pending);
        faults.iter().rev().find(stays).map(|pending| pending.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn counted_faults_come_first_and_end() {
        let faults = Faults::default();
        faults.add(Service::Sts, Fault::status(503, "").always());
        faults.add(Service::Sts, Fault::error("Throttling").times(2));
        faults.add(Service::Sts, Fault::hang().on("GetCallerIdentity"));
        let next = |action: &str| faults.take(Service::Sts, action, "/").unwrap().effect;
        assert_eq!(next("GetCallerIdentity"), Fault::error("Throttling").effect);
        assert_eq!(next("Other"), Fault::error("Throttling").effect);
        assert_eq!(next("Other"), Fault::status(503, "").effect);
        assert_eq!(next("GetCallerIdentity"), Effect::Hang);
        assert_eq!(next("GetCallerIdentity"), Fault::status(503, "").effect);
        assert_eq!(faults.take(Service::Metadata, "identity", "/"), None);
        faults.clear(None);
        assert_eq!(faults.take(Service::Sts, "Other", "/"), None);
    }

    #[test]
    fn every_second_request_of_an_action_fails() {
        let faults = Faults::default();
        faults.add(Service::Sts, Fault::status(503, "").on("AssumeRole").every(2));
        let fails = |action: &str| faults.take(Service::Sts, action, "/").is_some();
        let assume = |count| (0..count).map(|_| fails("AssumeRole")).collect::<Vec<_>>();
        assert_eq!(assume(4), [false, true, false, true]);
        assert!((0..4).all(|_| !fails("AssumeRoleWithWebIdentity")), "neither hit nor counted");
        // One that is used up takes its turn; one that stays has the others' turns.
        faults.add(Service::Sts, Fault::hang());
        faults.add(Service::Sts, Fault::delay(Duration::from_millis(1)).always());
        let next = || faults.take(Service::Sts, "AssumeRole", "/").unwrap().effect;
        assert_eq!(next(), Effect::Hang);
        assert_eq!(next(), Effect::Pass);
        faults.add(Service::Sts, Fault::close().every(3));
        assert_eq!([next(), next(), next()], [Effect::Pass, Effect::Pass, Effect::Close]);
    }

    #[test]
    fn a_certificate_fault_waits_for_a_connection() {
        let faults = Faults::default();
        faults.add(Service::Sts, Fault::wrong_certificate());
        assert_eq!(faults.take(Service::Sts, "Any", "/"), None);
        assert!(faults.take_wrong_certificate(Service::Sts));
        assert!(!faults.take_wrong_certificate(Service::Sts));
    }
}
