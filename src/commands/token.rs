//! `fedboot token`: a Google token on standard output.
//!
//! - `access`, `id --audience A`: from the agent that keeps tokens for this process or for the same request, else from a
//!   cache that callers share.
//! - `subject`: the answer of an `executable` source, by which google-auth exchanges a JWT itself. It reads standard output
//!   and standard error as one, so nothing but JSON is printed, for a failure too, and tells the audience by a variable:
//!   <https://google.aip.dev/auth/4117#determining-the-subject-token-in-executable-sourced-credentials>.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use hyper::Method;
use hyper::header::HeaderName;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::agent::{inquiry, status};
use crate::config::options::{Kind as TokenKind, Options};
use crate::config::settings::Settings;
use crate::config::to_google::ToGoogleConfig;
use crate::config::{scopes, values};
use crate::delivery::credential_cache::Cache;
use crate::error::{Error, Kind, Result};
use crate::federation::aws_to_google::AwsToGoogle;
use crate::federation::{TokenIssuer, shared_cache};
use crate::format::jwt;
use crate::model::credentials::{Content, Credentials, Principal};
use crate::model::proof::JWT;
use crate::model::request::{TokenRequest, scopes_in_order};
use crate::system::http::{Http, word_in};
use crate::system::input::{InputFile, InputValue};
use crate::system::log::{Severity, timestamp};
use crate::system::private_file;
use crate::system::world::{self, World};
use crate::timing::retry;

/// An agent that has to make the token first takes a while.
const AGENT_TIMEOUT: Duration = Duration::from_secs(15);
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");

/// What is printed.
///
/// # Errors
/// Why there is no token.
pub fn answer(kind: TokenKind, options: &Options, world: &Rc<World>) -> Result<SecretString> {
    if kind == TokenKind::Subject {
        return Ok(subject(options, world));
    }
    let known = [("token", false), ("json", true)];
    let as_json = values::chosen(options, world, "format", &known)?.unwrap_or(false);
    let request = if kind == TokenKind::Id {
        let audience = options.free_text(world, "audience")?;
        TokenRequest::IdToken(audience.ok_or_else(|| {
            Error::usage("an ID token is for an audience").advice("write fedboot token id --audience AUDIENCE")
        })?)
    } else {
        options.refuse(&|option| option.name == "audience")?;
        let scopes = options.texts(world, "scope")?;
        let scopes = scopes.iter().map(scopes::check).collect::<Result<Vec<_>>>()?;
        TokenRequest::AccessToken(scopes_in_order(scopes))
    };
    let credentials = token(&request, options, world)?;
    let token = credentials.token().map(ExposeSecret::expose_secret).unwrap_or_default();
    if !as_json {
        return Ok(format!("{token}\n").into());
    }
    let left = credentials.expiration.duration_since(world.now()).unwrap_or_default().as_secs();
    let end = timestamp(credentials.expiration);
    let answer = if kind == TokenKind::Id {
        json!({"expires_in": left, "expiration": end, "id_token": token})
    } else {
        json!({"expires_in": left, "expiration": end, "access_token": token, "token_type": "Bearer"})
    };
    Ok(format!("{answer}\n").into())
}

fn token(request: &TokenRequest, options: &Options, world: &Rc<World>) -> Result<Credentials> {
    let settings = Settings::resolve(options, world)?;
    let is_named =
        ["external-account", "workload-identity-provider"].iter().any(|it| options.value(world, it).is_some());
    // The command of an agent lost the file's name; what is asked for by name may be something else.
    if let Some(address) = InputValue::variable(world, "FEDBOOT_METADATA_HOST").filter(|_| !is_named) {
        return shared_cache::run(ask(&address, request, world));
    }
    let config = ToGoogleConfig::resolve(options, world, false)?;
    let name = shared_cache::file_name(&config.exchange.request());
    for agent in inquiry::agents(&status::credentials_file(options, world), world, false).beside {
        let text = |name: &str| agent.state.get(name).and_then(Value::as_str);
        if let (Some(address), true) = (text("metadata"), text("request") == Some(name.as_str()))
            && let Ok(credentials) =
                shared_cache::run(ask(&InputValue::new("what an agent left", address), request, world))
        {
            return Ok(credentials);
        }
    }
    let request = match request {
        TokenRequest::AccessToken(scopes) if scopes.is_empty() => {
            TokenRequest::AccessToken(config.exchange.scopes.clone())
        }
        other => other.clone(),
    };
    from_cache(config, &request, &settings, world).map(|(_, credentials)| credentials)
}

