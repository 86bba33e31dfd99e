//! What the node is doing between two states, and what went wrong on the way: for diagnostics.

use super::machine::State;
use super::transitions::Failed;
use crate::node::lock::lock;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// Of the transition that is under way, or that failed last.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Now>);

#[derive(Debug, Default)]
struct Now {
    doing: Option<(String, Instant)>,
    failed: Option<String>,
}

impl Progress {
    pub fn begin(&self, during: State) {
        let mut now = self.lock();
        now.doing = Some((during.to_string(), Instant::now()));
        // What error processing clears up after is still to be seen.
        if during != State::ErrorProcessing {
            now.failed = None;
        }
    }

    /// One step of it.
    pub fn say(&self, what: String) {
        if let Some((doing, _)) = &mut self.lock().doing {
            *doing = what;
        }
    }

    pub fn end(&self, during: State, outcome: &Result<(), Failed>) {
        let mut now = self.lock();
        now.doing = None;
        if let Err(failed) = outcome {
            now.failed = Some(format!("{during}: {}", failed.reason));
        }
    }

    /// What is being done, and for how long.
    pub fn doing(&self) -> Option<String> {
        self.lock().doing.as_ref().map(|(what, since)| format!("{what}, {:.0} s", since.elapsed().as_secs_f32()))
    }

    /// Why the last transition did not succeed.
    pub fn failed(&self) -> Option<String> {
        self.lock().failed.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        lock(&self.0)
    }
}
