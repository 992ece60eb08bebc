//! How long each phase of a run took.

use std::time::{Duration, Instant};

/// Seconds by phase, in the order in which phases were first met.
#[derive(Debug, Clone)]
pub struct Clock {
    since: Instant,
    phases: Vec<(&'static str, Duration)>,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self {
            since: Instant::now(),
            phases: Vec::new(),
        }
    }

    /// Counts the time since the last call (or the start) towards `phase`.
    pub fn lap(&mut self, phase: &'static str) {
        let now = Instant::now();
        let elapsed = now.duration_since(self.since);
        self.since = now;
        match self.phases.iter_mut().find(|(known, _)| *known == phase) {
            Some((_, total)) => *total += elapsed,
            None => self.phases.push((phase, elapsed)),
        }
    }

    /// The phases so far.
    pub fn phases(&self) -> &[(&'static str, Duration)] {
        &self.phases
    }
}
