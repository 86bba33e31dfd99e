//! One object through a stream: prompts, corrections, and steps to the next frame.
//!
//! Reference: `add_new_points_or_box`, `add_new_mask`, `propagate_in_video_preflight` and `propagate_in_video` of
//! sam2/sam2_video_predictor.py with the option `add_all_frames_to_correct_as_cond`: a corrected frame stays corrected.
//! With the reference's default, a later step over the frame discards the correction.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bank::{Bank, Direction, Limits, Position, Record};
use super::holes;
use crate::model::network::{Heads, MemorySpec, Network, ObjectPointer, StepTimings};
use crate::model::{Embedding, Error};
use crate::pixels::SquareMask;
use crate::prompt::{LowResLogits, Prompt};

/// Logit in each cell of an object that is not on the frame (`NO_OBJ_SCORE`).
const NO_OBJECT: f32 = -1024.0;
/// Largest absolute value of a logit that is fed back to the decoder.
const FEEDBACK_CLAMP: f32 = 32.0;
/// Object score of a given mask. An empty mask gets the negative score.
const GIVEN_MASK_SCORE: f32 = 10.0;
/// Fewest tokens of an unambiguous prompt: a prompt with fewer gets the best of several candidates
/// (`multimask_max_pt_num`).
const UNAMBIGUOUS_TOKENS: usize = 2;

/// The mask of one object on one frame.
#[derive(Debug, Clone)]
pub struct TrackedMask {
    /// Low-resolution logits, `[side, side]`; -1024 in each cell if the object is not on the frame.
    pub mask: Arc<[f32]>,
    /// IoU that the model predicts; 1 for a given mask.
    pub iou: f32,
    /// Logit of the object's presence on the frame.
    pub object_score: f32,
    pub pointer: ObjectPointer,
    pub timings: StepTimings,
}

impl TrackedMask {
    /// Returns whether the object is on the frame.
    pub fn is_there(&self) -> bool {
        self.object_score > 0.0
    }
}

/// An object that is followed. Clones share the memories, so that a clone is cheap.
#[derive(Debug, Clone, Default)]
pub struct Track {
    limits: Limits,
    /// Size of the largest hole that is filled, in cells of the low-resolution mask; SAM 2's predictor has 8.
    fill_holes: usize,
    bank: Bank,
    /// Prompted frames whose memory is not encoded yet. The memory is encoded when the object is followed next, so that
    /// several prompts on a frame cost one run of the memory encoder.
    pending: BTreeMap<Position, Record>,
    /// Frames that the object was followed over, conditioning frames included.
    visited: BTreeMap<Position, Direction>,
}

impl Track {
    /// Makes a track without prompts. `fill_holes` is the size of the largest hole that is filled, in cells.
    pub fn new(limits: Limits, fill_holes: usize) -> Self {
        Track { limits, fill_holes, ..Track::default() }
    }

    /// Changes the limits and the size of the largest hole that is filled, from the next call on.
    pub fn set_limits(&mut self, limits: Limits, fill_holes: usize) {
        (self.limits, self.fill_holes) = (limits, fill_holes);
    }

    /// Prompts the object on a frame with points, a box, or both: all points of the object on this frame, not the
    /// newest alone. On a frame that the object was followed over, the prompt is a correction, which the memories and
    /// the mask of that frame condition.
    ///
    /// # Errors
    /// Errors of the network, which leave the track unchanged.
    pub fn prompt(
        &mut self,
        network: &mut dyn Network,
        at: Position,
        frame: &Embedding,
        prompt: &Prompt,
    ) -> Result<TrackedMask, Error> {
        let spec = network.spec();
        let tokens = prompt.points.len() + 2 * usize::from(prompt.bbox.is_some());
        let memories = self.visited.get(&at).map(|direction| {
            let selection = self.bank.select(at, *direction, &spec, &self.limits);
            self.bank.recall(&selection)
        });
        // The memories around an old frame may be gone.
        let memories = memories.filter(|m| !m.spatial.is_empty() && !m.pointers.is_empty());
        let previous = self.pending.get(&at).or_else(|| self.bank.at(at)).and_then(|record| record.mask.as_ref());
        let mask = previous.map(|mask| LowResLogits {
            side: spec.low_res_side,
            data: mask.iter().map(|v| v.clamp(-FEEDBACK_CLAMP, FEEDBACK_CLAMP)).collect(),
        });
        let prompt = Prompt { mask, ..prompt.clone() };
        let heads = network.heads(frame, memories.as_ref(), &prompt, tokens < UNAMBIGUOUS_TOKENS)?;
        let record = self.record(heads.mask, heads.iou, heads.object_score, heads.pointer.into(), spec.low_res_side);
        Ok(self.add_pending(at, record, heads.timings))
    }

    /// Prompts the object on a frame with its mask, which becomes the result on this frame.
    ///
    /// # Errors
    /// Errors of the network, which leave the track unchanged.
    pub fn mask(
        &mut self,
        network: &mut dyn Network,
        at: Position,
        frame: &Embedding,
        mask: &SquareMask,
    ) -> Result<TrackedMask, Error> {
        let side = network.spec().low_res_side;
        let pointer = network.pointer_of_mask(frame, &mask.inside)?;
        let object_score = if mask.is_empty() { -GIVEN_MASK_SCORE } else { GIVEN_MASK_SCORE };
        let mut low_res = mask.low_res(side);
        holes::fill(&mut low_res, side, self.fill_holes);
        let (mask, pointer) = (Some(low_res.into()), pointer.into());
        let record = Record { mask, iou: 1.0, object_score, pointer, spatial: None };
        Ok(self.add_pending(at, record, StepTimings::default()))
    }

