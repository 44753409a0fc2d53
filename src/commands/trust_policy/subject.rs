//! Whose token a policy is about: this workload's own, one in a file, or that of a service account which is named.

use std::rc::Rc;

use fedboot_policy::context::{Context, Found};
use fedboot_policy::web_identity;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::commands::trust_policy::asking;
use crate::commands::trust_policy::printed::quoted;
use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::config::to_aws::{self, STS_AUDIENCE, Source};
use crate::error::{Error, Result};
use crate::federation::google_to_aws;
use crate::format::jwt;
use crate::identity::google::metadata::MetadataClient;
use crate::model::{BoxFuture, partition, role};
use crate::system::http::Http;
use crate::system::input::InputValue;
use crate::system::log::timestamp;
use crate::system::shown;
use crate::system::world::World;

/// Whose token it is about.
pub(super) struct Subject {
    /// What the token says.
    pub claims: Value,
    /// Where it was found, as a message begins.
    pub origin: String,
    /// The role that is wanted, where it is named.
    pub role_arn: Option<String>,
    /// A claim that a token has and that is not known.
    unknown: Option<&'static str>,
    /// The session's name, where it is known.
    session: Option<String>,
}

impl Subject {
    /// The one that is meant.
    ///
    /// # Errors
    /// A usage error, or why there is no token.
    pub fn resolve(options: &Options, world: &Rc<World>, settings: &Settings) -> Result<Self> {
        let mut role_arn = options.texts(world, "role-arn")?.first().map(of_role).transpose()?;
        let named = options.free_text(world, "role-session-name")?;
        let session = named.clone().filter(|name| !name.contains('{'));
        let id = options.text(world, "service-account-unique-id")?;
        let (claims, origin, unknown, session) = match (options.value(world, "claims"), id) {
            (Some(_), Some(_)) => {
                return Err(Error::usage("--claims and --service-account-unique-id exclude each other"));
            }
            (Some(given), None) => {
                let (claims, origin) = in_file(&given, world)?;
                (claims, origin, None, session)
            }
            (None, Some(id)) => {
                let audience = options.free_text(world, "audience")?.unwrap_or_else(|| STS_AUDIENCE.into());
                let claims = of_service_account(&id, &audience)?;
                (claims, "the service account".to_owned(), Some("email"), session)
            }
            (None, None) => {
                let (claims, attributes) = at_hand(options, world, settings)?;
                if role_arn.is_none() {
                    let arn = text_in(&attributes, "fedboot-role-arn");
                    role_arn = arn.filter(|arn| role::check_role_arn("", arn).is_ok()).map(str::to_owned);
                }
                let is_hostname = named.as_deref().is_none_or(|name| name == "{hostname}");
                let session = session.or_else(|| is_hostname.then(|| role::clean_session_name(&world.hostname)));
                (claims, "this workload's token".to_owned(), None, session)
            }
        };
        Ok(Self { claims, origin, role_arn, unknown, session })
    }

    /// Whom a policy for it lets in.
    pub fn described(&self) -> String {
        let text = |name: &str| self.claims.get(name).and_then(Value::as_str).map(shown::claim);
        let email = text("email").map(|email| format!("{email}, ")).unwrap_or_default();
        let audience = match web_identity::claim(&self.claims, "oaud") {
            Found::Values(values) => values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", "),
            _ => String::new(),
        };
        format!("{email}subject {}, with tokens for {audience}", text("sub").unwrap_or_default())
    }

    /// What AWS knows of an exchange of this token, as far as that is known here.
    ///
    /// # Errors
    /// A usage error where something is given that is no condition key with a value.
    pub fn context(&self, options: &Options, world: &World) -> Result<Context> {
        let mut context = web_identity::context(&self.claims, &timestamp(world.now()));
        if let Some(name) = self.unknown {
            context.insert(&format!("{}:{name}", web_identity::issuer(&self.claims)), Found::Unknown);
        }
        if let Some(session) = &self.session {
            context.set("sts:RoleSessionName", session.as_str());
        }
        let region = options.free_text(world, "region")?.filter(|region| partition::check_region(region).is_ok());
        let of_role = || self.role_arn.as_deref().map(partition::default_region).map(str::to_owned);
        if let Some(region) = region.map(|name| partition::region_of(&name).0.to_owned()).or_else(of_role) {
            context.set("aws:RequestedRegion", region);
        }
        if let Some(account) = self.role_arn.as_deref().and_then(|arn| arn.split(':').nth(4)) {
            context.set("aws:ResourceAccount", account);
        }
        let mut given = Vec::new();
        for pair in options.texts(world, "context")? {
            let is_key = |key: &str| key.contains(':') && key.bytes().all(|byte| byte.is_ascii_graphic());
            let Some((key, value)) = pair.text()?.split_once('=').filter(|(key, _)| is_key(key)) else {
                return Err(pair.bad("is no condition key with a value").advice("write aws:SourceIp=203.0.113.7"));
            };
            given.push((key.to_owned(), value.to_owned()));
        }
        for (key, _) in &given {
            let of_key = given.iter().filter(|(other, _)| other == key).map(|(_, value)| value.clone());
            context.insert(key, Found::Values(of_key.collect()));
        }
        Ok(context)
    }
}

