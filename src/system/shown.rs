//! What came from outside, as an error or a log shows it: only once it was recognised as what it should be.
//!
//! A variable that should hold a path may hold the file's content instead, a URL a password, an answer a token. Whoever
//! writes an error has only these functions to put such a thing into words: what they do not recognise they describe.

use std::path::Path;

/// What stands in place of what is not shown.
pub use crate::error::message::CUT;
use crate::error::message::shortened;

/// Longer than any path that a person would name.
const LONGEST_PATH: usize = 512;
/// Longer than any one name in it.
const LONGEST_NAME: usize = 128;
/// Fewer letters and digits than these make a name, not a key.
const SHORTEST_KEY: usize = 20;

/// A path, as a message shows it: where it reads like one and is there, or is absolute (or begins with `~/`, `./`,
/// `../`). Anything else may be a file's content, or some other secret, and is described.
pub fn path(path: &Path) -> String {
    match path.to_str() {
        _ if is_path(path) => one_line(&path.to_string_lossy(), usize::MAX),
        Some(text) => format!("{}, not like a path", value(text)),
        None => format!("a value of {} bytes that are not text", path.as_os_str().len()),
    }
}

/// Whether a message may show this path.
pub fn is_path(path: &Path) -> bool {
    path.to_str().is_some_and(|text| reads_like_a_path(text) || (is_there(path) && !is_one_key(text)))
}

/// What something is like that was not recognised, without any part of it.
pub fn value(text: &str) -> String {
    let characters = text.chars().count();
    let kind = match text.trim_start() {
        text if text.starts_with(['{', '[']) => "begins like JSON",
        text if text.starts_with("-----BEGIN") => "begins like a key or a certificate",
        text if text.starts_with("eyJ") => "begins like a token",
        text if text.contains("://") => return format!("a value of {characters} characters with a URL in it"),
        text if text.trim_end().contains('\n') => {
            return format!("a value of {characters} characters in several lines");
        }
        _ => return format!("a value of {characters} characters"),
    };
    format!("a value of {characters} characters that {kind}")
}

fn is_there(path: &Path) -> bool {
    let is_name = |name: &str| {
        let is_odd = |c: char| c.is_control() || ":?#\"{}<>|".contains(c);
        name.len() <= LONGEST_NAME && !name.contains(is_odd) && !is_made_by_dice(name)
    };
    let is_in_directory = || path.parent().is_some_and(|parent| parent != "" && parent.is_dir());
    // The empty path and one of a megabyte are not asked for.
    path.as_os_str().len() <= LONGEST_PATH
        && path.to_str().is_some_and(|text| text.split('/').all(is_name))
        && (path.symlink_metadata().is_ok() || (path.is_relative() && is_in_directory()))
}

fn reads_like_a_path(text: &str) -> bool {
    let is_explicit = ["/", "~/", "./", "../"].iter().any(|start| text.starts_with(start)) && !text.starts_with("//");
    is_explicit && text.len() <= LONGEST_PATH && !is_one_key(text) && text.split('/').all(is_name)
}

/// A key in base64 may hold slashes; a path has names with more than letters and digits in it.
pub fn is_one_key(text: &str) -> bool {
    has_token(text) || (!text.contains(['.', '-', '_']) && is_opaque(text))
}

/// Names that fedboot gives its own files have a random part.
fn is_made_by_dice(name: &str) -> bool {
    let is_own = [".fedboot-", "..fedboot-", "cache-"].iter().any(|start| name.starts_with(start));
    is_opaque(name) && !is_own
}

fn is_name(name: &str) -> bool {
    let is_ordinary = |c: char| c.is_alphanumeric() || "-_.+=,@%~".contains(c);
    name.len() <= LONGEST_NAME && name.chars().all(is_ordinary) && !is_made_by_dice(name)
}

/// A URL without user, query and fragment; described where it is none.
pub fn url(text: &str) -> String {
    clean_url(text).unwrap_or_else(|| value(text))
}

fn clean_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme =
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    // What stands before an @ is a password, wherever it is.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    // A token that was pasted before or behind the colon.
    if !is_scheme || !is_authority(authority) || has_token(scheme) || has_token(authority) {
        return None;
    }
    let path = path.map(|path| url_path(&format!("/{path}"))).unwrap_or_default();
    Some(format!("{scheme}://{authority}{path}"))
}

