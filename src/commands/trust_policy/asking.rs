//! Asking until somebody answers or the time is over: one piece of code for all that is asked, as each costs its size.

use serde_json::Value;

use crate::config::settings::Settings;
use crate::error::Result;
use crate::federation::shared_cache;
use crate::model::BoxFuture;
use crate::system::http::Http;
use crate::system::world::World;
use crate::timing::retry;

/// What is asked, once.
pub(super) type Question<'a> = dyn Fn(&'a Http) -> BoxFuture<'a, Result<Value>> + 'a;

/// The answer.
///
/// # Errors
/// Why there is none.
pub(super) fn ask<'a>(
    world: &'a World,
    settings: &Settings,
    http: &'a Http,
    question: &'a Question<'a>,
) -> Result<Value> {
    let deadline = world.deadline(settings.timeout);
    let answer: BoxFuture<'a, Result<Value>> =
        Box::pin(retry::until(world, deadline, async move || question(http).await));
    shared_cache::run(answer)
}
