//! Objects with persistence `track` and a model with memory: memories of earlier frames condition the current frame.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::debug_span;

use super::decoder::{Worker, bad_prompt, unknown_object};
use crate::engine::kept::KeptFrame;
use crate::engine::objects::{
    FramePrompt, MemorySnapshot, Object, ObjectMemory, ObjectSet, lost_result, object_result, prompt_from_mask,
    score_below_zero, update_previous_mask,
};
use crate::engine::persistence::Persistence;
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::result::{Event, ObjectResult, StageMs};
use crate::engine::settings::NO_MEMORY;
use crate::model::network::{Network, StepTimings};
use crate::model::{Candidate, Decoded, Error};
use crate::pixels::{Geometry, SquareMask};
use crate::prompt::{LowResLogits, Prompt};
use crate::video::{Direction, TrackedMask, separate};

/// Output of the tracker for an object, and the stored result.
struct FollowedObject {
    result: Arc<ObjectResult>,
    tracked: TrackedMask,
}

impl Worker<'_> {
    /// Returns whether the object is followed by memory.
    pub(super) fn follows_by_memory(&self, object: &Object) -> bool {
        self.memory_spec.is_some() && object.persistence == Persistence::Track
    }

    /// Runs a step of the tracker, which is one turn on the decoder.
    fn with_network<T>(
        &self,
        frame: &KeptFrame,
        run: impl FnOnce(&mut dyn Network) -> Result<T, Error>,
    ) -> Result<T, Refusal> {
        self.check_running()?;
        // Other cameras may take the decoder between two objects.
        let mut decoder = self.decoder.session.blocking_lock();
        let _span = debug_span!("follow", stamp = %frame.header.stamp).entered();
        let caught = self.shared.catch("the tracker", || match decoder.network() {
            Some(network) => run(network).map_err(|e| e.to_string()),
            None => Err("the model has no memory any more".to_owned()),
        });
        caught.and_then(|result| result).map_err(|e| Refusal::new(RefusalKind::ModelFailed, e))
    }

    /// Prompts the tracker of an object in `objects` on a frame.
    ///
    /// # Errors
    /// Too many objects are followed, or the model fails. The object may be half changed then: call this method on a copy.
    pub(super) fn prompt_followed(
        &mut self,
        objects: &mut ObjectSet,
        id: u32,
        frame: &KeptFrame,
    ) -> Result<(Decoded, StageMs), Refusal> {
        let max_objects = self.settings.track.max_objects;
        let others = objects.iter().filter(|o| o.id != id && o.memory.is_some()).count();
        let Some(object) = objects.get_mut(id) else {
            return Err(unknown_object(id));
        };
        if object.memory.is_none() && others >= max_objects {
            let message = format!(
                "object {id} would be more than the {max_objects} that are followed at a time (track.max_objects): remove some, or clear them"
            );
            return Err(Refusal::new(RefusalKind::TooManyObjects, message));
        }
        let prompt = FramePrompt::new(self.objects.get(id), object, frame.number);
        let mut memory = object.memory.take().unwrap_or_default();
        let tracked = self.prompt_track(&mut memory, &prompt, frame)?;
        object.memory = Some(memory);
        object.frame_prompt = prompt.prompt;
        let ms = track_ms(tracked.timings);
        Ok((self.upscale(&tracked, &frame.embedding.geometry), ms))
    }

    /// Prompts the track in `memory` on a frame.
    fn prompt_track(
        &mut self,
        memory: &mut ObjectMemory,
        prompt: &FramePrompt,
        frame: &KeptFrame,
    ) -> Result<TrackedMask, Refusal> {
        let position = self.positions.position(frame.number);
        memory.prompted.insert(position, frame.number);
        let track = &mut memory.track;
        let Some(spec) = self.memory_spec else {
            return Err(Refusal::new(RefusalKind::ModelFailed, "the model has no memory"));
        };
        track.set_limits(self.settings.track.limits(), self.settings.track.fill_holes);
        self.with_network(frame, |network| {
            let mask = prompt.new_mask.as_ref().and_then(|m| SquareMask::from_logits(&m.data, m.side, spec.image_side));
            if let Some(mask) = mask {
                let tracked = track.mask(network, position, &frame.embedding, &mask)?;
                if prompt.prompt.points.is_empty() && prompt.prompt.bbox.is_none() {
                    return Ok(tracked);
                }
            }
            track.prompt(network, position, &frame.embedding, &prompt.prompt)
        })
    }

    /// Follows objects to a frame, one after the other, and answers prompts in between. Returns the number of followed
    /// objects.
    pub(super) fn follow(&mut self, ids: &[u32], frame: &KeptFrame) -> (usize, StageMs) {
        let (mut followed, mut count, mut ms) = (Vec::new(), 0, StageMs::default());
        for (i, id) in ids.iter().enumerate() {
            if i > 0 {
                self.answer_prompts();
            }
            // A prompt may have removed or replaced the object, or added its result.
            let is_due = self.objects.get(*id).is_some_and(|o| self.follows_by_memory(o))
                && !self.results.contains(frame.number, *id);
            if !is_due {
                continue;
            }
            self.scale_prompts(frame);
            let tracked = self.follow_one(*id, frame);
            if self.shared.is_stopped() {
                break;
            }
            if let Ok(tracked) = &tracked {
                ms = ms.plus_decoding(track_ms(tracked.timings));
            }
            let tracked = tracked.map_err(|refusal| {
                let message = refusal.message.clone();
                if refusal.kind == RefusalKind::ModelFailed {
                    self.refuse(refusal);
                }
                message
            });
            // The result is stored before the next prompt, which may replace it.
            followed.extend(self.keep_followed(*id, tracked, frame));
            count += 1;
        }
        if self.settings.track.separate {
            self.separate_followed(followed, frame);
        }
        (count, ms)
    }

    /// Follows an object to a frame.
    fn follow_one(&mut self, id: u32, frame: &KeptFrame) -> Result<TrackedMask, Refusal> {
        let object = self.objects.get(id).ok_or_else(|| unknown_object(id))?;
        let image = frame.embedding.image_size();
        if !object.fits(image) {
            return Err(Refusal::new(RefusalKind::BadImage, object.other_picture(image)));
        }
        let Some(mut memory) = object.memory.clone() else {
            return self.start_from_mask(id, frame);
        };
        let track = &mut memory.track;
        track.set_limits(self.settings.track.limits(), self.settings.track.fill_holes);
        let mut ms = StepTimings::default();
        for position in track.unsettled() {
            let prompted = memory.prompted.get(&position);
            let prompted = prompted.and_then(|number| self.shared.lock().kept.numbered(*number).cloned());
            match prompted {
                Some(prompted) => {
                    ms += self.with_network(frame, |n| track.settle(n, position, &prompted.embedding))?;
                    track.visit(position);
                }
                // The prompted frame is gone before its memory was encoded. The other memories remain.
                None => drop(track.forget(position)),
            }
        }
        memory.prompted.clear();
        let position = self.positions.position(frame.number);
        let stepped = self.with_network(frame, |n| track.step(n, position, &frame.embedding, Direction::Forward))?;
        let Some(mut tracked) = stepped else {
            return self.start_from_mask(id, frame);
        };
        tracked.timings += ms;
        if let Some(object) = self.objects.get_mut(id) {
            object.memory = Some(memory);
        }
        Ok(tracked)
    }

    /// Starts the memory of an object from its last mask, or from its prompts if it has no mask.
    fn start_from_mask(&mut self, id: u32, frame: &KeptFrame) -> Result<TrackedMask, Refusal> {
        let object = self.objects.get(id).ok_or_else(|| unknown_object(id))?;
        let geometry = &frame.embedding.geometry;
        let from_mask = prompt_from_mask(object, geometry, self.mask_threshold).map(|p| Prompt { mask: None, ..p });
        let (width, height) = geometry.image;
        let prompt = from_mask.unwrap_or_else(|| object.repeated_prompt.clone());
        let prompt = prompt.check(width, height).map_err(|e| bad_prompt(e.to_string()))?;
        let prompt = FramePrompt { new_mask: prompt.mask.clone(), prompt };
        let mut memory = ObjectMemory::default();
        let tracked = self.prompt_track(&mut memory, &prompt, frame)?;
        if let Some(object) = self.objects.get_mut(id) {
            object.memory = Some(memory);
        }
        Ok(tracked)
    }

    /// Stores the result of an object that was followed to a frame. An error is the reason why it is lost.
    fn keep_followed(
        &mut self,
        id: u32,
        tracked: Result<TrackedMask, String>,
        frame: &KeptFrame,
    ) -> Option<FollowedObject> {
        let reason = match &tracked {
            Ok(tracked) if tracked.is_there() => None,
            Ok(tracked) => Some(score_below_zero(tracked.object_score)),
            Err(reason) => Some(reason.clone()),
        };
        let tracked = tracked.ok();
        let decoded = tracked.as_ref().map(|tracked| self.upscale(tracked, &frame.embedding.geometry));
        self.set_lost(id, reason.as_deref());
        let object = self.objects.get_mut(id)?;
        let result = match decoded {
            Some(decoded) => {
                if reason.is_none() {
                    update_previous_mask(object, &decoded);
                }
                let shown =
                    if object.prompted_on == Some(frame.number) { &object.frame_prompt } else { &Prompt::default() };
                ObjectResult { lost: reason, ..object_result(object, shown, decoded) }
            }
            None => lost_result(object, frame.embedding.image_size(), reason.unwrap_or_default()),
        };
        let result = self.results.keep(frame.number, result);
        Some(FollowedObject { result, tracked: tracked? })
    }

    /// Assigns each pixel to at most one of the followed objects. Objects with a newer result are left out.
    fn separate_followed(&mut self, mut followed: Vec<FollowedObject>, frame: &KeptFrame) {
        followed.retain(|f| self.results.is_current(frame.number, &f.result));
        let mut masks: Vec<Vec<f32>> = followed.iter().map(|f| f.tracked.mask.to_vec()).collect();
        separate(&mut masks.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        for (FollowedObject { result, tracked }, mask) in followed.into_iter().zip(masks) {
            let decoded = self.upscale(&TrackedMask { mask: mask.into(), ..tracked }, &frame.embedding.geometry);
            let Candidate { mask, certain, .. } = decoded.best;
            self.results.keep(frame.number, ObjectResult { mask, certain, ..(*result).clone() });
        }
    }

    /// Converts the output of the tracker to an output of the decoder, with the mask at the size of the image.
    fn upscale(&mut self, tracked: &TrackedMask, geometry: &Geometry) -> Decoded {
        let side = self.low_res_side;
        let needs_certain = self.needs_certain_masks();
        let upscaler = self.upscaler.get(side, geometry);
        let (threshold, offset) = (self.mask_threshold, self.settings.stability_offset);
        let mask = upscaler.mask(&tracked.mask, threshold, offset);
        let certain = needs_certain.then(|| upscaler.certain_mask(&tracked.mask, threshold, offset));
        let low_res = LowResLogits { side, data: tracked.mask.iter().map(|v| v.clamp(-32.0, 32.0)).collect() };
        let best = Candidate { index: 0, iou: tracked.iou, mask, certain, low_res, logits: None };
        Decoded {
            best,
            others: Vec::new(),
            candidate_ious: vec![tracked.iou],
            object_score: Some(tracked.object_score),
        }
    }

    /// Notifies the owner once if objects are tracked and the model has no memory.
    pub(super) fn note_missing_memory(&mut self, objects: &ObjectSet, changed: &[u32]) {
        let is_tracked = |id: &u32| objects.get(*id).is_some_and(|o| o.persistence == Persistence::Track);
        if self.memory_spec.is_none() && !self.is_missing_memory_noted && changed.iter().any(is_tracked) {
            self.is_missing_memory_noted = true;
            let message = format!(
                "persistence 'track': {NO_MEMORY}, so that each mask prompts the next frame; models with memory (SAM 2, EdgeTAM) follow through occlusions"
            );
            (self.events)(Event::Note(message));
        }
    }

    /// Returns the memories of the objects, before a prompt is undone.
    pub(super) fn memory_snapshots(&self) -> BTreeMap<u32, MemorySnapshot> {
        let snapshot = |o: &Object| {
            let memory = o.memory.clone()?;
            Some((o.id, MemorySnapshot { prompted_on: o.prompted_on, image_size: o.image_size, memory }))
        };
        self.objects.iter().filter_map(snapshot).collect()
    }

    /// Restores the memories of objects whose last prompt was undone, without the memory of that prompt. Earlier prompts on
    /// the same frame, including a mask, prompt the track again.
    pub(super) fn restore_memories(&mut self, ids: &[u32], mut memories: BTreeMap<u32, MemorySnapshot>) {
        for id in ids {
            let Some(object) = self.objects.get(*id).filter(|o| self.follows_by_memory(o)) else { continue };
            let (prompted_on, earlier, size) = (object.prompted_on, object.frame_prompt.clone(), object.image_size);
            // A memory of an image of another aspect ratio does not belong to this object.
            let snapshot = memories.remove(id).filter(|s| object.fits(s.image_size));
            let Some(MemorySnapshot { prompted_on: Some(number), mut memory, .. }) = snapshot else { continue };
            let position = self.positions.position(number);
            let mut has_memories = memory.track.forget(position);
            if let Some(number) = prompted_on.filter(|number| self.positions.position(*number) == position)
                && let Some(frame) = { self.shared.lock().kept.numbered(number).cloned() }
            {
                let prompt = earlier.scaled(size, frame.embedding.image_size());
                let prompt = FramePrompt { new_mask: earlier.mask.clone(), prompt };
                match self.prompt_track(&mut memory, &prompt, &frame) {
                    Ok(_) => has_memories = true,
                    Err(refusal) => self.refuse(refusal),
                }
            }
            if let Some(object) = self.objects.get_mut(*id).filter(|_| has_memories) {
                object.memory = Some(memory);
            }
        }
    }
}

/// Returns the durations of a step of the tracker.
fn track_ms(ms: StepTimings) -> StageMs {
    StageMs { decode: ms.attention_ms + ms.decoder_ms + ms.memory_encoder_ms, ..StageMs::default() }
}
