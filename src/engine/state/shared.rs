//! The state behind its lock, and the conditions that the threads sleep on.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::engine_state::State;
use crate::engine::clock::Clock;
use crate::engine::metrics::Metrics;
use crate::engine::refusal::Refusal;
use crate::engine::result::{Event, EventSink};
use crate::engine::settings::Settings;

/// The state with the conditions that the two threads sleep on.
#[derive(Debug, Default)]
pub struct Shared {
    state: Mutex<State>,
    /// Work for the encoder.
    pub encode: Condvar,
    /// A click in metres that may be resolved now.
    pub resolve: Condvar,
    /// Work for the decoder: a prompt, or a frame that one waited for.
    pub decode: Condvar,
    /// A newer frame of the camera, for an encoder's thread that waits for its turn.
    pub newer: Notify,
    pub clock: Clock,
}

impl Shared {
    pub fn new(settings: Settings, clock: Clock) -> Self {
        let state =
            Mutex::new(State { settings, clock: clock.clone(), metrics: Metrics::of_new_engine(), ..State::default() });
        Shared { state, clock, ..Shared::default() }
    }

    /// The state. A panic of another thread while it held the lock does not make the state unusable: every change
    /// under the lock is a plain move.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    pub fn wake_all(&self) {
        self.encode.notify_all();
        self.decode.notify_all();
        self.resolve.notify_all();
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
