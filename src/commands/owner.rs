//! `--owner`: whose the files are, and so who fedboot's own processes are: another user's directory is no place for root's
//! rights. The process that becomes the command stays who it is.

use std::rc::Rc;

use crate::config::options::Options;
use crate::error::{Error, Kind, Result};
use crate::system::process::Account;
use crate::system::world::World;

/// The user that guard and agent are to become; none where they are that user already.
///
/// # Errors
/// A usage error where there is no such user, or where this one may not become another.
pub fn owner(options: &Options, world: &World) -> Result<Option<Account>> {
    let Some(given) = options.text(world, "owner")? else { return Ok(None) };
    let account = Account::find(given.text()?).ok_or_else(|| {
        given
            .bad("is neither a user that /etc/passwd knows nor a number")
            .advice("a number needs no entry, and a group behind a colon must be one")
    })?;
    match world.user {
        own if own == account.user() => Ok(None),
        0 => Ok(Some(account)),
        _ => Err(given.bad("is another user than this one, and only root can become another")),
    }
}

/// The same for whoever only asks what an agent keeps: what a variable says to the agent is for root to heed, as every
/// other user asks for itself.
///
/// # Errors
/// As there.
pub fn owner_of_what_is_asked(options: &Options, world: &World) -> Result<Option<Account>> {
    let is_meant =
        options.value(world, "owner").is_some_and(|given| world.user == 0 || given.origin().starts_with("--"));
    if is_meant { owner(options, world) } else { Ok(None) }
}

/// Becomes `owner`, if there is one, and looks at the world as that user. `before` that, what needs root's rights is done,
/// with the user's home in sight already.
///
/// # Errors
/// That the kernel did not allow it.
pub fn assume<T>(
    owner: Option<&Account>,
    world: &Rc<World>,
    before: impl FnOnce(&World) -> T,
) -> Result<(Rc<World>, T)> {
    let Some(owner) = owner else { return Ok((world.clone(), before(world))) };
    owner.go_home();
    let done = before(&World::real());
    owner.assume().map_err(|(call, errno)| {
        Error::new(Kind::Fatal, "become the user of --owner", "", format!("{call} failed: {}", errno.desc()))
            .advice("does this container leave root the capabilities SETUID and SETGID, and know such a user?")
    })?;
    Ok((Rc::new(World::real()), done))
}
