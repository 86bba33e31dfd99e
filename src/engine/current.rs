//! The objects that live on: on every frame by the same prompt (`hold`), or by their last mask (`track`).

use std::sync::Arc;

use super::command::{ObjectResult, Persistence, Refusal, Source, StageMs};
use super::decode::{CHUNK, Worker, encoding_ms};
use super::feedback;
use super::kept::KeptFrame;
use super::objects::Object;
use super::results::{lost, remember, result_of, tell_lost};
use crate::model::Decoded;
use crate::pixels::Mask;
use crate::prompt::Prompt;

/// An object that belongs on a frame and was not decoded there yet.
pub(super) struct Due {
    pub id: u32,
    pub prompt: Prompt,
    /// The prompt is made of the object's last mask: it may turn out to be lost.
    follows: bool,
}

impl Worker<'_> {
    /// Ids of the objects that belong into any answer on the frame. With `tracking`, also those that move on to it.
    pub(super) fn due(&self, frame: &KeptFrame, tracking: bool) -> Vec<u32> {
        self.objects.iter().filter(|o| self.is_due(o, frame, tracking)).map(|o| o.id).collect()
    }

    fn is_due(&self, object: &Object, frame: &KeptFrame, tracking: bool) -> bool {
        let here = object.prompted_on == Some(frame.number);
        let belongs = match object.persistence {
            Persistence::Once => here,
            Persistence::Hold => true,
            Persistence::Track => here || tracking,
        };
        belongs && !self.results.contains(frame.number, object.id)
    }

    /// What objects are to be decoded with, but for those that are not due any more.
    pub(super) fn prompts_of(&self, ids: &[u32], frame: &KeptFrame, tracking: bool) -> Vec<Due> {
        let (width, height) = frame.embedding.image_size();
        let objects = ids.iter().filter_map(|id| self.objects.get(*id)).filter(|o| self.is_due(o, frame, tracking));
        let due = |object: &Object| {
            let follows = object.persistence == Persistence::Track && object.prompted_on != Some(frame.number);
            // Without a mask to follow, the prompts say where to look.
            let followed = || feedback::follow(object, &frame.embedding.geometry, self.mask_threshold);
            let prompt = follows.then(followed).flatten().unwrap_or_else(|| object.held.clone());
            // What does not fit a camera that changed its size is silent here: it was said when it came.
            prompt.check(width, height).ok().map(|prompt| Due { id: object.id, prompt, follows })
        };
        objects.filter_map(due).collect()
    }

    /// Takes the answers for objects that were due.
    pub(super) fn settle(&mut self, frame: &KeptFrame, due: &[Due], decoded: Vec<Decoded>) {
        for (due, decoded) in due.iter().zip(decoded) {
            let Some(object) = self.objects.get_mut(due.id) else { continue };
            let reason = if due.follows { lost(object, &decoded, &self.settings) } else { None };
            if due.follows {
                tell_lost(object, reason.as_deref(), self.events);
                if reason.is_none() {
                    remember(object, &decoded);
                }
            }
            let shown = if due.follows { &due.prompt } else { &object.prompt };
            let mut result = result_of(object, shown, decoded);
            if reason.is_some() {
                let (width, height) = (result.mask.width, result.mask.height);
                result = ObjectResult { mask: Mask::empty(width, height), lost: reason, points: Vec::new(), ..result };
            }
            self.results.keep(frame.number, result);
        }
    }

    /// Decodes what is due on a frame, and answers clicks between two turns. Returns how many there were.
    pub(super) fn catch_up(&mut self, frame: &KeptFrame, tracking: bool) -> Result<(usize, StageMs), Refusal> {
        self.results.begin(frame.number);
        let (followed, ids) = self.split(&self.due(frame, tracking));
        let (mut count, mut ms) = (0, encoding_ms(frame));
        for (i, ids) in ids.chunks(CHUNK).enumerate() {
            if i > 0 {
                self.answer_clicks();
            }
            let (decoded, turn) = self.decode_due(ids, frame, tracking)?;
            count += decoded;
            ms = ms.then(turn);
        }
        if !followed.is_empty() {
            self.answer_clicks();
            let (followed, turn) = self.follow(&followed, frame);
            count += followed;
            ms.decode += turn.decode;
        }
        self.go_on()?;
        Ok((count, ms))
    }

    /// Those that are followed by memory, and the others.
    pub(super) fn split(&self, ids: &[u32]) -> (Vec<u32>, Vec<u32>) {
        ids.iter().partition(|id| self.objects.get(**id).is_some_and(|o| self.follows(o)))
    }

    /// Decodes objects that are due, in one turn.
    pub(super) fn decode_due(
        &mut self,
        ids: &[u32],
        frame: &KeptFrame,
        tracking: bool,
    ) -> Result<(usize, StageMs), Refusal> {
        let due = self.prompts_of(ids, frame, tracking);
        let prompts: Vec<Prompt> = due.iter().map(|d| d.prompt.clone()).collect();
        let (decoded, ms) = self.decode(frame, &prompts, false)?;
        self.settle(frame, &due, decoded);
        Ok((due.len(), ms))
    }

    /// The objects that live on, on a new frame of the camera.
    pub(super) fn decode_current(&mut self, frame: &Arc<KeptFrame>) {
        self.forget_passed();
        match self.catch_up(frame, true) {
            Ok((count, mut ms)) => {
                ms.total = self.shared.clock.ms_since(frame.arrived);
                self.publish(frame, Source::Camera, ms, count > 0, count);
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// The objects that an answer on this frame left out.
    pub(super) fn finish(&mut self, frame: &Arc<KeptFrame>) {
        let start = self.shared.clock.now();
        match self.catch_up(frame, self.is_newest(frame)) {
            Ok((0, _)) => {}
            Ok((count, mut ms)) => {
                ms.total = self.shared.clock.ms_since(start);
                self.publish(frame, Source::Prompt, ms, true, count);
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    pub(super) fn is_newest(&self, frame: &KeptFrame) -> bool {
        self.shared.lock().kept.newest().is_some_and(|f| f.number == frame.number)
    }

    /// Objects of one frame go with their frame: a program that prompts every frame anew fills no memory.
    pub(super) fn forget_passed(&mut self) {
        let shared = self.shared;
        if self.objects.iter().any(|o| o.persistence == Persistence::Once) {
            let state = shared.lock();
            let is_kept = |o: &Object| o.prompted_on.is_some_and(|number| state.kept.numbered(number).is_some());
            self.objects.retain(|o| o.persistence != Persistence::Once || is_kept(o));
        }
    }
}
