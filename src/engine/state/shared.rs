//! The shared state with its lock, and the conditions that the threads wait for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::engine_state::EngineState;
use crate::engine::clock::Clock;
use crate::engine::metrics::Metrics;
use crate::engine::refusal::Refusal;
use crate::engine::result::{Event, EventSink};
use crate::engine::settings::Settings;

/// The shared state with its lock, and the conditions that the threads wait for.
#[derive(Debug, Default)]
pub struct SharedState {
    state: Mutex<EngineState>,
    /// The encoder has a job.
    pub encode: Condvar,
    /// A deferred prompt may be resolved.
    pub resolve: Condvar,
    /// The generator has a generation, or its turn.
    pub generate: Condvar,
    /// The decoder has work: a prompt, or a frame that a prompt waits for.
    pub decode: Condvar,
    /// A newer frame of the camera arrived, for an encoder's thread that waits for its session.
    pub newer: Notify,
    pub clock: Clock,
}

impl SharedState {
    pub fn new(settings: Settings, clock: Clock) -> Self {
        let state = Mutex::new(EngineState {
            settings,
            clock: clock.clone(),
            metrics: Metrics::of_new_engine(),
            ..EngineState::default()
        });
        SharedState { state, clock, ..SharedState::default() }
    }

    /// Locks the state. The state is usable after a panic of a thread that held the lock: every change under the lock is a
    /// plain move.
    pub fn lock(&self) -> MutexGuard<'_, EngineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    /// Wakes all threads.
    pub fn wake_all(&self) {
        self.encode.notify_all();
        self.decode.notify_all();
        self.resolve.notify_all();
        self.generate.notify_all();
    }

    /// Counts and reports a refusal, unless the engine stops.
    pub fn refuse(&self, events: &EventSink, refusal: Refusal) {
        if self.is_stopped() {
            return;
        }
        self.lock().metrics.refuse(refusal.kind);
        events(Event::Refused(refusal));
    }
}
