//! Options, settings, world and holdings: what the guard is started with, and each agent that it forks.

use std::rc::Rc;

use crate::agent::holdings::Holdings;
use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::system::world::World;

/// What guard and agents have in common.
pub struct AgentContext<'a> {
    /// Clock, chance, environment.
    pub world: Rc<World>,
    /// What was typed.
    pub options: &'a Options,
    /// How to fail and to log.
    pub settings: Rc<Settings>,
    /// What outlives an agent.
    pub holdings: Rc<Holdings>,
}
