//! Deferred prompts (clicks in metres) on their way between the queue and the resolver's thread.

use std::time::{Duration, Instant};

use super::engine_state::EngineState;
use super::lookup::no_image;
use crate::engine::kept::KeptFrames;
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::{DeferredPrompt, Interaction};

/// Time between two attempts to resolve a prompt.
pub const RESOLVE_PERIOD: Duration = Duration::from_millis(20);

/// Longest duration of one attempt beyond `prompt_timeout`. The prompts behind it continue without it then.
const RESOLVE_GRACE: Duration = Duration::from_secs(1);

/// A deferred prompt that is being resolved.
pub struct DeferredJob {
    pub prompt: Box<dyn DeferredPrompt>,
    pub kept: KeptFrames,
    /// The prompt has waited for `prompt_timeout`.
    pub is_last: bool,
}

/// Outcome of an attempt to resolve a prompt: the prompt, a refusal or `None`; or the message of a panic.
pub type Resolution = Result<Option<Result<Interaction, Refusal>>, String>;

impl EngineState {
    /// Returns whether the first prompt is deferred and not at the resolver.
    pub fn has_deferred_prompt(&self) -> bool {
        matches!(self.interactions.front().map(|q| &q.item), Some(Interaction::Deferred(Some(_))))
    }

    /// Takes the first prompt if it is deferred and its last attempt is at least [`RESOLVE_PERIOD`] ago.
    pub fn take_deferred(&mut self) -> Option<DeferredJob> {
        let now = self.clock.now();
        let since = self.interactions.front()?.since;
        if self.newest_is_pending(since) || self.last_resolve_attempt.is_some_and(|at| at.elapsed() < RESOLVE_PERIOD) {
            return None;
        }
        let is_last = self.clock.since(since) >= self.settings.prompt_timeout && !self.first_is_pending();
        let kept = self.kept.clone();
        let Interaction::Deferred(prompt) = &mut self.interactions.front_mut()?.item else { return None };
        let prompt = prompt.take()?;
        self.resolving = Some(now);
        Some(DeferredJob { prompt, kept, is_last })
    }

    /// Puts a prompt back into its place in the queue, resolved or still deferred. Returns why it is refused.
    pub fn return_deferred(&mut self, job: DeferredJob, resolution: Resolution) -> Option<Refusal> {
        self.resolving = None;
        let front = self.interactions.front_mut()?;
        // The prompts behind this prompt continued without it.
        let Interaction::Deferred(None) = front.item else { return None };
        let refusal = match resolution {
            Ok(Some(Ok(interaction))) => {
                front.item = interaction;
                return None;
            }
            Ok(None) if !job.is_last => {
                front.item = Interaction::Deferred(Some(job.prompt));
                self.last_resolve_attempt = Some(Instant::now());
                return None;
            }
            Ok(None) => no_image(&self.settings),
            Ok(Some(Err(refusal))) => refusal,
            Err(panic) => Refusal::new(RefusalKind::InternalError, panic),
        };
        self.interactions.pop();
        Some(refusal)
    }

    /// Removes the first prompt if resolving it takes longer than the prompts behind it wait. Returns its refusal.
    pub fn refuse_overdue(&mut self) -> Option<Refusal> {
        let limit = self.settings.prompt_timeout + RESOLVE_GRACE;
        self.resolving.filter(|since| self.clock.since(*since) > limit)?;
        self.interactions.pop();
        let message =
            format!("the click in metres was not resolved within {limit:?}: looking transforms up takes too long");
        Some(Refusal::new(RefusalKind::NoTransform, message))
    }
}
