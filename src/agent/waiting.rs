//! While the command waits for its first credentials, a line now and then says on what.

use std::rc::Rc;
use std::time::Duration;

use crate::agent::readiness::Readiness;
use crate::config::settings::Settings;
use crate::system::http;
use crate::system::log::{Severity, time_of_day};
use crate::system::process;
use crate::system::world::{self, World};

/// Most boots are over by then; each following line comes after twice the time.
const FIRST: Duration = Duration::from_secs(2);

/// Tells it until `readiness` is reported.
pub async fn tell(readiness: Rc<Readiness>, world: Rc<World>, settings: Rc<Settings>) {
    let end = world::later(world.now(), settings.timeout);
    let mut pause = FIRST;
    loop {
        world.sleep(pause).await;
        if readiness.has_reported() {
            return;
        }
        pause = pause.saturating_mul(2);
        let Some((awaited, waited)) = http::longest_wait() else { continue };
        if waited < FIRST.mul_f64(0.5) {
            continue;
        }
        let since = time_of_day(world.now().checked_sub(waited).unwrap_or(world.now()));
        let message = format!("still waiting for {awaited}, since {since}, until {} at most", time_of_day(end));
        let fields = [("awaited", awaited), ("direction", settings.direction())];
        // Before a terminal only warnings are shown until the command starts; in a log it is no failure yet.
        let severity = if process::stderr_is_terminal() { Severity::Warning } else { Severity::Info };
        settings.log.event(world.now(), severity, &message, &fields);
    }
}