/// The path of a URL without what looks like a key, and without query and fragment.
pub fn url_path(path: &str) -> String {
    let is_plain = |name: &str| {
        // `ADDRESS:verb`, as Google has it.
        let address = name.split(':').next().unwrap_or_default();
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~:@%+=$,*!".contains(&byte))
            && !is_opaque(name)
            && (!name.contains('@') || is_email(address))
    };
    let names = path.split(['?', '#']).next().unwrap_or_default().split('/');
    names.map(|name| if is_plain(name) { name } else { CUT }).collect::<Vec<_>>().join("/")
}

/// A host, perhaps with a port.
pub fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, "0"),
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    // <https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4>
    let is_label = |label: &str| label.len() <= 63 && label.bytes().all(is_letter);
    let is_name = || (1..=253).contains(&host.len()) && host.split('.').all(is_label);
    let is_token = BEGINNINGS.iter().any(|start| host.starts_with(start) && host.len() > 10);
    let is_host = address.map_or_else(is_name, |address| address.parse::<std::net::Ipv6Addr>().is_ok()) && !is_token;
    is_host && port.parse::<u16>().is_ok()
}

/// A name that somebody chose: an audience, a scope, a claim. Described where it is more than a name.
pub fn name(text: &str) -> String {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/@+=,~ ".contains(&byte);
    if text.contains("://") {
        return url(text);
    }
    // `/a` is a path, `a:b@c` a password.
    let is_else = (text.starts_with('/') && !text.starts_with("//")) || (text.contains(':') && text.contains('@'));
    let is_key = is_opaque(text) && !text.ends_with(".apps.googleusercontent.com");
    let is_name = text.len() <= 256 && text.bytes().all(is_letter) && !is_else && !is_key;
    if is_name { text.into() } else { value(text) }
}

/// What a token or a policy says of somebody. The id of a cluster or a tenant is made by dice as well, so one of
/// hexadecimal digits stays; what begins like a token, or may be a key, is described.
pub fn claim(text: &str) -> String {
    let is_id = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_key = || {
        is_opaque(text)
            && !text
                .split(|c: char| !c.is_ascii_alphanumeric())
                .all(|part| is_id(part) || !is_opaque(part) && part.len() < SHORTEST_KEY)
    };
    let is_known = is_arn(text) || text.ends_with(".apps.googleusercontent.com");
    let is_secret = has_token(text) || text.contains("-----BEGIN") || (is_key() && !is_known);
    if is_secret || text.chars().count() > LONGEST_PATH { value(text) } else { one_line(text, usize::MAX) }
}

/// Whether a word looks as if it was made by dice: a key, a token, a part of one. Names that people give are made of
/// words and numbers, in which letters of one case, of the other and digits seldom take turns.
pub fn is_opaque(word: &str) -> bool {
    if has_token(word) {
        return true;
    }
    let is_separator = |c: char| !c.is_ascii_alphanumeric();
    let mut is_long_mixture = false;
    let (mut count, mut turns) = (0_usize, 0_usize);
    for part in word.split(is_separator) {
        let bytes = part.as_bytes();
        let here = bytes.iter().zip(bytes.iter().skip(1)).filter(|(a, b)| class(**a) != class(**b)).count();
        is_long_mixture |= bytes.len() >= SHORTEST_KEY && bytes.iter().any(u8::is_ascii_digit) && here >= 4;
        count = count.saturating_add(bytes.len());
        turns = turns.saturating_add(here);
    }
    let has = |is: fn(&u8) -> bool| word.as_bytes().iter().any(is);
    let (upper, lower) = (has(u8::is_ascii_uppercase), has(u8::is_ascii_lowercase));
    let digit = has(u8::is_ascii_digit);
    let is_hexadecimal = || word.chars().all(|c| c.is_ascii_hexdigit() || c == '-') && digit && (upper || lower);
    let is_base64 = || word.len() == 40 && word.chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c));
    let part_of = |tenths: usize| turns.saturating_mul(10) >= count.saturating_mul(tenths);
    count >= SHORTEST_KEY
        && (part_of(4)
            || (upper && lower && digit && (part_of(3) || is_base64()))
            || is_long_mixture
            || is_hexadecimal())
}

fn class(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => 0,
        b'A'..=b'Z' => 1,
        _ => 2,
    }
}

/// What tokens and keys begin with, whatever else is in them.
const BEGINNINGS: &[&str] = &["eyJ", "ya29.", "AKIA", "ASIA", "GOCSPX-", "Atza|"];

/// Whether there is a token in it, by how it begins.
pub fn has_token(word: &str) -> bool {
    BEGINNINGS.iter().any(|start| word.find(start).is_some_and(|at| word.len().saturating_sub(at) > 10))
}

