//! Faults on command: what goes wrong, at which service, how often.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The services whose requests are logged and may be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Google's metadata server.
    Metadata,
    /// Google's published keys.
    Jwks,
    /// Google's IAM Credentials API.
    IamCredentials,
    /// AWS's Security Token Service.
    Sts,
    /// The metadata service of an EC2 instance.
    Imds,
    /// The endpoints that give keys to ECS tasks and to pods.
    Container,
    /// Google's Security Token Service.
    GoogleSts,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Metadata, Self::Jwks, Self::IamCredentials, Self::Sts, Self::Imds, Self::Container, Self::GoogleSts];

    /// The name in JSON and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Jwks => "jwks",
            Self::IamCredentials => "iam_credentials",
            Self::Sts => "sts",
            Self::Imds => "imds",
            Self::Container => "container",
            Self::GoogleSts => "google_sts",
        }
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|service| service.name() == text.replace('-', "_"))
            .ok_or_else(|| format!("no service \"{text}\": {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Nothing but the delay, if there is one. In a queue it lets one request pass.
    Pass,
    /// This status instead of an answer.
    Status {
        /// HTTP status.
        status: u16,
        /// Body, as plain text unless a header says otherwise.
        #[serde(default)]
        body: String,
        /// Additional headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// An error as the service writes it: AWS's XML, Google's JSON, a page.
    Error {
        /// The service's name for it, as in `Throttling`, `PERMISSION_DENIED`, `invalid_grant`.
        code: String,
        /// The message, else the usual one for that code.
        message: Option<String>,
        /// HTTP status, else the usual one for that code.
        status: Option<u16>,
    },
    /// The right answer with its full length announced, of which half arrives.
    CutBody,
    /// The connection ends before any answer.
    Close,
    /// Never an answer; the connection stays open.
    Hang,
    /// 302 to another place.
    Redirect {
        /// The `Location` header.
        location: String,
    },
    /// 200 with bytes that mean nothing, not even UTF-8.
    Garbage,
    /// 200 with the HTML page of a hotel's network, without the service's own headers.
    Captive,
    /// The right answer, one byte at a time.
    Drip {
        /// Milliseconds between two bytes.
        interval_ms: u64,
    },
    /// The clock of the service is wrong. What it says of times is shifted, in tokens and replies (not the real end
    /// of credentials), and so is its idea of whether a signature or a foreign token is of now.
    ClockSkew {
        /// How far it is ahead.
        seconds: i64,
    },
    /// The next TLS connections see a certificate of another authority.
    WrongCertificate,
}

/// An [`Effect`] with its circumstances. Unless told otherwise it happens once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// What happens.
    #[serde(flatten)]
    pub effect: Effect,
    /// Milliseconds before it does.
    #[serde(default)]
    pub delay_ms: u64,
    /// How many requests it hits.
    #[serde(default = "once")]
    pub times: u32,
    /// Hits every request, whatever `times` says.
    #[serde(default)]
    pub always: bool,
    /// Hits each so-many-th of the requests that it could hit, as long as it is there and whatever `times` says: with
    /// 2 the first passes, the second fails. Those that a counted fault hits are counted, too.
    #[serde(default)]
    pub every: Option<NonZeroU32>,
    /// Hits only requests with this action, or with this text in their path.
    #[serde(default)]
    pub on: Option<String>,
}

fn once() -> u32 {
    1
}

impl From<Effect> for Fault {
    fn from(effect: Effect) -> Self {
        Self { effect, delay_ms: 0, times: 1, always: false, every: None, on: None }
    }
}

impl Fault {
    /// Lets a request pass: to say "first well, then badly".
    pub fn pass() -> Self {
        Effect::Pass.into()
    }

    /// The right answer, late.
    pub fn delay(delay: Duration) -> Self {
        Self::pass().after(delay)
    }

    /// A status with a body.
    pub fn status(status: u16, body: impl Into<String>) -> Self {
        Effect::Status { status, body: body.into(), headers: BTreeMap::new() }.into()
    }

    /// An error of the service's with its usual status and message.
    pub fn error(code: impl Into<String>) -> Self {
        Effect::Error { code: code.into(), message: None, status: None }.into()
    }

    /// Half of the right answer.
    pub fn cut_body() -> Self {
        Effect::CutBody.into()
    }

    /// The connection closes without an answer.
    pub fn close() -> Self {
        Effect::Close.into()
    }

    /// Never an answer.
    pub fn hang() -> Self {
        Effect::Hang.into()
    }

    /// 302 to `location`.
    pub fn redirect(location: impl Into<String>) -> Self {
        Effect::Redirect { location: location.into() }.into()
    }

    /// 200 with nonsense.
    pub fn garbage() -> Self {
        Effect::Garbage.into()
    }

    /// 200 with an HTML page.
    pub fn captive() -> Self {
        Effect::Captive.into()
    }

    /// The right answer byte by byte.
    pub fn drip(interval: Duration) -> Self {
        Effect::Drip { interval_ms: interval.as_millis() as u64 }.into()
    }

    /// A clock that is `seconds` ahead.
    pub fn clock_skew(seconds: i64) -> Self {
        Effect::ClockSkew { seconds }.into()
    }

    /// A certificate of another authority on the next connection.
    pub fn wrong_certificate() -> Self {
        Effect::WrongCertificate.into()
    }

    /// Hits the next `times` requests.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Hits every request until it is cleared.
    pub fn always(mut self) -> Self {
        self.always = true;
        self
    }

    /// Hits each `nth` request until it is cleared; with 2 every second one, and the first passes.
    ///
    /// # Panics
    /// With 0: there is no such request.
    pub fn every(mut self, nth: u32) -> Self {
        self.every = Some(NonZeroU32::new(nth).expect("requests are counted from 1"));
        self
    }

    /// Hits only requests with this action, or with this text in their path.
    pub fn on(mut self, action: impl Into<String>) -> Self {
        self.on = Some(action.into());
        self
    }

    /// Waits before it happens.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay_ms = delay.as_millis() as u64;
        self
    }

    /// Reads the form of the command line, `SERVICE:EFFECT[=VALUE][,MORE]…`, for example
    /// `sts:error=Throttling,times=2`, `metadata:delay=50,always,on=identity`, `sts:status=503,every=2`, `sts:hang`.
    pub fn parse(text: &str) -> Result<(Service, Self), String> {
        let wrong = |why: &str| format!("fault \"{text}\": {why}");
        let (service, rest) = text.split_once(':').ok_or_else(|| wrong("SERVICE:EFFECT is wanted"))?;
        let service = service.parse().map_err(|e: String| wrong(&e))?;
        let mut parts = rest.split(',').map(|part| match part.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (part, None),
        });
        let (effect, value) = parts.next().expect("split gives one part at least");
        let text_value = || value.map(str::to_string).ok_or_else(|| wrong("it needs a value"));
        let number = |value: Option<&str>| -> Result<i64, String> {
            value.and_then(|v| v.parse().ok()).ok_or_else(|| wrong("it needs a number"))
        };
        let mut fault = match effect.replace('-', "_").as_str() {
            "pass" => Self::pass(),
            "delay" => Self::delay(Duration::from_millis(number(value)?.unsigned_abs())),
            "status" => {
                let status = u16::try_from(number(value)?)
                    .ok()
                    .filter(|s| (200..600).contains(s))
                    .ok_or_else(|| wrong("no such status"))?;
                Self::status(status, "this fault was asked for\n")
            }
            "error" => Self::error(text_value()?),
            "cut_body" => Self::cut_body(),
            "close" => Self::close(),
            "hang" => Self::hang(),
            "redirect" => Self::redirect(text_value()?),
            "garbage" => Self::garbage(),
            "captive" => Self::captive(),
            "drip" => Self::drip(Duration::from_millis(number(value)?.unsigned_abs())),
            "clock_skew" => Self::clock_skew(number(value)?),
            "wrong_certificate" => Self::wrong_certificate(),
            _ => return Err(wrong("no such effect")),
        };
        for (name, value) in parts {
            match name {
                "always" => fault.always = true,
                "times" => fault.times = u32::try_from(number(value)?).map_err(|_| wrong("times is too large"))?,
                "every" => {
                    let nth = u32::try_from(number(value)?).ok().and_then(NonZeroU32::new);
                    fault.every = Some(nth.ok_or_else(|| wrong("every is 1 or more"))?);
                }
                "delay" => fault.delay_ms = number(value)?.unsigned_abs(),
                "on" => fault.on = value.map(str::to_string),
                _ => {
                    return Err(wrong("after the effect: always, times=N, every=N, delay=MS, on=ACTION"));
                }
            }
        }
        Ok((service, fault))
    }

    fn hits(&self, action: &str, path: &str) -> bool {
        self.on.as_deref().is_none_or(|on| on == action || path.contains(on))
    }

    /// It is there until it is cleared.
    fn stays(&self) -> bool {
        self.always || self.every.is_some()
    }
}

