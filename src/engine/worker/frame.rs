//! Objects on a new frame: with persistence `hold` by the same prompt, with `track` by their last mask.

use std::sync::Arc;

use super::decoder::{MAX_OBJECTS_PER_TURN, Worker, encoding_ms};
use crate::engine::kept::KeptFrame;
use crate::engine::objects::{Object, loss_reason, lost_result, object_result, prompt_from_mask, update_previous_mask};
use crate::engine::persistence::Persistence;
use crate::engine::refusal::Refusal;
use crate::engine::result::{Event, ObjectResult, ResultSource, StageMs};
use crate::model::Decoded;
use crate::pixels::Mask;
use crate::prompt::Prompt;

/// An object that is decoded on a frame.
pub(super) struct Due {
    pub id: u32,
    pub prompt: Prompt,
    /// The prompt comes from the last mask of a tracked object, which may be lost on the frame.
    is_tracked: bool,
}

/// Objects that belong on a frame and have no result on it yet.
#[derive(Default)]
pub(super) struct DueObjects {
    pub decoded: Vec<Due>,
    /// Ids of objects that cannot be decoded on the frame, with the reason.
    pub lost: Vec<(u32, String)>,
}

impl DueObjects {
    pub fn count(&self) -> usize {
        self.decoded.len() + self.lost.len()
    }

    pub fn prompts(&self) -> impl Iterator<Item = Prompt> {
        self.decoded.iter().map(|d| d.prompt.clone())
    }
}

