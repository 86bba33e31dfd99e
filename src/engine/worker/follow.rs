//! Objects of persistence `track` by a model with memory: each is followed by what it looked like on the frames before.
//!
//! Frames count in the order in which objects were followed over them. A frame that came while the last one was at work is
//! skipped, and leaves no gap: memories are of the frames that were processed.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::debug_span;

use super::decoder::{Worker, bad_prompt, unknown};
use crate::engine::kept::KeptFrame;
use crate::engine::objects::{self, Memory, Object, Objects, Remembered, lost_result, not_there, remember, result_of};
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::Persistence;
use crate::engine::result::{Event, ObjectResult, StageMs};
use crate::engine::settings::NO_MEMORY;
use crate::model::network::{Network, StepTimings};
use crate::model::{Candidate, Decoded, Error};
use crate::pixels::{Geometry, SquareMask};
use crate::prompt::{LowResLogits, Prompt};
use crate::video::{Direction, TrackedMask, separate};

/// What was said of an object on the frame that it is prompted on now.
struct Said {
    /// A mask that is new: points and a box refine it.
    mask: Option<LowResLogits>,
    /// All of it.
    prompt: Prompt,
}

/// What the tracker found, and the result that it became.
struct Found {
    result: Arc<ObjectResult>,
    answer: TrackedMask,
}

