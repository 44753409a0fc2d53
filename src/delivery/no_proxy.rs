//! What keeps the command's clients from asking a proxy for what is on this machine.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::system::world::World;

const LOOPBACK: &[u8] = b"127.0.0.1";

/// `NO_PROXY` and `no_proxy` as they must be where any proxy is named, each only if it has to change. Some clients read the
/// one, some the other, and many know no ranges of addresses, so the address stands beside whatever is there.
///
/// A list that is a star alone means every host, to some only as it stands and to some only for names: hyper-util and
/// gaxios, which read the capitals first, get the address beside it, curl, Python and undici, which read the small letters
/// first, the star alone.
pub fn no_proxy(world: &World) -> Vec<(&'static str, OsString)> {
    if !world.has_variable(names_a_proxy) {
        return Vec::new();
    }
    let given = ["NO_PROXY", "no_proxy"].map(|name| (name, world.variable(name)));
    let any = given.iter().find_map(|(_, list)| list.clone()).unwrap_or_default();
    let is_star = any.as_bytes().trim_ascii() == b"*";
    let mut changes = Vec::new();
    for (name, list) in given {
        // One that is not set is read from the other, but a star is no longer alone there.
        let stands = list.as_ref().or((!is_star).then_some(&any)).cloned().unwrap_or_default();
        let wanted = with_loopback(list.unwrap_or_else(|| any.clone()).as_bytes(), name == "no_proxy");
        if stands.as_bytes() != wanted {
            changes.push((name, OsString::from_vec(wanted)));
        }
    }
    changes
}

/// Of whatever kind: for gaxios `HTTPS_PROXY` is for `http:` as well
/// (<https://github.com/googleapis/gaxios/blob/main/src/gaxios.ts>), and Python knows the names in any letters.
fn names_a_proxy(name: &[u8]) -> bool {
    let name = name.to_ascii_uppercase();
    name.ends_with(b"_PROXY") && name != b"NO_PROXY"
}

fn with_loopback(list: &[u8], star_alone: bool) -> Vec<u8> {
    let is_named = list.split(|byte| *byte == b',').any(|entry| entry.trim_ascii() == LOOPBACK);
    if is_named || star_alone && list.trim_ascii() == b"*" {
        return list.to_vec();
    }
    let mut list = list.to_vec();
    while list.last().is_some_and(|byte| *byte == b',' || byte.is_ascii_whitespace()) {
        list.pop();
    }
    if !list.is_empty() {
        list.push(b',');
    }
    list.extend_from_slice(LOOPBACK);
    list
}