impl Worker<'_> {
    /// Returns the ids of the objects that every answer on the frame includes and that have no result on it. With `tracking`
    /// these include the objects that are tracked to the frame.
    pub(super) fn due(&self, frame: &KeptFrame, tracking: bool) -> Vec<u32> {
        self.objects.iter().filter(|o| self.is_due(o, frame, tracking)).map(|o| o.id).collect()
    }

    fn is_due(&self, object: &Object, frame: &KeptFrame, tracking: bool) -> bool {
        let is_prompted = object.prompted_on == Some(frame.number);
        let belongs = match object.persistence {
            Persistence::Once => is_prompted,
            Persistence::Hold => true,
            Persistence::Track => is_prompted || tracking,
        };
        belongs && !self.results.contains(frame.number, object.id)
    }

    /// Scales the prompts of the objects on a frame to its image size, which the camera may have changed. Objects of another
    /// aspect ratio are not changed.
    pub(super) fn scale_prompts(&mut self, frame: &KeptFrame) {
        let prompted = frame.prompted();
        let Some((count, (w, h))) = self.objects.scale_to(&prompted) else { return };
        let (width, height) = prompted.size;
        let message = format!(
            "the camera's picture was {w}x{h} and is {width}x{height} now: the prompts of {count} objects are scaled"
        );
        (self.events)(Event::Note(message));
    }

    /// Returns the prompts of objects that are still due.
    pub(super) fn due_prompts(&mut self, ids: &[u32], frame: &KeptFrame, tracking: bool) -> DueObjects {
        self.scale_prompts(frame);
        let (width, height) = frame.embedding.image_size();
        let mut due = DueObjects::default();
        let objects = ids.iter().filter_map(|id| self.objects.get(*id)).filter(|o| self.is_due(o, frame, tracking));
        for object in objects {
            if !object.fits((width, height)) {
                due.lost.push((object.id, object.other_picture((width, height))));
                continue;
            }
            let is_tracked = object.persistence == Persistence::Track && object.prompted_on != Some(frame.number);
            // Without a mask the object is decoded from its prompts.
            let tracked = || prompt_from_mask(object, &frame.embedding.geometry, self.mask_threshold);
            let prompt = is_tracked.then(tracked).flatten().unwrap_or_else(|| object.repeated_prompt.clone());
            match prompt.check(width, height) {
                Ok(prompt) => due.decoded.push(Due { id: object.id, prompt, is_tracked }),
                Err(e) => due.lost.push((object.id, e.to_string())),
            }
        }
        due
    }

    /// Sets whether an object is lost, with the reason. A change is counted and reported.
    pub(super) fn set_lost(&mut self, id: u32, reason: Option<&str>) {
        let Some(object) = self.objects.get_mut(id).filter(|o| o.lost != reason.is_some()) else { return };
        object.lost = reason.is_some();
        if object.lost {
            self.shared.lock().metrics.objects_lost += 1;
        }
        (self.events)(Event::Tracking { id, lost: reason.is_some(), reason: reason.unwrap_or_default().to_owned() });
    }

    /// Stores the results of objects that were due.
    pub(super) fn keep_decoded(&mut self, frame: &KeptFrame, due: DueObjects, decoded: Vec<Decoded>) {
        for (id, reason) in due.lost {
            self.set_lost(id, Some(&reason));
            let Some(object) = self.objects.get(id) else { continue };
            self.results.keep(frame.number, lost_result(object, frame.embedding.image_size(), reason));
        }
        for (due, decoded) in due.decoded.iter().zip(decoded) {
            let Some(object) = self.objects.get(due.id) else { continue };
            let reason = if due.is_tracked { loss_reason(object, &decoded, &self.settings) } else { None };
            self.set_lost(due.id, reason.as_deref());
            let Some(object) = self.objects.get_mut(due.id) else { continue };
            if due.is_tracked && reason.is_none() {
                update_previous_mask(object, &decoded);
            }
            let shown = if due.is_tracked { &due.prompt } else { &object.prompt };
            let mut result = object_result(object, shown, decoded);
            if reason.is_some() {
                let (width, height) = (result.mask.width, result.mask.height);
                let mask = Mask::empty(width, height);
                result = ObjectResult { mask, certain: None, lost: reason, points: Vec::new(), ..result };
            }
            self.results.keep(frame.number, result);
        }
    }

    /// Decodes all objects that are due on a frame, and answers prompts between two turns. Returns the number of objects.
    pub(super) fn decode_all_due(&mut self, frame: &KeptFrame, tracking: bool) -> Result<(usize, StageMs), Refusal> {
        self.results.begin(frame.number);
        let (followed, ids) = self.split_by_memory(&self.due(frame, tracking));
        let (mut count, mut ms) = (0, encoding_ms(frame));
        for (i, ids) in ids.chunks(MAX_OBJECTS_PER_TURN).enumerate() {
            if i > 0 {
                self.answer_prompts();
            }
            let (decoded, turn) = self.decode_due(ids, frame, tracking)?;
            count += decoded;
            ms = ms.plus_decoding(turn);
        }
        if !followed.is_empty() {
            self.answer_prompts();
            let (followed, turn) = self.follow(&followed, frame);
            count += followed;
            ms.decode += turn.decode;
        }
        self.check_running()?;
        Ok((count, ms))
    }

    /// Splits ids into objects that are followed by memory, and other objects.
    pub(super) fn split_by_memory(&self, ids: &[u32]) -> (Vec<u32>, Vec<u32>) {
        ids.iter().partition(|id| self.objects.get(**id).is_some_and(|o| self.follows_by_memory(o)))
    }

    /// Decodes objects that are due, in one turn. Returns the number of objects.
    pub(super) fn decode_due(
        &mut self,
        ids: &[u32],
        frame: &KeptFrame,
        tracking: bool,
    ) -> Result<(usize, StageMs), Refusal> {
        let due = self.due_prompts(ids, frame, tracking);
        let (prompts, count): (Vec<Prompt>, _) = (due.prompts().collect(), due.count());
        let (decoded, ms) = self.decode(frame, &prompts, false)?;
        self.keep_decoded(frame, due, decoded);
        Ok((count, ms))
    }

    /// Decodes the objects that persist on a new frame of the camera, and publishes the frame.
    pub(super) fn decode_new_frame(&mut self, frame: &Arc<KeptFrame>) {
        self.remove_expired();
        match self.decode_all_due(frame, true) {
            Ok((count, mut ms)) => {
                ms.total = self.shared.clock.ms_since(frame.arrived);
                self.publish(frame, ResultSource::Camera, ms, count > 0, count);
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Decodes the objects that an answer on this frame lacks, and publishes the frame again.
    pub(super) fn finish_frame(&mut self, frame: &Arc<KeptFrame>) {
        let start = self.shared.clock.now();
        match self.decode_all_due(frame, self.is_newest(frame)) {
            Ok((0, _)) => {}
            Ok((count, mut ms)) => {
                ms.total = self.shared.clock.ms_since(start);
                self.publish(frame, ResultSource::Prompt, ms, true, count);
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    pub(super) fn is_newest(&self, frame: &KeptFrame) -> bool {
        self.shared.lock().kept.newest().is_some_and(|f| f.number == frame.number)
    }

    /// Removes objects with persistence `once` whose frame is not kept any more, so that a program that prompts every frame
    /// does not fill the memory.
    pub(super) fn remove_expired(&mut self) {
        let shared = self.shared;
        if self.objects.iter().any(|o| o.persistence == Persistence::Once) {
            let state = shared.lock();
            let is_kept = |o: &Object| o.prompted_on.is_some_and(|number| state.kept.numbered(number).is_some());
            self.objects.retain(|o| o.persistence != Persistence::Once || is_kept(o));
        }
    }
}
