//! The click in metres whose turn it is: out of the queue to be resolved, and back.

use std::time::{Duration, Instant};

use super::engine_state::State;
use super::lookup::no_image;
use crate::engine::kept::KeptFrames;
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::{Interaction, Later};

/// How often a click that waits for its image or its transforms is looked at.
pub const PERIOD: Duration = Duration::from_millis(20);

/// How much longer than `prompt_timeout` a single lookup may take. Then the prompts behind the click go on without it.
const GRACE: Duration = Duration::from_secs(1);

/// A click that is being resolved.
pub struct Job {
    pub click: Box<dyn Later>,
    pub kept: KeptFrames,
    /// The click has waited for as long as it may.
    pub is_last: bool,
}

impl State {
    /// Whether the prompt whose turn it is is a click in metres that nobody looks at.
    pub fn has_click_to_resolve(&self) -> bool {
        matches!(self.interactions.front().map(|q| &q.item), Some(Interaction::Later(Some(_))))
    }
}

/// Takes the click whose turn it is, unless it was looked at a moment ago.
pub fn take(state: &mut State) -> Option<Job> {
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

pub type Resolved = Result<Option<Result<Interaction, Refusal>>, String>;

/// Puts a click back into its place, as a click in pixels if it was resolved. Returns why it is refused.
pub fn put_back(state: &mut State, job: Job, resolved: Resolved) -> Option<Refusal> {
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
pub fn overdue(state: &mut State) -> Option<Refusal> {
    let limit = state.settings.prompt_timeout + GRACE;
    state.resolving.filter(|since| state.clock.since(*since) > limit)?;
    state.interactions.pop();
    let message =
        format!("the click in metres was not resolved within {limit:?}: looking transforms up takes too long");
    Some(Refusal::new(RefusalKind::NoTransform, message))
}
