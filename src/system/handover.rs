//! What one agent leaves to the next, in a file without a name that its guard has open.

use std::cell::RefCell;

use serde_json::{Map, Value};

use crate::system::process::memory::Memory;

/// What one agent leaves to the next, as JSON values by name: the guard has it open and never reads it.
pub struct Handover {
    memory: Option<Memory>,
    noted: RefCell<Map<String, Value>>,
}

impl Default for Handover {
    /// An empty one; where there is no memory for it, nothing is kept.
    fn default() -> Self {
        Self { memory: Memory::new(), noted: RefCell::default() }
    }
}

impl Handover {
    fn all(&self) -> Map<String, Value> {
        let kept = self.memory.as_ref().and_then(Memory::kept);
        kept.and_then(|kept| serde_json::from_slice(&kept).ok()).unwrap_or_default()
    }

    /// What was left under this name.
    pub fn get(&self, name: &str) -> Option<Value> {
        self.all().remove(name)
    }

    /// Leaves `value` under this name together with what is [`set`](Self::set) next: before that, the next agent would
    /// find the same by itself.
    pub fn note(&self, name: &str, value: Value) {
        self.noted.borrow_mut().insert(name.into(), value);
    }

    /// Leaves `value` under this name. Where it cannot be kept the next agent does without it.
    pub fn set(&self, name: &str, value: Value) {
        let Some(memory) = &self.memory else { return };
        let mut all = self.all();
        all.extend(self.noted.take());
        all.insert(name.into(), value);
        let _ = serde_json::to_vec(&all).map(|json| memory.keep(&json));
    }
}
