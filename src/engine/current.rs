//! The objects that live on: on every frame by the same prompt (`hold`), or by their last mask (`track`).

use std::sync::Arc;

use super::command::{Event, ObjectResult, Persistence, Refusal, StageMs};
use super::decode::Worker;
use super::feedback;
use super::kept::KeptFrame;
use super::results::{lost, remember, result_of};
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
    /// The objects that belong into any answer on the frame. With `tracking`, also those that move on to it.
    pub(super) fn due(&self, frame: &KeptFrame, tracking: bool) -> Vec<Due> {
        let (stamp, (width, height)) = (frame.header.stamp, frame.embedding.image_size());
        let mut due = Vec::new();
        for object in self.objects.iter().filter(|o| !self.results.contains(stamp, o.id)) {
            let here = object.prompted_on == stamp;
            let follows = object.persistence == Persistence::Track && !here;
            let prompt = match object.persistence {
                Persistence::Once if !here => continue,
                Persistence::Track if follows && !tracking => continue,
                // Without a mask to follow, the prompts say where to look.
                Persistence::Track if follows => {
                    feedback::follow(object, &frame.embedding.geometry, self.mask_threshold)
                        .unwrap_or_else(|| object.held.clone())
                }
                _ => object.held.clone(),
            };
            // What does not fit a camera that changed its size is silent here: it was said when it came.
            due.extend(prompt.check(width, height).ok().map(|prompt| Due { id: object.id, prompt, follows }));
        }
        due
    }

    /// Takes the answers for objects that were due.
    pub(super) fn settle(&mut self, frame: &KeptFrame, due: &[Due], decoded: Vec<Decoded>) {
        for (due, decoded) in due.iter().zip(decoded) {
            let Some(object) = self.objects.get_mut(due.id) else { continue };
            let reason = if due.follows { lost(object, &decoded, &self.settings) } else { None };
            if due.follows && reason.is_some() != object.lost {
                object.lost = reason.is_some();
                let reason = reason.clone().unwrap_or_default();
                (self.events)(Event::Tracking { id: due.id, lost: object.lost, reason });
            }
            if due.follows && reason.is_none() {
                remember(object, &decoded);
            }
            let shown = if due.follows { &due.prompt } else { &object.prompt };
            let mut result = result_of(object, shown, decoded);
            if reason.is_some() {
                let (width, height) = (result.mask.width, result.mask.height);
                let mask = Mask { width, height, area: 0, bbox: None, cropped: Vec::new(), stability: 0.0 };
                result = ObjectResult { mask, lost: reason, points: Vec::new(), ..result };
            }
            self.results.keep(frame.header.stamp, result);
        }
    }

    /// Decodes what is due on a frame. Returns how many there were.
    pub(super) fn catch_up(&mut self, frame: &KeptFrame, tracking: bool) -> Result<(usize, StageMs), Refusal> {
        let due = self.due(frame, tracking);
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
                ms.total = frame.age_ms + ms.decode + ms.postprocess;
                self.publish(frame, ms, count > 0, count);
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Objects of one frame go with their frame: a program that prompts every frame anew fills no memory.
    fn forget_passed(&mut self) {
        let shared = self.shared;
        if self.objects.iter().any(|o| o.persistence == Persistence::Once) {
            let state = shared.lock();
            self.objects.retain(|o| o.persistence != Persistence::Once || state.kept.at(o.prompted_on).is_some());
        }
    }
}