/// Other people's words with what may be a key or a token in them cut out; ARNs, addresses of people, hosts, and URLs
/// without their secrets stay.
pub fn words(text: &str) -> String {
    // A key of many lines is many words, and its last line a short one.
    let (text, is_cut) = text.split_once("-----BEGIN").map_or((text, false), |(before, _)| (before, true));
    let is_end = |c: char| c.is_whitespace() || c.is_control() || "\"'`<>()[]{},;|\\".contains(c);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    // `"secret": "value"`, `<Secret>value</Secret>`: what follows such a name is cut to the closing quote or tag.
    let (mut is_named, mut is_value) = (false, false);
    while let Some(at) = rest.find(|c| !is_end(c)) {
        let (between, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        shown.push_str(between);
        let end = from.find(is_end).unwrap_or(from.len());
        let (found, after) = from.split_at_checked(end).unwrap_or((from, ""));
        if is_value {
            shown.push_str(CUT);
            rest = after.find(['"', '<']).and_then(|end| after.get(end..)).unwrap_or("");
        } else {
            shown.push_str(&word(found));
            rest = after;
        }
        let is_tag = after.starts_with('>') && !found.starts_with('/') && names_a_secret(found);
        is_value = !is_value && (is_tag || (is_named && found == ":"));
        is_named = !is_value && after.starts_with('"') && names_a_secret(found);
    }
    shown.push_str(rest);
    if is_cut {
        shown.push_str(CUT);
    }
    shown
}

fn word(word: &str) -> String {
    let (inner, end) = match word.char_indices().rfind(|(_, c)| !".:!?".contains(*c)) {
        Some((at, last)) => word.split_at_checked(at.saturating_add(last.len_utf8())).unwrap_or((word, "")),
        None => (word, ""),
    };
    if inner.contains("://") {
        return clean_url(inner).map_or_else(|| CUT.into(), |url| url + place_in(inner)) + end;
    }
    if has_token(inner) {
        return CUT.to_owned() + end;
    }
    if is_arn(inner) || is_email(inner) || is_host(inner) {
        return word.into();
    }
    if let Some((name, value)) = inner.split_once('=')
        && names_a_secret(name)
        && !value.is_empty()
    {
        return format!("{name}={CUT}{end}");
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_+/=~".contains(c);
    let mut shown = String::new();
    for part in inner.split_inclusive(|c| !is_part(c)) {
        let (name, separator) = match part.char_indices().next_back() {
            Some((at, last)) if !is_part(last) => part.split_at_checked(at).unwrap_or((part, "")),
            _ => (part, ""),
        };
        shown.extend([if is_opaque(name) { CUT } else { name }, separator]);
    }
    shown + end
}

/// The place in a page that a link leads to, with its mark; nothing where it may be anything else.
fn place_in(url: &str) -> &str {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || b"_-".contains(&byte);
    let is_place = |place: &str| place.len() <= 60 && place.contains(['_', '-']) && place.bytes().all(is_letter);
    let fragment = url.find('#').and_then(|at| url.split_at_checked(at)).map_or("", |(_, fragment)| fragment);
    if fragment.strip_prefix('#').is_some_and(is_place) && !url.contains('?') { fragment } else { "" }
}

fn names_a_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["token", "secret", "password", "passwd", "pwd", "key", "signature", "credential", "authorization"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
pub fn is_arn(word: &str) -> bool {
    let parts: Vec<&str> = word.splitn(6, ':').collect();
    let ["arn", partition, service, region, account, resource] = parts[..] else { return false };
    let is_name = |text: &str| text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_resource = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@-_/:*".contains(&byte);
    [partition, service, region, account].into_iter().all(is_name)
        && resource.len() <= 640
        && !has_token(resource)
        && resource.bytes().all(is_resource)
}

/// `NAME@DOMAIN`, as service accounts have them.
pub fn is_email(word: &str) -> bool {
    let Some((name, domain)) = word.split_once('@') else { return false };
    let is_local = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    (1..=64).contains(&name.len())
        && name.bytes().all(is_local)
        && !is_opaque(name)
        && !has_token(domain)
        && (1..=253).contains(&domain.len())
        && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

/// A full host name in small letters, perhaps with a port.
fn is_host(word: &str) -> bool {
    let (host, _) = word.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).unwrap_or((word, ""));
    let is_top = |top: &str| top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    host.len() <= 253
        && host.bytes().all(is_letter)
        && host.rsplit_once('.').is_some_and(|(rest, top)| rest.contains('.') && is_top(top))
        && !host.starts_with("ya29.")
}

/// On one line, without control characters, of at most `longest` characters: cut in the middle.
pub fn one_line(text: &str, longest: usize) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    shortened(&words.join(" "), longest)
}
