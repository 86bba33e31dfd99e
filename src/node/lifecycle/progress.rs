//! Progress of transitions, for diagnostics.

use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use super::machine::State;
use crate::node::lock::lock;

/// Step of the transition that is under way, and the failure of the last one.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Steps>);

#[derive(Debug, Default)]
struct Steps {
    /// Current step, and the start of its transition.
    current: Option<(String, Instant)>,
    failure: Option<String>,
}

impl Progress {
    /// Notes the start of a transition.
    pub fn begin(&self, during: State) {
        let mut steps = self.lock();
        steps.current = Some((during.to_string(), Instant::now()));
        // Error processing follows a failure, which stays visible.
        if during != State::ErrorProcessing {
            steps.failure = None;
        }
    }

    /// Notes the step that the transition is at.
    pub fn set_step(&self, name: String) {
        if let Some((step, _)) = &mut self.lock().current {
            *step = name;
        }
    }

    /// Notes the end of a transition, with the reason if it failed.
    pub fn end(&self, during: State, failure: Option<&str>) {
        let mut steps = self.lock();
        steps.current = None;
        if let Some(reason) = failure {
            steps.failure = Some(format!("{during}: {reason}"));
        }
    }

    /// Returns the current step, with the time since its transition started.
    pub fn step(&self) -> Option<String> {
        self.lock().current.as_ref().map(|(step, since)| format!("{step}, {:.0} s", since.elapsed().as_secs_f32()))
    }

    /// Returns the reason that the last transition failed.
    pub fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Steps> {
        lock(&self.0)
    }
}
