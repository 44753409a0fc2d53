//! Everything that reads what somebody else wrote.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::SystemTime;

use fedboot::agent::readiness_message::ReadinessMessage;
use fedboot::config::external_account;
use fedboot::config::options::{self, Invocation, Options};
use fedboot::config::template::{Template, placeholder};
use fedboot::format::ini::{self, Carried, Section};
use fedboot::format::xml::Reply;
use fedboot::model::credentials_json;
use fedboot::system::http::Endpoint;
use fedboot::system::shown;
use serde_json::{Map, Value};

use crate::go_ini;

/// Whether a line that is indented looks like a header: what Go's SDK makes of such files after an edit is not promised.
fn has_indented_header(bytes: &[u8]) -> bool {
    let lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.map(String::from_utf8_lossy).any(|line| line.trim_start().starts_with('[') && !line.starts_with('['))
}

/// An edit keeps every other section as it was, and doing it twice changes nothing more; to botocore, and to Go's SDK
/// where it sees the same sections and no header is indented.
pub fn ini(bytes: &[u8]) {
    const SECTIONS: [&str; 4] = ["default", "fedboot", "profile a", "other"];
    let read = |text: &[u8], section: &str| ini::read(text, &|name| name == section).ok();
    let in_go = go_ini::sections(bytes);
    for name in &SECTIONS[..2] {
        let section = Section {
            name,
            set: vec![("region", "eu-west-1".into()), ("key", "=#;[".into())],
            remove: ini::STATIC_KEYS.to_vec(),
            aside: ini::OTHER_SOURCES,
            keeps_keys: false,
            carried: None,
        };
        put_back(bytes, &section);
        let Ok(edited) = ini::edit(bytes, &section) else { continue };
        let again = ini::edit(&edited, &section).expect("what was edited can be edited");
        assert_eq!(edited, again, "a second edit changes it");
        let values = read(&edited, name).expect("it can be read").expect("the section is there");
        assert_eq!(values.get("region").map(String::as_str), Some("eu-west-1"));
        // What is for all sections is the user's to take away.
        let for_all = ini::for_all(&edited).is_some();
        assert!(for_all || !values.contains_key("role_arn") && !values.contains_key("aws_session_token"));
        for other in SECTIONS.iter().filter(|other| *other != name) {
            assert_eq!(read(&edited, other), read(bytes, other), "[{other}] is another");
        }
        // A file that is well to botocore stays so.
        if ini::malformed(bytes).is_none() {
            assert_eq!(ini::malformed(&edited), None);
        }
        let now_in_go = go_ini::sections(&edited);
        if in_go.names == go_ini::names_to_botocore(bytes) && !has_indented_header(bytes) {
            let own = &now_in_go.values[*name];
            assert_eq!(own.get("region").map(String::as_str), Some("eu-west-1"), "Go's SDK does not find it");
            assert!(!own.contains_key("role_arn") && !own.contains_key("aws_session_token"));
            for (other, values) in in_go.values.iter().filter(|(other, _)| other != name) {
                assert_eq!(now_in_go.values.get(other), Some(values), "[{other}] is another in Go");
            }
        }
    }
}

