//! The thread that resolves clicks in metres. It looks transforms up outside the engine's lock, so that nobody waits for a
//! lookup except the click and the prompts behind it.

use std::sync::{MutexGuard, PoisonError};

use super::result::EventSink;
use super::state::{Job, PERIOD, Shared, State, put_back, take};

pub(super) fn run(shared: &Shared, events: &EventSink) {
    while let Some(mut job) = wait(shared) {
        let resolved = shared.catch("resolving a click", || job.click.ready(&job.kept, job.is_last));
        let refusal = put_back(&mut shared.lock(), job, resolved);
        if let Some(refusal) = refusal {
            shared.refuse(events, refusal);
        }
        shared.decode.notify_all();
    }
}

/// Sleeps until a click is to be resolved; `None` when the engine stops.
fn wait(shared: &Shared) -> Option<Job> {
    let mut state = shared.lock();
    loop {
        if state.stop {
            return None;
        }
        if let Some(job) = take(&mut state) {
            return Some(job);
        }
        state = sleep(shared, state);
    }
}

fn sleep<'a>(shared: &Shared, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    if state.has_click_to_resolve() {
        return shared.resolve.wait_timeout(state, PERIOD).unwrap_or_else(PoisonError::into_inner).0;
    }
    shared.resolve.wait(state).unwrap_or_else(PoisonError::into_inner)
}
