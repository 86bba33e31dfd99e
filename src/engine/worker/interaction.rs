//! What people and programs do to the current objects: point, take back, start anew, clear.

use std::sync::Arc;
use std::time::Instant;

use super::decoder::{CHUNK, Worker};
use crate::engine::kept::KeptFrame;
use crate::engine::refusal::Refusal;
use crate::engine::request::{Interaction, Operation, Persistence};
use crate::engine::result::{Event, Source, StageMs};
use crate::prompt::Point;

impl Worker<'_> {
    pub(super) fn interact(
        &mut self,
        what: Interaction,
        frame: Option<Arc<KeptFrame>>,
        since: Instant,
    ) -> Result<(), Refusal> {
        match what {
            // It is another one by now.
            Interaction::Later(_) => Ok(()),
            Interaction::NewObject => self.new_object(frame, since),
            Interaction::Clear | Interaction::Prompts { operation: Operation::Clear, .. } => {
                self.results.clear();
                self.history.clear();
                self.objects.clear();
                self.show_again(frame, true, since)
            }
            Interaction::Undo { reply } => {
                let answer = self.undo(frame, since);
                // Whoever asked may be gone by now.
                let _ = reply.send(answer);
                Ok(())
            }
            what => self.prompt(what, frame, since),
        }
    }

    fn new_object(&mut self, newest: Option<Arc<KeptFrame>>, since: Instant) -> Result<(), Refusal> {
        let Some(corner) = self.objects.new_object() else { return Ok(()) };
        self.forgot_corner(&corner.point);
        self.show_again(newest, false, since)
    }

    pub(super) fn forgot_corner(&self, corner: &Point) {
        (self.events)(Event::Note(format!("the first corner of a box, at ({}, {}), is forgotten", corner.x, corner.y)));
    }

    /// Takes the last prompt back, and says so in words.
    fn undo(&mut self, newest: Option<Arc<KeptFrame>>, since: Instant) -> Result<String, String> {
        if let Some(corner) = self.objects.corner.take() {
            self.show_again(newest, false, since).map_err(|refusal| refusal.message)?;
            let Point { x, y, .. } = corner.point;
            return Ok(format!("took back the first corner of a box, at ({x}, {y})"));
        }
        let memories = self.memories();
        let undone = self.history.undo(&mut self.objects).ok_or("there is no prompt to take back")?;
        self.take_back(&undone.ids, memories);
        for id in &undone.ids {
            self.results.forget(*id);
        }
        let mut frames: Vec<_> =
            undone.frames.iter().filter_map(|n| self.shared.lock().kept.numbered(*n).cloned()).collect();
        frames.retain(|f| newest.as_ref().is_none_or(|n| n.number != f.number));
        for frame in frames.into_iter().map(Some).chain([newest]) {
            if let Err(refusal) = self.show_again(frame, true, since) {
                self.refuse(refusal);
            }
        }
        Ok(undone.what)
    }

    /// The answer on a frame once more, after something about its objects has changed.
    fn show_again(&mut self, frame: Option<Arc<KeptFrame>>, prompted: bool, since: Instant) -> Result<(), Refusal> {
        let Some(frame) = frame else { return Ok(()) };
        let tracking = self.is_newest(&frame);
        let (followed, mut due) = self.split(&self.due(&frame, tracking));
        let is_whole = due.len() <= CHUNK && followed.is_empty();
        due.truncate(CHUNK);
        let (count, mut ms) = self.decode_due(&due, &frame, tracking)?;
        ms.total = self.shared.clock.ms_since(since);
        self.answered(&frame, ms, prompted, count, is_whole);
        Ok(())
    }

    /// Publishes the answer to a prompt. The camera's new frame needs no other one when this was it; objects that it
    /// lacks (`is_whole`: none) follow when it is their turn.
    pub(super) fn answered(
        &mut self,
        frame: &Arc<KeptFrame>,
        ms: StageMs,
        prompted: bool,
        count: usize,
        is_whole: bool,
    ) {
        self.publish(frame, Source::Prompt, ms, prompted, count);
        let tracks = self.objects.iter().any(|o| o.persistence == Persistence::Track);
        let mut state = self.shared.lock();
        if !is_whole {
            state.finish_later(frame);
        } else if state.fresh.as_ref().is_some_and(|f| f.number == frame.number) && !tracks {
            state.fresh = None;
        }
    }
}