    fn add_pending(&mut self, at: Position, record: Record, timings: StepTimings) -> TrackedMask {
        let tracked = tracked_mask(&record, timings);
        self.pending.insert(at, record);
        tracked
    }

    /// Makes a record of the decoder's outputs, without a spatial memory.
    fn record(&self, mut mask: Vec<f32>, iou: f32, object_score: f32, pointer: ObjectPointer, side: usize) -> Record {
        if object_score > 0.0 {
            holes::fill(&mut mask, side, self.fill_holes);
        } else {
            mask.fill(NO_OBJECT);
        }
        Record { mask: Some(mask.into()), iou, object_score, pointer, spatial: None }
    }

    /// Returns the prompted frames whose memory is not encoded yet, the earliest first. [`Track::settle`] each of them
    /// before the next step.
    pub fn unsettled(&self) -> Vec<Position> {
        self.pending.keys().copied().collect()
    }

    /// Encodes the memory of a prompted frame. Does nothing on a frame without a pending prompt.
    ///
    /// # Errors
    /// Errors of the network, which leave the track unchanged.
    pub fn settle(&mut self, network: &mut dyn Network, at: Position, frame: &Embedding) -> Result<StepTimings, Error> {
        let Some(record) = self.pending.get(&at) else { return Ok(StepTimings::default()) };
        let mask = record.mask.as_deref().unwrap_or_default();
        let (spatial, memory_encoder_ms) = network.encode_memory(frame, mask, true, record.object_score)?;
        if let Some(mut record) = self.pending.remove(&at) {
            record.spatial = Some(spatial);
            self.bank.followed.remove(&at);
            self.bank.conditioning.insert(at, record);
            self.shrink(&network.spec());
        }
        Ok(StepTimings { memory_encoder_ms, ..StepTimings::default() })
    }

    /// Takes the prompts on a frame back. Returns whether any prompt is left: without one there is no object to follow.
    pub fn forget(&mut self, at: Position) -> bool {
        self.pending.remove(&at);
        if let Some(record) = self.bank.conditioning.remove(&at) {
            // The mask is the result of the prompt that is taken back: a new prompt on the frame must not get it fed
            // back.
            self.bank.followed.insert(at, Record { mask: None, ..record });
            self.visited.remove(&at);
        }
        !(self.pending.is_empty() && self.bank.conditioning.is_empty())
    }

    /// Marks a prompted frame as followed over, without a step.
    pub fn visit(&mut self, at: Position) {
        if self.bank.conditioning.contains_key(&at) || self.pending.contains_key(&at) {
            self.visited.insert(at, Direction::Forward);
        }
    }

    /// Follows the object to a frame. Returns `None` if no prompted frame conditions it, for instance before the first
    /// prompt.
    ///
    /// # Errors
    /// Errors of the network, which leave the track unchanged.
    pub fn step(
        &mut self,
        network: &mut dyn Network,
        at: Position,
        frame: &Embedding,
        direction: Direction,
    ) -> Result<Option<TrackedMask>, Error> {
        if let Some(record) = self.bank.conditioning.get(&at).filter(|record| record.mask.is_some()) {
            self.visited.insert(at, direction);
            return Ok(Some(tracked_mask(record, StepTimings::default())));
        }
        let spec = network.spec();
        let memories = self.bank.recall(&self.bank.select(at, direction, &spec, &self.limits));
        if memories.spatial.is_empty() || memories.pointers.is_empty() {
            return Ok(None);
        }
        let Heads { mut mask, iou, object_score, pointer, mut timings } =
            network.heads(frame, Some(&memories), &Prompt::default(), true)?;
        if object_score <= 0.0 {
            mask.fill(NO_OBJECT);
        }
        // The memory is of the mask with its holes. Holes are filled in the result alone.
        let (spatial, memory_encoder_ms) = network.encode_memory(frame, &mask, false, object_score)?;
        timings.memory_encoder_ms = memory_encoder_ms;
        let record = self.record(mask, iou, object_score, pointer.into(), spec.low_res_side);
        let tracked = tracked_mask(&record, timings);
        self.bank.followed.insert(at, Record { spatial: Some(spatial), ..record });
        self.visited.insert(at, direction);
        self.shrink(&spec);
        Ok(Some(tracked))
    }

    fn shrink(&mut self, spec: &MemorySpec) {
        let Some(keep) = self.limits.keep else { return };
        self.bank.shrink(spec, keep);
        let (bank, pending) = (&self.bank, &self.pending);
        self.visited.retain(|t, _| bank.at(*t).is_some() || pending.contains_key(t));
    }

    /// Returns the size of the memories and masks of the object, in bytes.
    pub fn bytes(&self) -> usize {
        let pending = self.pending.values().filter_map(|r| r.mask.as_ref()).map(|m| size_of_val(&**m));
        self.bank.bytes() + pending.sum::<usize>()
    }

    /// Returns the prompted frames: the conditioning frames, then the pending ones.
    pub fn prompted(&self) -> Vec<Position> {
        self.bank.conditioning.keys().chain(self.pending.keys()).copied().collect()
    }
}

fn tracked_mask(record: &Record, timings: StepTimings) -> TrackedMask {
    let mask = record.mask.clone().unwrap_or_default();
    let (iou, object_score, pointer) = (record.iou, record.object_score, record.pointer.clone());
    TrackedMask { mask, iou, object_score, pointer, timings }
}

#[cfg(test)]
#[path = "track_tests.rs"]
mod tests;