/// A token that processes share; the first one that needs it makes it.
fn from_cache(
    config: ToGoogleConfig,
    request: &TokenRequest,
    settings: &Settings,
    world: &Rc<World>,
) -> Result<(SystemTime, Credentials)> {
    let deadline = world.deadline(settings.timeout);
    let cache_key = format!("{} for {}", request.exactly(), config.exchange.request());
    let mode = config.delivery.mode;
    let issue = |give_up| {
        let mint = AwsToGoogle::new(config.exchange, world.clone(), settings.log);
        let http = Http::new(world).with_deadline(Some(give_up));
        shared_cache::run(retry::until(world, give_up, async || mint.mint(&http, request).await))
    };
    // Where nothing can be kept, each caller exchanges for itself.
    let Ok(directory) = private_file::cache_directory(world) else { return Ok((world.now(), issue(deadline)?)) };
    let cache = Cache::new(directory.join(shared_cache::file_name(&cache_key)), cache_key, mode);
    shared_cache::answer(&cache, world, settings, deadline, issue)
}

/// Asks the metadata server of an agent.
async fn ask(address: &InputValue, request: &TokenRequest, world: &World) -> Result<Credentials> {
    let step = "get a token from fedboot's agent";
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let query = match request {
        TokenRequest::IdToken(audience) => format!("identity?audience={}&format=full", encoded(audience)),
        TokenRequest::AccessToken(scopes) if !scopes.is_empty() => {
            format!("token?scopes={}", encoded(&scopes.join(",")))
        }
        _ => "token".into(),
    };
    let url = InputValue::new(address.origin(), format!("http://{}", address.text()?));
    let endpoint = url.endpoint(false)?.direct();
    let address = endpoint.shown("");
    let path = format!("/computeMetadata/v1/instance/service-accounts/default/{query}");
    let response = Http::new(world)
        .send(&endpoint, AGENT_TIMEOUT, Method::GET, &path, &[(FLAVOR, "Google")], String::new())
        .await
        .map_err(|failure| failure.in_step(step, &address).advice("has the agent ended?"))?;
    let text = String::from_utf8_lossy(&response.body);
    if response.status != 200 {
        // Its own words, unless somebody else has its port by now.
        let own = text.strip_prefix("fedboot: ").map(|own| response.words(own));
        let problem = own.unwrap_or_else(|| response.describe());
        return Err(Error::new(Kind::Fatal, step, address, problem));
    }
    let read = || {
        if matches!(request, TokenRequest::IdToken(_)) {
            let proof = jwt::decode(&text).ok()?;
            return Some((proof.token, world::time_at(proof.claims.exp)?));
        }
        let json: Value = serde_json::from_slice(&response.body).ok()?;
        Some((word_in(&json, "access_token")?, world::time_in(world.now(), json.get("expires_in")?.as_u64()?)?))
    };
    let (token, expiration) =
        read().ok_or_else(|| Error::new(Kind::Fatal, step, address, "answered 200 without a token in it"))?;
    Ok(Credentials {
        content: Content::GoogleToken(token),
        expiration,
        principal: Principal::Google(String::new()),
        identity: String::new(),
    })
}

/// The answer to a client that exchanges by itself; what went wrong is an answer too.
fn subject(options: &Options, world: &Rc<World>) -> SecretString {
    let made = subject_token(options, world);
    let answer = match &made {
        Ok(credentials) => json!({
            "version": 1,
            "success": true,
            "token_type": JWT,
            "id_token": credentials.token().map(ExposeSecret::expose_secret),
            "expiration_time": credentials.expiration.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        }),
        Err(error) => json!({"version": 1, "success": false, "code": "FEDBOOT", "message": error.to_string()}),
    };
    let answer = SecretString::from(format!("{answer}\n"));
    // The client reads its last answer there, and runs nothing while that is good.
    let file = InputFile::of_variable(world, "GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE").map(|file| file.to_write());
    if let (Some(Ok(file)), Ok(_)) = (file, &made) {
        let content = answer.expose_secret().to_owned();
        let _ = private_file::update(&file, 0o600, Duration::from_secs(1), &|_| Ok(content.clone().into()));
    }
    answer
}

fn subject_token(options: &Options, world: &Rc<World>) -> Result<Credentials> {
    let mut settings = Settings::resolve(options, world)?;
    // A line beside the answer would be read as part of it.
    settings.log.least = Severity::Critical;
    let config = ToGoogleConfig::resolve(options, world, true)?;
    from_cache(config, &TokenRequest::SubjectToken, &settings, world).map(|(_, credentials)| credentials)
}