/// What an edit set aside is there again in the end, and what it put there is gone: nothing of the user's is lost,
/// whatever their own comments look like.
fn put_back(bytes: &[u8], section: &Section<'_>) {
    let Ok(settings) = ini::settings(bytes, &|name| name == "other") else { return };
    let carried = |settings| Some(Carried { from: "other".into(), settings });
    let keys = ["aws_access_key_id", "aws_secret_access_key"].map(|key| (key, "ASIA".into()));
    let more = Section { keeps_keys: true, carried: carried(settings), ..section.clone() };
    let section = Section { set: keys.into(), remove: Vec::new(), ..more.clone() };
    for section in [&more, &section] {
        let Ok(edited) = ini::edit(bytes, section) else { return };
        // The keys that stand there now are no user's.
        let again = Section { keeps_keys: false, ..section.clone() };
        assert_eq!(ini::edit(&edited, &again).expect("again"), edited, "a second edit changes it");
    }
    let edited = ini::edit(bytes, &section).expect("an edit");
    let after = ini::put_back(&edited, &section).expect("it can be read");
    assert!(ini::settings(&after, &|_| true).is_ok(), "what was put back can be read");
    // What an earlier fedboot has set aside comes back too, the last under each name.
    if ini::has_aside(bytes) || !ini::has_aside(&edited) {
        return;
    }
    // An edit that sets nothing makes whole the header and the ends of lines, which stay so.
    let nothing =
        Section { set: Vec::new(), aside: &[], keeps_keys: false, carried: carried(Vec::new()), ..section.clone() };
    assert_eq!(after, ini::edit(bytes, &nothing).expect("an edit"), "what was set aside is back");
}

/// A token's claims.
pub fn jwt(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(why) = fedboot::format::jwt::decode(&text) {
        assert!(why.starts_with("is "), "{why}");
    }
}

/// An answer of STS.
pub fn sts(bytes: &[u8]) {
    if let Some(reply) = Reply::parse(bytes) {
        for name in ["Code", "Message", "AccessKeyId", "SessionToken", "RequestId"] {
            let _ = reply.text(name);
        }
        if let Some(time) = reply.time("Expiration") {
            let _ = fedboot::system::log::timestamp(time);
        }
    }
}

/// The file that gcloud writes. An error quotes nothing of it that could be a secret.
pub fn external_account(bytes: &[u8]) {
    if let Err(error) = external_account::parse(bytes) {
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
}

/// What one agent leaves to the next, and a cache to its readers.
pub fn credentials(bytes: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Map<String, Value>>(bytes) else { return };
    if let Some((issued, credentials)) = credentials_json::decode(&json) {
        let again = credentials_json::encode(issued, &credentials);
        assert!(credentials_json::decode(&again).is_some());
        let _ = fedboot::timing::schedule::refresh_after(issued, credentials.expiration, 0.5);
        let _ = fedboot::timing::schedule::severity(SystemTime::UNIX_EPOCH, issued, credentials.expiration);
    }
}

/// Words of a command line, a line each.
pub fn options(bytes: &[u8]) {
    let words: Vec<OsString> =
        bytes.split(|byte| *byte == b'\n').map(|word| OsString::from_vec(word.to_vec())).collect();
    if let Ok((typed, flags)) = options::split(&words) {
        let _ = options::parse_options(flags, matches!(typed, Invocation::Run(_)), &mut Options::default());
    }
}

/// Role ARNs and session names with placeholders.
pub fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(template) = Template::parse("role-arn", text) {
        let filled = template.expand(placeholder);
        assert_eq!(Template::parse("role-arn", &filled).expect("a template"), template);
    }
}

/// Endpoints.
pub fn url(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for allow_http in [false, true] {
        match Endpoint::with_path(text, allow_http) {
            Ok((endpoint, _)) => {
                let _ = (endpoint.host().len(), endpoint.is_loopback(), endpoint.url("/"));
            }
            Err(error) => assert!(!error.to_string().contains(char::is_control), "{error}"),
        }
    }
}

/// What is shown of other people's words, paths and URLs is one line without a token.
pub fn shown(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let path = Path::new(OsStr::from_bytes(bytes));
    for shown in [shown::path(path), shown::url(&text), shown::one_line(&shown::words(&text), 200)] {
        assert!(!shown.contains(char::is_control), "{shown:?}");
        assert!(!shown.contains("ya29.c.abcdefghijklmnopqrstuvwxyz0123456789"), "{shown:?}");
    }
}

/// The agent's word.
pub fn report(bytes: &[u8]) {
    if ReadinessMessage::decode(bytes).is_some() {
        assert!(ReadinessMessage::is_complete(bytes));
    }
}
