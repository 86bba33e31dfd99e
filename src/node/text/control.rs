//! The phrases that the other threads leave for the text thread of a camera.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::engine::FrameRef;
use crate::node::lock::lock;
use crate::text::{Phrase, RefusedPhrase, Understood};

/// Answer to phrases: what was understood, or why there is no answer.
pub type Answer = Result<Understood, String>;

/// New phrases, which replace all earlier ones.
#[derive(Debug)]
pub struct Change {
    pub phrases: Vec<Phrase>,
    /// Phrases that were refused before the model saw them.
    pub refused: Vec<RefusedPhrase>,
    /// Frame of the first search.
    pub at: FrameRef,
    /// Arrival.
    pub since: Instant,
    pub reply: oneshot::Sender<Answer>,
}

/// What the text thread does next.
#[derive(Debug)]
pub enum Turn {
    /// Prepare new phrases. The number identifies them.
    Change(Change, u64),
    /// Search, if a search is due.
    Search,
}

/// The phrases of a camera.
#[derive(Debug, Default)]
pub struct TextControl {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The newest phrases, until the thread takes them.
    change: Option<Change>,
    /// Number of the newest phrases.
    number: u64,
    /// Phrases that are searched for, for diagnostics.
    searched: Vec<String>,
    /// The parameter `text.phrases`, when it was applied last.
    parameter: Vec<String>,
    stop: bool,
}

impl TextControl {
    /// Leaves new phrases. They end the search for earlier ones, and take the place of phrases that still wait.
    pub fn set(&self, change: Change) {
        let mut state = lock(&self.state);
        state.number += 1;
        if let Some(earlier) = state.change.replace(change) {
            // The client may be gone.
            let _ = earlier.reply.send(Err("newer phrases took the place of these".into()));
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for new phrases, for at most `limit`. Returns `None` when the camera stops.
    pub fn next(&self, limit: Option<Duration>) -> Option<Turn> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut state = lock(&self.state);
        loop {
            if state.stop {
                return None;
            }
            if let Some(change) = state.change.take() {
                return Some(Turn::Change(change, state.number));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Some(Turn::Search);
            }
            state = self.wait(state, left);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Option<Duration>) -> MutexGuard<'a, State> {
        match limit {
            Some(limit) => self.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0,
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Returns whether no newer phrases came, and the camera runs.
    pub fn is_current(&self, number: u64) -> bool {
        let state = lock(&self.state);
        state.number == number && !state.stop
    }

    /// Sets the phrases that are searched for.
    pub fn set_searched(&self, phrases: &[Phrase]) {
        lock(&self.state).searched = phrases.iter().map(|phrase| phrase.text.clone()).collect();
    }

    /// Returns the phrases that are searched for.
    pub fn searched(&self) -> Vec<String> {
        lock(&self.state).searched.clone()
    }

    /// Stores the parameter `text.phrases`. Returns whether it changed.
    pub fn set_parameter(&self, phrases: &[String]) -> bool {
        let mut state = lock(&self.state);
        let is_change = state.parameter != phrases;
        state.parameter = phrases.to_vec();
        is_change
    }

    /// Ends the thread.
    pub fn stop(&self) {
        let mut state = lock(&self.state);
        state.stop = true;
        // Drops the reply: the client learns that the node was deactivated.
        state.change = None;
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str) -> (Change, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let phrases = vec![Phrase::new(text).unwrap()];
        (Change { phrases, refused: Vec::new(), at: FrameRef::Newest, since: Instant::now(), reply }, answer)
    }

    #[test]
    fn the_newest_phrases_take_the_place_of_those_that_wait() {
        let control = TextControl::default();
        let ((first, mut first_answer), (second, mut second_answer)) = (change("cup"), change("dog"));
        control.set(first);
        control.set(second);
        let Some(Turn::Change(taken, number)) = control.next(None) else { panic!("phrases wait") };
        assert_eq!(taken.phrases[0].text, "dog");
        assert!(control.is_current(number));
        assert!(first_answer.try_recv().unwrap().unwrap_err().contains("newer phrases"));
        assert!(second_answer.try_recv().is_err(), "the thread answers");
        control.set(change("egg").0);
        assert!(!control.is_current(number));
    }

    #[test]
    fn without_phrases_the_thread_searches_after_its_wait() {
        let control = TextControl::default();
        assert!(matches!(control.next(Some(Duration::ZERO)), Some(Turn::Search)));
        assert!(matches!(control.next(Some(Duration::from_millis(1))), Some(Turn::Search)));
    }

    #[test]
    fn a_stopped_camera_ends_its_thread_and_answers_nobody() {
        let control = TextControl::default();
        let (waiting, mut answer) = change("cup");
        control.set(waiting);
        control.stop();
        assert!(control.next(None).is_none());
        assert_eq!(answer.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
    }

    #[test]
    fn only_a_changed_parameter_is_applied() {
        let control = TextControl::default();
        let cup = ["cup".to_owned()];
        assert!(!control.set_parameter(&[]), "the default is no phrases");
        assert_eq!([control.set_parameter(&cup), control.set_parameter(&cup)], [true, false]);
        assert!(control.set_parameter(&[]));
    }
}