/// A role's ARN, with the profile before it or without.
fn of_role(given: &InputValue) -> Result<String> {
    let text = given.text()?;
    let arn = text.split_once('=').map_or(text, |(_, arn)| arn);
    // What a placeholder stands for is in the role's name.
    if !arn.contains('{') {
        role::check_role_arn(given.origin(), arn)?;
    }
    Ok(arn.into())
}

/// The claims in a file: those of a JWT, or as JSON.
fn in_file(given: &InputValue, world: &World) -> Result<(Value, String)> {
    let file = standard_input(given).file(world);
    let origin = file.shown();
    let bytes = file.read().map_err(|why| Error::usage(format!("{origin} {why}")))?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_start_matches('\u{feff}').trim();
    let claims: Option<Value> =
        if text.starts_with('{') { serde_json::from_str(text).ok() } else { jwt::claims(text).ok() };
    let Some(Value::Object(mut claims)) = claims else {
        return Err(Error::usage(format!("{origin} holds neither a JWT nor an object of claims"))
            .advice("write what the token says as JSON: {\"iss\": …, \"sub\": …, \"aud\": …}"));
    };
    let is_text = |name: &&str| claims.get(*name).is_none_or(|claim| claim.is_string() || claim.is_null());
    if let Some(name) = ["iss", "sub", "azp"].iter().find(|name| !is_text(name)) {
        return Err(Error::usage(format!("in {origin} the claim \"{name}\" is no text"))
            .advice("write it in quotation marks: a number of so many digits is not kept"));
    }
    claims.entry("iss").or_insert_with(|| "https://accounts.google.com".into());
    Ok((Value::Object(claims), origin))
}

/// `-` is what is piped in.
pub(super) fn standard_input(given: &InputValue) -> InputValue {
    if given.raw() == "-" { InputValue::new(given.origin(), "/dev/stdin") } else { given.clone() }
}

/// What the metadata server says of a service account that is known by its number.
fn of_service_account(id: &InputValue, audience: &str) -> Result<Value> {
    let text = id.text()?;
    if !(10..=32).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(id.bad("is no unique id of a service account").advice(
            "it is a number of 21 digits: gcloud iam service-accounts describe EMAIL --format 'value(uniqueId)'",
        ));
    }
    Ok(json!({"iss": "https://accounts.google.com", "azp": text, "sub": text, "aud": audience}))
}

/// The claims of this workload's token, got as a boot gets it, and the metadata attributes where they decide.
fn at_hand(options: &Options, world: &Rc<World>, settings: &Settings) -> Result<(Value, Value)> {
    let source = Source::resolve(options, world)?;
    let metadata = to_aws::metadata_endpoint(options, world)?;
    let named = options.free_text(world, "audience")?;
    // As for a boot, they count where no role is named.
    let has_attributes = source == Source::Metadata && !to_aws::names_a_role(options, world);
    let http = Http::new(world).with_deadline(Some(world.deadline(settings.timeout)));
    let question = |http| -> BoxFuture<'_, Result<Value>> {
        let (source, metadata, named) = (&source, &metadata, named.as_deref());
        Box::pin(async move {
            let mut attributes = json!({});
            if has_attributes {
                let server = MetadataClient::new(metadata.clone(), String::new());
                let found = google_to_aws::attributes(&server, http).await?;
                attributes = found.into_iter().map(|(name, value)| (name, Value::from(value.trim()))).collect();
            }
            let attribute = text_in(&attributes, "fedboot-audience");
            let audience = named.or(attribute).unwrap_or(STS_AUDIENCE);
            let proof = google_to_aws::identity(source, metadata, audience).prove(http).await?;
            let claims =
                jwt::claims(proof.token.expose_secret()).map_err(|why| Error::usage(format!("the token {why}")))?;
            Ok(json!([claims, attributes]))
        })
    };
    match asking::ask(world, settings, &http, &question) {
        Ok(mut both) => Ok((
            both.get_mut(0).map(Value::take).unwrap_or_default(),
            both.get_mut(1).map(Value::take).unwrap_or_default(),
        )),
        // Nobody answers where the policy is written.
        Err(error) if source == Source::Metadata && error.is_retryable() => Err(error.advice(
            "away from Google Cloud name the account with --service-account-unique-id, or a token with --claims or \
             --google-token-file",
        )),
        Err(error) => Err(error),
    }
}

/// A text in an object, unless it is empty.
fn text_in<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str().filter(|text| !text.is_empty())
}
