//! The thread that resolves clicks in metres. It looks transforms up outside the engine's lock, so that nobody waits for a
//! lookup except the click and the prompts behind it.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::EventSink;
use super::command::{Event, Interaction, Later, Refusal, RefusalKind};
use super::kept::KeptFrames;
use super::state::{Shared, State, no_image};

/// How often a click that waits for its image or its transforms is looked at.
const PERIOD: Duration = Duration::from_millis(20);

/// How much longer than `prompt_timeout` a single lookup may take. Then the prompts behind the click go on without it.
const GRACE: Duration = Duration::from_secs(1);

/// A click that is being resolved.
struct Job {
    click: Box<dyn Later>,
    kept: KeptFrames,
    /// The click has waited for as long as it may.
    is_last: bool,
}

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

/// Takes the click whose turn it is, unless it was looked at a moment ago.
fn take(state: &mut State) -> Option<Job> {
    let now = state.clock.now();
    let since = state.interactions.front()?.since;
    if state.newest_is_coming(since) || state.looked_at_click.is_some_and(|at| at.elapsed() < PERIOD) {
        return None;
    }
    let is_last = state.clock.since(since) >= state.settings.prompt_timeout && !state.first_is_coming();
    let kept = state.kept.clone();
    let Interaction::Later(click) = &mut state.interactions.front_mut()?.item else { return None };
    let click = click.take()?;
    state.resolving = Some(now);
    Some(Job { click, kept, is_last })
}

type Resolved = Result<Option<Result<Interaction, Refusal>>, String>;

/// Puts a click back into its place, as a click in pixels if it was resolved. Returns why it is refused.
fn put_back(state: &mut State, job: Job, resolved: Resolved) -> Option<Refusal> {
    state.resolving = None;
    let State { interactions, settings, looked_at_click, .. } = state;
    let front = interactions.front_mut()?;
    // The prompts behind it went on without it.
    let Interaction::Later(None) = front.item else { return None };
    let refusal = match resolved {
        Ok(Some(Ok(interaction))) => {
            front.item = interaction;
            return None;
        }
        Ok(None) if !job.is_last => {
            front.item = Interaction::Later(Some(job.click));
            *looked_at_click = Some(Instant::now());
            return None;
        }
        Ok(None) => no_image(settings),
        Ok(Some(Err(refusal))) => refusal,
        Err(panic) => Refusal::new(RefusalKind::InternalError, panic),
    };
    interactions.pop();
    Some(refusal)
}

/// Why the click whose turn it is is refused: a lookup takes longer than anybody waits.
pub(super) fn overdue(state: &mut State) -> Option<Refusal> {
    let limit = state.settings.prompt_timeout + GRACE;
    state.resolving.filter(|since| state.clock.since(*since) > limit)?;
    state.interactions.pop();
    let message =
        format!("the click in metres was not resolved within {limit:?}: looking transforms up takes too long");
    Some(Refusal::new(RefusalKind::NoTransform, message))
}

impl Shared {
    /// Counts and reports a refusal, unless the engine stops.
    pub fn refuse(&self, events: &EventSink, refusal: Refusal) {
        if self.is_stopped() {
            return;
        }
        self.lock().metrics.refuse(refusal.kind);
        events(Event::Refused(refusal));
    }
}
