//! The objects that live on: on every frame by the same prompt (`hold`), or by their last mask (`track`).

use std::sync::Arc;

use super::decoder::{CHUNK, Worker, encoding_ms};
use crate::engine::kept::KeptFrame;
use crate::engine::objects::{self, Object, lost, lost_result, remember, result_of};
use crate::engine::refusal::Refusal;
use crate::engine::request::Persistence;
use crate::engine::result::{Event, ObjectResult, Source, StageMs};
use crate::model::Decoded;
use crate::pixels::Mask;
use crate::prompt::Prompt;

/// An object that is decoded on a frame.
pub(super) struct Due {
    pub id: u32,
    pub prompt: Prompt,
    /// The prompt is made of the object's last mask: it may turn out to be lost.
    follows: bool,
}

/// Objects that belong on a frame and have no result there yet.
#[derive(Default)]
pub(super) struct DueObjects {
    pub decoded: Vec<Due>,
    /// Ids of objects that cannot be decoded there, with the reason.
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

    /// Scales the prompts of the objects on a frame to its picture, whose size the camera may have changed. Objects of a
    /// picture of other proportions stay as they are.
    pub(super) fn scale_prompts(&mut self, frame: &KeptFrame) {
        let prompted = frame.prompted();
        let Some((count, (w, h))) = self.objects.scale_to(&prompted) else { return };
        let (width, height) = prompted.size;
        let message = format!(
            "the camera's picture was {w}x{h} and is {width}x{height} now: the prompts of {count} objects are scaled"
        );
        (self.events)(Event::Note(message));
    }

    /// What objects are decoded with, without those that are not due any more.
    pub(super) fn prompts_of(&mut self, ids: &[u32], frame: &KeptFrame, tracking: bool) -> DueObjects {
        self.scale_prompts(frame);
        let (width, height) = frame.embedding.image_size();
        let mut due = DueObjects::default();
        let objects = ids.iter().filter_map(|id| self.objects.get(*id)).filter(|o| self.is_due(o, frame, tracking));
        for object in objects {
            if !object.fits((width, height)) {
                due.lost.push((object.id, object.other_picture((width, height))));
                continue;
            }
            let follows = object.persistence == Persistence::Track && object.prompted_on != Some(frame.number);
            // Without a mask to follow, the prompts say where to look.
            let followed = || objects::follow(object, &frame.embedding.geometry, self.mask_threshold);
            let prompt = follows.then(followed).flatten().unwrap_or_else(|| object.held.clone());
            match prompt.check(width, height) {
                Ok(prompt) => due.decoded.push(Due { id: object.id, prompt, follows }),
                Err(e) => due.lost.push((object.id, e.to_string())),
            }
        }
        due
    }

    /// Keeps whether an object is lost, and for what `reason`; counts and reports a change.
    pub(super) fn set_lost(&mut self, id: u32, reason: Option<&str>) {
        let Some(object) = self.objects.get_mut(id).filter(|o| o.lost != reason.is_some()) else { return };
        object.lost = reason.is_some();
        if object.lost {
            self.shared.lock().metrics.objects_lost += 1;
        }
        (self.events)(Event::Tracking { id, lost: reason.is_some(), reason: reason.unwrap_or_default().to_owned() });
    }

    /// Takes the answers for objects that were due.
    pub(super) fn settle(&mut self, frame: &KeptFrame, due: DueObjects, decoded: Vec<Decoded>) {
        for (id, reason) in due.lost {
            self.set_lost(id, Some(&reason));
            let Some(object) = self.objects.get(id) else { continue };
            self.results.keep(frame.number, lost_result(object, frame.embedding.image_size(), reason));
        }
        for (due, decoded) in due.decoded.iter().zip(decoded) {
            let Some(object) = self.objects.get(due.id) else { continue };
            let reason = if due.follows { lost(object, &decoded, &self.settings) } else { None };
            self.set_lost(due.id, reason.as_deref());
            let Some(object) = self.objects.get_mut(due.id) else { continue };
            if due.follows && reason.is_none() {
                remember(object, &decoded);
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
        let (prompts, count): (Vec<Prompt>, _) = (due.prompts().collect(), due.count());
        let (decoded, ms) = self.decode(frame, &prompts, false)?;
        self.settle(frame, due, decoded);
        Ok((count, ms))
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