impl Worker<'_> {
    /// Whether the object is followed by memory.
    pub(super) fn follows(&self, object: &Object) -> bool {
        self.memory.is_some() && object.persistence == Persistence::Track
    }

    fn with_network<T>(
        &self,
        frame: &KeptFrame,
        run: impl FnOnce(&mut dyn Network) -> Result<T, Error>,
    ) -> Result<T, Refusal> {
        self.go_on()?;
        // One object is one turn: other cameras go between two.
        let mut decoder = self.decoder.session.blocking_lock();
        let _span = debug_span!("follow", stamp = %frame.header.stamp).entered();
        let caught = self.shared.catch("the tracker", || match decoder.network() {
            Some(network) => run(network).map_err(|e| e.to_string()),
            None => Err("the model has no memory any more".to_owned()),
        });
        caught.and_then(|done| done).map_err(|e| Refusal::new(RefusalKind::ModelFailed, e))
    }

    /// A prompt of an object that is to be followed, on its frame. `before`: the object as it was.
    ///
    /// # Errors
    /// Too many objects, or the model fails. For a copy that is kept only when all went well.
    pub(super) fn point_at(
        &mut self,
        objects: &mut Objects,
        id: u32,
        frame: &KeptFrame,
    ) -> Result<(Decoded, StageMs), Refusal> {
        let most = self.settings.track.max_objects;
        let others = objects.iter().filter(|o| o.id != id && o.memory.is_some()).count();
        let Some(object) = objects.get_mut(id) else {
            return Err(unknown(id));
        };
        if object.memory.is_none() && others >= most {
            let message = format!(
                "object {id} would be more than the {most} that are followed at a time (track_max_objects): remove some, or clear them"
            );
            return Err(Refusal::new(RefusalKind::TooManyObjects, message));
        }
        let said = said_here(self.objects.get(id), object, frame.number);
        let mut memory = object.memory.take().unwrap_or_default();
        let answer = self.prompt_track(&mut memory, &said, frame)?;
        object.memory = Some(memory);
        object.here = said.prompt;
        let ms = track_ms(answer.timings);
        Ok((self.decoded(&answer, &frame.embedding.geometry), ms))
    }

    fn prompt_track(&mut self, memory: &mut Memory, said: &Said, frame: &KeptFrame) -> Result<TrackedMask, Refusal> {
        let position = self.positions.of(frame.number);
        memory.prompted.insert(position, frame.number);
        let track = &mut memory.track;
        let Some(spec) = self.memory else {
            return Err(Refusal::new(RefusalKind::ModelFailed, "the model has no memory"));
        };
        track.set_limits(self.settings.track.limits(), self.settings.track.fill_holes);
        self.with_network(frame, |network| {
            let mask = said.mask.as_ref().and_then(|m| SquareMask::from_logits(&m.data, m.side, spec.image_side));
            if let Some(mask) = mask {
                let answer = track.mask(network, position, &frame.embedding, &mask)?;
                if said.prompt.points.is_empty() && said.prompt.bbox.is_none() {
                    return Ok(answer);
                }
            }
            track.prompt(network, position, &frame.embedding, &said.prompt)
        })
    }

    /// Follows objects to a frame, one after the other; prompts are answered in between. Returns how many there are now.
    pub(super) fn follow(&mut self, ids: &[u32], frame: &KeptFrame) -> (usize, StageMs) {
        let (mut found, mut count, mut ms) = (Vec::new(), 0, StageMs::default());
        for (i, id) in ids.iter().enumerate() {
            if i > 0 {
                self.answer_clicks();
            }
            // It may be gone, or another one, or here already.
            let due =
                self.objects.get(*id).is_some_and(|o| self.follows(o)) && !self.results.contains(frame.number, *id);
            if !due {
                continue;
            }
            self.scale_prompts(frame);
            let answer = self.follow_one(*id, frame);
            if self.shared.is_stopped() {
                break;
            }
            if let Ok(answer) = &answer {
                ms = ms.then(track_ms(answer.timings));
            }
            let answer = answer.map_err(|refusal| {
                let message = refusal.message.clone();
                if refusal.kind == RefusalKind::ModelFailed {
                    self.refuse(refusal);
                }
                message
            });
            // At once: what a prompt says before the next one's turn is newer.
            found.extend(self.settle_followed(*id, answer, frame));
            count += 1;
        }
        if self.settings.track.separate {
            self.separate_followed(found, frame);
        }
        (count, ms)
    }

    fn follow_one(&mut self, id: u32, frame: &KeptFrame) -> Result<TrackedMask, Refusal> {
        let object = self.objects.get(id).ok_or_else(|| unknown(id))?;
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
        for waiting in track.unsettled() {
            let prompted = memory.prompted.get(&waiting);
            let prompted = prompted.and_then(|number| self.shared.lock().kept.numbered(*number).cloned());
            match prompted {
                Some(prompted) => {
                    ms += self.with_network(frame, |n| track.settle(n, waiting, &prompted.embedding))?;
                    track.visit(waiting);
                }
                // Its image is gone before anything was made of it; what else is known of the object goes on.
                None => drop(track.forget(waiting)),
            }
        }
        memory.prompted.clear();
        let position = self.positions.of(frame.number);
        let stepped = self.with_network(frame, |n| track.step(n, position, &frame.embedding, Direction::Forward))?;
        let Some(mut answer) = stepped else {
            return self.start_from_mask(id, frame);
        };
        answer.timings += ms;
        if let Some(object) = self.objects.get_mut(id) {
            object.memory = Some(memory);
        }
        Ok(answer)
    }

    /// An object without memory starts from what is known of it: its last mask, or else its prompts.
    fn start_from_mask(&mut self, id: u32, frame: &KeptFrame) -> Result<TrackedMask, Refusal> {
        let object = self.objects.get(id).ok_or_else(|| unknown(id))?;
        let geometry = &frame.embedding.geometry;
        let from_mask = objects::follow(object, geometry, self.mask_threshold).map(|p| Prompt { mask: None, ..p });
        let (width, height) = geometry.image;
        let prompt = from_mask.unwrap_or_else(|| object.held.clone());
        let prompt = prompt.check(width, height).map_err(|e| bad_prompt(e.to_string()))?;
        let said = Said { mask: prompt.mask.clone(), prompt };
        let mut memory = Memory::default();
        let answer = self.prompt_track(&mut memory, &said, frame)?;
        if let Some(object) = self.objects.get_mut(id) {
            object.memory = Some(memory);
        }
        Ok(answer)
    }

    /// Keeps what was found of an object on a frame; an error is why there is nothing to follow.
    fn settle_followed(&mut self, id: u32, answer: Result<TrackedMask, String>, frame: &KeptFrame) -> Option<Found> {
        let reason = match &answer {
            Ok(answer) if answer.is_there() => None,
            Ok(answer) => Some(not_there(answer.object_score)),
            Err(reason) => Some(reason.clone()),
        };
        let answer = answer.ok();
        let decoded = answer.as_ref().map(|answer| self.decoded(answer, &frame.embedding.geometry));
        self.set_lost(id, reason.as_deref());
        let object = self.objects.get_mut(id)?;
        let result = match decoded {
            Some(decoded) => {
                if reason.is_none() {
                    remember(object, &decoded);
                }
                let shown = if object.prompted_on == Some(frame.number) { &object.here } else { &Prompt::default() };
                ObjectResult { lost: reason, ..result_of(object, shown, decoded) }
            }
            None => lost_result(object, frame.embedding.image_size(), reason.unwrap_or_default()),
        };
        let result = self.results.keep(frame.number, result);
        Some(Found { result, answer: answer? })
    }

    /// Leaves each place to one of the objects that were followed, but for those of which something newer is known by now.
    fn separate_followed(&mut self, mut found: Vec<Found>, frame: &KeptFrame) {
        found.retain(|f| self.results.holds(frame.number, &f.result));
        let mut masks: Vec<Vec<f32>> = found.iter().map(|f| f.answer.mask.to_vec()).collect();
        separate(&mut masks.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        for (Found { result, answer }, mask) in found.into_iter().zip(masks) {
            let decoded = self.decoded(&TrackedMask { mask: mask.into(), ..answer }, &frame.embedding.geometry);
            self.results.keep(frame.number, ObjectResult { mask: decoded.best.mask, ..(*result).clone() });
        }
    }

    /// An answer in the decoder's words, its mask at the size of the image.
    fn decoded(&mut self, answer: &TrackedMask, geometry: &Geometry) -> Decoded {
        let side = self.low_res_side;
        let upscaler = self.upscaler.get(side, geometry);
        let mask = upscaler.mask(&answer.mask, self.mask_threshold, self.settings.stability_offset);
        let low_res = LowResLogits { side, data: answer.mask.iter().map(|v| v.clamp(-32.0, 32.0)).collect() };
        let best = Candidate { index: 0, iou: answer.iou, mask, low_res, logits: None };
        Decoded { best, others: Vec::new(), candidate_ious: vec![answer.iou], object_score: Some(answer.object_score) }
    }

    /// Once: whoever asks for `track` should know what they get.
    pub(super) fn say_how_objects_are_followed(&mut self, objects: &Objects, changed: &[u32]) {
        let tracked = |id: &u32| objects.get(*id).is_some_and(|o| o.persistence == Persistence::Track);
        if self.memory.is_none() && !self.said_without_memory && changed.iter().any(tracked) {
            self.said_without_memory = true;
            let message = format!(
                "persistence 'track': {NO_MEMORY}, so that each mask prompts the next frame; models with memory (SAM 2, EdgeTAM) follow through occlusions"
            );
            (self.events)(Event::Note(message));
        }
    }

    /// What objects remember, before a prompt is taken back.
    pub(super) fn memories(&self) -> BTreeMap<u32, Remembered> {
        let remembered = |o: &Object| {
            let memory = o.memory.clone()?;
            Some((o.id, Remembered { prompted_on: o.prompted_on, image: o.image, memory }))
        };
        self.objects.iter().filter_map(remembered).collect()
    }

    /// Gives objects that are as they were before a prompt their memories back, without that of the prompt. What was said
    /// before on the same frame, a mask among it, is said again.
    pub(super) fn take_back(&mut self, ids: &[u32], mut memories: BTreeMap<u32, Remembered>) {
        for id in ids {
            let Some(object) = self.objects.get(*id).filter(|o| self.follows(o)) else { continue };
            let (prompted_on, here, image) = (object.prompted_on, object.here.clone(), object.image);
            // The memory of a picture of other proportions is none of this object.
            let remembered = memories.remove(id).filter(|r| object.fits(r.image));
            let Some(Remembered { prompted_on: Some(number), mut memory, .. }) = remembered else { continue };
            let position = self.positions.of(number);
            let mut left = memory.track.forget(position);
            if let Some(before) = prompted_on.filter(|before| self.positions.of(*before) == position)
                && let Some(frame) = { self.shared.lock().kept.numbered(before).cloned() }
            {
                let said = Said { mask: here.mask.clone(), prompt: here.scaled(image, frame.embedding.image_size()) };
                match self.prompt_track(&mut memory, &said, &frame) {
                    Ok(_) => left = true,
                    Err(refusal) => self.refuse(refusal),
                }
            }
            if let Some(object) = self.objects.get_mut(*id).filter(|_| left) {
                object.memory = Some(memory);
            }
        }
    }
}

