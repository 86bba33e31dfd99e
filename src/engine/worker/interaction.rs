//! Interactions with the current objects that carry no prompt: start an object, clear, undo.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::decoder::{MAX_OBJECTS_PER_TURN, Worker};
use crate::engine::kept::KeptFrame;
use crate::engine::objects::{MemorySnapshot, Undone};
use crate::engine::persistence::Persistence;
use crate::engine::refusal::Refusal;
use crate::engine::request::{Interaction, Operation, OperatorRequest};
use crate::engine::result::{Event, ResultSource, StageMs};
use crate::prompt::Point;

impl Worker<'_> {
    /// Performs an interaction. `frame`: frame of a prompt, or the newest frame for other interactions.
    ///
    /// # Errors
    /// A prompt is refused, or the model fails.
    pub(super) fn interact(
        &mut self,
        interaction: Interaction,
        frame: Option<Arc<KeptFrame>>,
        since: Instant,
    ) -> Result<(), Refusal> {
        match interaction {
            // Deferred prompts are resolved before their turn.
            Interaction::Deferred(_) => Ok(()),
            Interaction::NewObject => self.new_object(frame, since),
            Interaction::Clear | Interaction::Prompts { operation: Operation::Clear, .. } => self.clear(frame, since),
            Interaction::Undo { reply } => {
                let answer = self.undo(frame, since);
                // The receiver may have been dropped.
                let _ = reply.send(answer);
                Ok(())
            }
            Interaction::Operator(OperatorRequest { action, shown, reply }) => {
                let shown = shown.filter(|_| action.changes_all_frames());
                let answer = self.operate(action, frame, since);
                if answer.is_ok() {
                    self.publish_shown(shown, since);
                }
                self.answer_operator(reply, answer);
                Ok(())
            }
            prompt => self.prompt(prompt, frame, since).map(|_| ()),
        }
    }

    /// Removes all objects and the steps of `undo`.
    pub(super) fn clear(&mut self, newest: Option<Arc<KeptFrame>>, since: Instant) -> Result<(), Refusal> {
        self.results.clear();
        self.history.clear();
        self.objects.clear();
        self.publish_again(newest, true, since)
    }

    fn new_object(&mut self, newest: Option<Arc<KeptFrame>>, since: Instant) -> Result<(), Refusal> {
        let Some(corner) = self.objects.new_object() else { return Ok(()) };
        self.note_dropped_corner(&corner.point);
        self.publish_again(newest, false, since)
    }

    pub(super) fn note_dropped_corner(&self, corner: &Point) {
        (self.events)(Event::Note(format!("the first corner of a box, at ({}, {}), is forgotten", corner.x, corner.y)));
    }

    /// Undoes the last prompt. Returns a description of the prompt, or why there is none.
    pub(super) fn undo(&mut self, newest: Option<Arc<KeptFrame>>, since: Instant) -> Result<String, String> {
        if let Some(corner) = self.objects.corner.take() {
            self.publish_again(newest, false, since).map_err(|refusal| refusal.message)?;
            let Point { x, y, .. } = corner.point;
            return Ok(format!("took back the first corner of a box, at ({x}, {y})"));
        }
        let memories = self.memory_snapshots();
        let undone = self.history.undo(&mut self.objects).ok_or("there is no prompt to take back")?;
        Ok(self.publish_restored(undone, memories, newest, since))
    }

    /// Repeats the last prompt that was undone. Returns a description of the prompt, or why there is none.
    pub(super) fn redo(&mut self, newest: Option<Arc<KeptFrame>>, since: Instant) -> Result<String, String> {
        let memories = self.memory_snapshots();
        let redone = self.history.redo(&mut self.objects).ok_or("there is no undone prompt to repeat")?;
        Ok(self.publish_restored(redone, memories, newest, since))
    }

    /// Publishes the frames of objects that `undo` or `redo` restored. Returns the description of the step.
    fn publish_restored(
        &mut self,
        undone: Undone,
        memories: BTreeMap<u32, MemorySnapshot>,
        newest: Option<Arc<KeptFrame>>,
        since: Instant,
    ) -> String {
        self.restore_memories(&undone.ids, memories);
        for id in &undone.ids {
            self.results.remove(*id);
        }
        let mut frames: Vec<_> =
            undone.frames.iter().filter_map(|n| self.shared.lock().kept.numbered(*n).cloned()).collect();
        frames.retain(|f| newest.as_ref().is_none_or(|n| n.number != f.number));
        for frame in frames.into_iter().map(Some).chain([newest]) {
            if let Err(refusal) = self.publish_again(frame, true, since) {
                self.refuse(refusal);
            }
        }
        undone.description
    }

    /// Publishes the results on a frame again after its objects changed.
    pub(super) fn publish_again(
        &mut self,
        frame: Option<Arc<KeptFrame>>,
        prompted: bool,
        since: Instant,
    ) -> Result<(), Refusal> {
        let Some(frame) = frame else { return Ok(()) };
        let tracking = self.is_newest(&frame);
        let (followed, mut due) = self.split_by_memory(&self.due(&frame, tracking));
        let is_complete = due.len() <= MAX_OBJECTS_PER_TURN && followed.is_empty();
        due.truncate(MAX_OBJECTS_PER_TURN);
        let (count, mut ms) = self.decode_due(&due, &frame, tracking)?;
        ms.total = self.shared.clock.ms_since(since);
        self.publish_answer(&frame, ms, prompted, count, is_complete);
        Ok(())
    }

    /// Publishes the answer to a prompt. A complete answer on the camera's new frame replaces the decoding of that frame; the
    /// objects that an incomplete answer lacks are decoded in a later turn.
    pub(super) fn publish_answer(
        &mut self,
        frame: &Arc<KeptFrame>,
        ms: StageMs,
        prompted: bool,
        count: usize,
        is_complete: bool,
    ) {
        self.publish(frame, ResultSource::Prompt, ms, prompted, count);
        let has_tracked = self.objects.iter().any(|o| o.persistence == Persistence::Track);
        let mut state = self.shared.lock();
        if !is_complete {
            state.finish_later(frame);
        } else if state.fresh.as_ref().is_some_and(|f| f.number == frame.number) && !has_tracked {
            state.fresh = None;
        }
    }
}