/// A fault at its service, with the number of requests that it could have hit so far.
struct Pending {
    service: Service,
    fault: Fault,
    seen: u32,
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
        self.lock().push(Pending { service, fault, seen: 0 });
    }

    pub(crate) fn clear(&self, service: Option<Service>) {
        self.lock().retain(|pending| service.is_some_and(|s| s != pending.service));
    }

    pub(crate) fn list(&self) -> Vec<(Service, Fault)> {
        self.lock().iter().map(|pending| (pending.service, pending.fault.clone())).collect()
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
        let mut faults = self.lock();
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Pending>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn reads_the_command_line_and_json() {
        let read = |text| Fault::parse(text).unwrap();
        assert_eq!(read("sts:error=Throttling,times=2"), (Service::Sts, Fault::error("Throttling").times(2)));
        assert_eq!(
            read("metadata:delay=50,always,on=identity"),
            (Service::Metadata, Fault::delay(Duration::from_millis(50)).always().on("identity"))
        );
        assert_eq!(read("sts:close,on=A,every=2"), (Service::Sts, Fault::close().on("A").every(2)));
        for wrong in [
            "sts:hang,every=0",
            "sts:hang,every",
            "sts",
            "s3:hang",
            "sts:what",
            "sts:delay",
            "sts:hang,x",
            "sts:status=9",
        ] {
            assert!(Fault::parse(wrong).is_err(), "{wrong}");
        }
        let json = r#"{"effect":"error","code":"AccessDenied","on":"X","always":true}"#;
        let fault: Fault = serde_json::from_str(json).unwrap();
        assert_eq!(fault, Fault::error("AccessDenied").on("X").always());
        let every = |json| serde_json::from_str::<Fault>(json);
        assert_eq!(every(r#"{"effect":"close","every":3}"#).unwrap(), Fault::close().every(3));
        assert!(every(r#"{"effect":"close","every":0}"#).is_err());
    }
}
