//! One object through a stream: prompts, corrections, and the step to the next frame.
//!
//! Reference: `add_new_points_or_box`, `add_new_mask`, `propagate_in_video_preflight` and `propagate_in_video` of
//! sam2/sam2_video_predictor.py, with `add_all_frames_to_correct_as_cond`: a frame that was corrected stays corrected. With
//! the reference's default, following over it again forgets the correction.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bank::{Bank, Direction, Limits, Position, Record};
use super::holes;
use super::network::{Heads, MemorySpec, Network, Pointer, StepMs};
use crate::model::{Embedding, Error};
use crate::pixels::SquareMask;
use crate::prompt::{LowResLogits, Prompt};

/// Logit everywhere of an object that is not there (`NO_OBJ_SCORE`).
const NOT_THERE: f32 = -1024.0;
/// Logits that are fed back are clamped to this on either side of 0.
const FED_BACK: f32 = 32.0;
/// Object score of a mask that is given: there, or with its sign turned, not there.
const GIVEN: f32 = 10.0;
/// A prompt with fewer tokens than this gets the best of the candidates (`multimask_max_pt_num`).
const CLEAR: usize = 2;

/// The object on one frame.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Low-resolution logits; -1024 everywhere where the object is not there.
    pub mask: Arc<[f32]>,
    /// As the model predicts it; 1 for a mask that was given.
    pub iou: f32,
    /// Logit of the object being there.
    pub object_score: f32,
    pub pointer: Pointer,
    pub ms: StepMs,
}

impl Answer {
    pub fn is_there(&self) -> bool {
        self.object_score > 0.0
    }
}

/// An object that is followed. Cheap to clone: what it remembers is shared.
#[derive(Debug, Clone, Default)]
pub struct Track {
    limits: Limits,
    /// Cells of the background that are filled where no more of them hang together; SAM 2's predictor has 8.
    fill_holes: usize,
    bank: Bank,
    /// Prompted since they were last followed over: their memory is not encoded yet, so that several prompts on a frame
    /// cost it once.
    pending: BTreeMap<Position, Record>,
    /// Frames that it was followed over, conditioning frames among them.
    visited: BTreeMap<Position, Direction>,
}

impl Track {
    pub fn new(limits: Limits, fill_holes: usize) -> Self {
        Track { limits, fill_holes, ..Track::default() }
    }

    /// Changes what is looked at, kept and filled from now on.
    pub fn limit(&mut self, limits: Limits, fill_holes: usize) {
        (self.limits, self.fill_holes) = (limits, fill_holes);
    }

    /// Points, a box, or both, all that is said of the object on this frame. On a frame that it was followed over this is a
    /// correction: the memories and the mask there take part.
    ///
    /// # Errors
    /// What the network says; nothing has changed then. So for all that follow.
    pub fn prompt(
        &mut self,
        network: &mut dyn Network,
        at: Position,
        frame: &Embedding,
        prompt: &Prompt,
    ) -> Result<Answer, Error> {
        let spec = network.spec();
        let tokens = prompt.points.len() + 2 * usize::from(prompt.bbox.is_some());
        let recalled = self.visited.get(&at).map(|direction| {
            let selection = self.bank.select(at, *direction, &spec, &self.limits);
            self.bank.recall(&selection)
        });
        // What was kept of a frame far back may not be enough to look at it with.
        let recalled = recalled.filter(|r| !r.memories.is_empty() && !r.pointers.is_empty());
        let before = self.pending.get(&at).or_else(|| self.bank.at(at)).and_then(|record| record.mask.as_ref());
        let mask = before.map(|mask| LowResLogits {
            side: spec.low_res_side,
            data: mask.iter().map(|v| v.clamp(-FED_BACK, FED_BACK)).collect(),
        });
        let asked = Prompt { mask, ..prompt.clone() };
        let heads = network.heads(frame, recalled.as_ref(), &asked, tokens < CLEAR)?;
        let record = self.record(heads.mask, heads.iou, heads.object_score, heads.pointer.into(), spec.low_res_side);
        Ok(self.wait(at, record, heads.ms))
    }

    /// The mask itself: it is the answer on this frame.
    ///
    /// # Errors
    /// As [`Track::prompt`].
    pub fn mask(
        &mut self,
        network: &mut dyn Network,
        at: Position,
        frame: &Embedding,
        mask: &SquareMask,
    ) -> Result<Answer, Error> {
        let side = network.spec().low_res_side;
        let pointer = network.pointer_of_mask(frame, &mask.inside)?;
        let score = if mask.is_empty() { -GIVEN } else { GIVEN };
        let mut low_res = mask.low_res(side);
        holes::fill(&mut low_res, side, self.fill_holes);
        let (mask, pointer) = (Some(low_res.into()), pointer.into());
        let record = Record { mask, iou: 1.0, object_score: score, pointer, features: None };
        Ok(self.wait(at, record, StepMs::default()))
    }