/// What is new in an object's prompts, together with what was said on the same frame before.
fn said_here(before: Option<&Object>, object: &Object, number: u64) -> Said {
    let (now, then) = (&object.prompt, before.map(|b| &b.prompt));
    let points = match then {
        Some(then) if now.points.starts_with(&then.points) => &now.points[then.points.len()..],
        _ => &now.points[..],
    };
    let bbox = now.bbox.filter(|b| then.is_none_or(|then| then.bbox != Some(*b)));
    let mask = now.mask.clone().filter(|m| then.is_none_or(|then| then.mask.as_ref() != Some(m)));
    let mut prompt = Prompt { points: points.to_vec(), bbox, mask: mask.clone() };
    if let Some(before) = before.filter(|b| b.prompted_on == Some(number) && object.memory.is_some()) {
        prompt.points.splice(0..0, before.here.points.iter().copied());
        prompt.bbox = prompt.bbox.or(before.here.bbox);
        prompt.mask = prompt.mask.or_else(|| before.here.mask.clone());
    }
    if prompt.points.is_empty() && prompt.bbox.is_none() && mask.is_none() {
        // Nothing new: all that is known.
        prompt = Prompt { mask: prompt.mask, ..now.clone() };
    }
    Said { mask, prompt }
}

fn track_ms(ms: StepTimings) -> StageMs {
    StageMs { decode: ms.attention_ms + ms.decoder_ms + ms.memory_encoder_ms, ..StageMs::default() }
}
