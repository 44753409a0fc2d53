//! `fedboot doctor`: does all that a boot does and starts nothing. A line a finding, what to do below it; what depends on a
//! step that has failed is not tried, so the first failure is the cause.

mod agents;
mod clients;
mod command;
mod delivery;
mod exchange;
mod findings;
mod network;
mod options;
mod place;
mod to_aws;
mod to_google;

use std::ffi::OsString;
use std::rc::Rc;

use crate::commands::doctor::findings::{Finding, Report};
use crate::commands::owner;
use crate::config::delivery as places;
use crate::config::direction::{self, Direction};
use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::config::values::{as_json, switch};
use crate::error::Result;
use crate::federation::shared_cache;
use crate::system::process;
use crate::system::world::World;

/// Reports on a boot of `command`, if there is one; the text is printed already.
///
/// # Errors
/// A usage error in an option of the report itself.
pub fn report(command: &[OsString], options: &Options, world: &Rc<World>) -> Result<(String, u8)> {
    Settings::log(options, world)?;
    let is_strict = switch(options, world, "strict")?;
    let is_offline = switch(options, world, "offline")?;
    let with_clients = switch(options, world, "clients")?;
    let as_json = as_json(options, world)?;
    let has_colours = process::stdout_is_terminal() && world.variable("NO_COLOR").is_none();
    let mut report = Report::new(as_json, has_colours);
    // Whoever starts fedboot starts the command, too; all else is the owner's.
    report.extend(command::start(command, options, world));
    let owner = owner::owner(options, world).and_then(|owner| owner::assume(owner.as_ref(), world, |_| ()));
    match owner.and_then(|(world, ())| Settings::resolve(options, &world).map(|_| world)) {
        Ok(world) => {
            shared_cache::run(async {
                examine(&mut report, options, &world, is_offline).await;
                Ok(())
            })?;
            if with_clients {
                let way = direction::of(options, &world);
                let by_server = places::delivery(options, &world).is_ok_and(|delivery| delivery.has_server());
                report.extend(way.ok().into_iter().flat_map(|way| clients::findings(command, way, by_server, &world)));
            }
            report.extend(agents::findings(options, &world));
        }
        Err(error) => report.add(&Finding::error("options", &error)),
    }
    Ok((String::new(), report.end(is_strict)))
}

async fn examine(report: &mut Report, options: &Options, world: &Rc<World>, is_offline: bool) {
    let place = place::look(world);
    match direction::of(options, world) {
        Ok(Direction::GoogleToAws) => to_aws::examine(report, options, world, is_offline, place).await,
        Ok(Direction::AwsToGoogle) => to_google::examine(report, options, world, is_offline, &place).await,
        Err(error) => {
            report.add(&place.finding(None, ""));
            report.add(&Finding::error("direction", &error));
        }
    }
}
