//! The thread that resolves deferred prompts (clicks in metres). It looks up transforms outside the engine's lock, so that
//! only the prompt and the prompts behind it wait for a lookup.

use std::sync::{MutexGuard, PoisonError};

use super::result::EventSink;
use super::state::{DeferredJob, EngineState, RESOLVE_PERIOD, SharedState};

pub(super) fn run(shared: &SharedState, events: &EventSink) {
    while let Some(mut job) = wait_for_job(shared) {
        let resolution = shared.catch("resolving a click", || job.prompt.resolve(&job.kept, job.is_last));
        let refusal = shared.lock().return_deferred(job, resolution);
        if let Some(refusal) = refusal {
            shared.refuse(events, refusal);
        }
        shared.decode.notify_all();
    }
}

/// Sleeps until a prompt can be resolved. Returns `None` when the engine stops.
fn wait_for_job(shared: &SharedState) -> Option<DeferredJob> {
    let mut state = shared.lock();
    loop {
        if state.stop {
            return None;
        }
        if let Some(job) = state.take_deferred() {
            return Some(job);
        }
        state = sleep(shared, state);
    }
}

/// Sleeps until the next attempt, or until a prompt arrives.
fn sleep<'a>(shared: &SharedState, state: MutexGuard<'a, EngineState>) -> MutexGuard<'a, EngineState> {
    if state.has_deferred_prompt() {
        return shared.resolve.wait_timeout(state, RESOLVE_PERIOD).unwrap_or_else(PoisonError::into_inner).0;
    }
    shared.resolve.wait(state).unwrap_or_else(PoisonError::into_inner)
}