    fn wait(&mut self, at: Position, record: Record, ms: StepMs) -> Answer {
        let answer = answer(&record, ms);
        self.pending.insert(at, record);
        answer
    }

    /// A record of what the decoder said, without features.
    fn record(&self, mut mask: Vec<f32>, iou: f32, object_score: f32, pointer: Pointer, side: usize) -> Record {
        if object_score > 0.0 {
            holes::fill(&mut mask, side, self.fill_holes);
        } else {
            mask.fill(NOT_THERE);
        }
        Record { mask: Some(mask.into()), iou, object_score, pointer, features: None }
    }

    /// Frames whose prompts are not in memory yet, the earliest first: each must be settled before the next step.
    pub fn unsettled(&self) -> Vec<Position> {
        self.pending.keys().copied().collect()
    }

    /// Encodes the memory of a frame that was prompted. Nothing to do for another.
    ///
    /// # Errors
    /// As [`Track::prompt`].
    pub fn settle(&mut self, network: &mut dyn Network, at: Position, frame: &Embedding) -> Result<StepMs, Error> {
        let Some(record) = self.pending.get(&at) else { return Ok(StepMs::default()) };
        let mask = record.mask.as_deref().unwrap_or_default();
        let (features, memory_encoder) = network.remember(frame, mask, true, record.object_score)?;
        if let Some(mut record) = self.pending.remove(&at) {
            record.features = Some(features);
            self.bank.followed.remove(&at);
            self.bank.conditioning.insert(at, record);
            self.shrink(&network.spec());
        }
        Ok(StepMs { memory_encoder, ..StepMs::default() })
    }

    /// Takes a conditioning frame back, or a prompt that waits. Whether anything is left to follow.
    pub fn forget(&mut self, at: Position) -> bool {
        self.pending.remove(&at);
        if let Some(record) = self.bank.conditioning.remove(&at) {
            // Its mask is what was taken back: whoever points there again does not get it fed back.
            self.bank.followed.insert(at, Record { mask: None, ..record });
            self.visited.remove(&at);
        }
        !(self.pending.is_empty() && self.bank.conditioning.is_empty())
    }

    /// Says that the object was followed over a frame that it was prompted on.
    pub fn visit(&mut self, at: Position) {
        if self.bank.conditioning.contains_key(&at) || self.pending.contains_key(&at) {
            self.visited.insert(at, Direction::Forward);
        }
    }

    /// The object on a frame. None before its first prompt: there is nothing to follow yet.
    ///
    /// # Errors
    /// As [`Track::prompt`].
    pub fn step(
        &mut self,
        network: &mut dyn Network,
        at: Position,
        frame: &Embedding,
        direction: Direction,
    ) -> Result<Option<Answer>, Error> {
        if let Some(record) = self.bank.conditioning.get(&at).filter(|record| record.mask.is_some()) {
            self.visited.insert(at, direction);
            return Ok(Some(answer(record, StepMs::default())));
        }
        let spec = network.spec();
        let recalled = self.bank.recall(&self.bank.select(at, direction, &spec, &self.limits));
        if recalled.memories.is_empty() || recalled.pointers.is_empty() {
            return Ok(None);
        }
        let Heads { mut mask, iou, object_score, pointer, mut ms } =
            network.heads(frame, Some(&recalled), &Prompt::default(), true)?;
        if object_score <= 0.0 {
            mask.fill(NOT_THERE);
        }
        // Of the mask as it is: holes are filled in what is shown.
        let (features, memory_encoder) = network.remember(frame, &mask, false, object_score)?;
        ms.memory_encoder = memory_encoder;
        let record = self.record(mask, iou, object_score, pointer.into(), spec.low_res_side);
        let answer = answer(&record, ms);
        self.bank.followed.insert(at, Record { features: Some(features), ..record });
        self.visited.insert(at, direction);
        self.shrink(&spec);
        Ok(Some(answer))
    }

    fn shrink(&mut self, spec: &MemorySpec) {
        let Some(keep) = self.limits.keep else { return };
        self.bank.shrink(spec, keep);
        let (bank, pending) = (&self.bank, &self.pending);
        self.visited.retain(|t, _| bank.at(*t).is_some() || pending.contains_key(t));
    }

    /// Memory of what it remembers.
    pub fn bytes(&self) -> usize {
        let pending = self.pending.values().filter_map(|r| r.mask.as_ref()).map(|m| size_of_val(&**m));
        self.bank.bytes() + pending.sum::<usize>()
    }

    /// Conditioning frames, those that wait among them.
    pub fn prompted(&self) -> Vec<Position> {
        self.bank.conditioning.keys().chain(self.pending.keys()).copied().collect()
    }
}

fn answer(record: &Record, ms: StepMs) -> Answer {
    let mask = record.mask.clone().unwrap_or_default();
    Answer { mask, iou: record.iou, object_score: record.object_score, pointer: record.pointer.clone(), ms }
}

#[cfg(test)]
#[path = "track_tests.rs"]
mod tests;
