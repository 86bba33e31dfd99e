//! What is kept of an object's past, and what of it a frame is looked at with.
//!
//! Reference: `_prepare_memory_conditioned_features` of sam2/modeling/sam2_base.py and `select_closest_cond_frames` of
//! sam2_utils.py.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::network::{Features, MemorySpec, Pointer, Recalled};

/// Frames whose masks are kept, to be fed back to whoever corrects one, and what they were looked at with: people see a
/// frame when the next is there already.
const MASKS: usize = 3;
/// Most conditioning frames that a frame is looked at with, whatever is asked for: TensorRT's engines are built for them.
pub const MAX_CONDITIONING: usize = 16;

/// Place of a frame in the order of tracking: of those that were processed, so that a skipped one leaves no gap.
pub type Position = i64;

/// Which way an object is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    #[default]
    Forward,
    /// Against time: memories are of later frames.
    Backward,
}

impl Direction {
    fn sign(self) -> Position {
        match self {
            Direction::Forward => 1,
            Direction::Backward => -1,
        }
    }
}

/// One object on one frame.
#[derive(Debug, Clone)]
pub struct Record {
    /// Low-resolution logits; none once only its memory is needed.
    pub mask: Option<Arc<[f32]>>,
    pub iou: f32,
    pub object_score: f32,
    pub pointer: Pointer,
    /// None before it was encoded, and once only its pointer is needed.
    pub features: Option<Features>,
}

impl Record {
    fn bytes(&self) -> usize {
        let mask = self.mask.as_ref().map_or(0, |m| size_of_val(&**m));
        let features = self.features.as_ref().map_or(0, |f| size_of_val(&**f));
        mask + features + size_of_val(&*self.pointer)
    }
}

/// How much is looked at and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most conditioning frames that a frame is looked at with (`max_cond_frames_in_attn`, at least 2); none:
    /// [`MAX_CONDITIONING`], which is the most in any case.
    pub conditioning: Option<usize>,
    /// Frames before the one at hand that are looked at, at most `MemorySpec::frames - 1` (6). Fewer are quicker and
    /// change what is found.
    pub recent: usize,
    /// Frames of the clip, where that is known: object pointers are looked for in as many at most.
    pub length: Option<usize>,
    /// Keep only what following forward and correcting one of the last frames need, and so many conditioning frames: the
    /// first, and the last ones. None keeps everything, for corrections anywhere and for both directions.
    pub keep: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { conditioning: None, recent: usize::MAX, length: None, keep: None }
    }
}

/// What a frame is looked at with: positions of frames.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Selection {
    /// With its row of the table of temporal encodings.
    pub memories: Vec<(Position, usize)>,
    /// With its distance in frames.
    pub pointers: Vec<(Position, Position)>,
    /// What the distances are divided by.
    pub divisor: usize,
}

/// The records of one object.
#[derive(Debug, Clone, Default)]
pub(super) struct Bank {
    /// Frames that somebody pointed at it on: they count however old they are.
    pub conditioning: BTreeMap<Position, Record>,
    /// Frames that it was followed to.
    pub followed: BTreeMap<Position, Record>,
}

impl Bank {
    pub fn at(&self, position: Position) -> Option<&Record> {
        self.conditioning.get(&position).or_else(|| self.followed.get(&position))
    }

    pub fn bytes(&self) -> usize {
        self.conditioning.values().chain(self.followed.values()).map(Record::bytes).sum()
    }

    pub fn select(&self, at: Position, direction: Direction, spec: &MemorySpec, limits: &Limits) -> Selection {
        let (sign, frames) = (direction.sign(), spec.frames);
        let chosen = self.closest_conditioning(at, limits.conditioning);
        let is_chosen = |t: &Position| chosen.contains(t);
        // A conditioning frame that was not chosen counts as one that was followed to.
        let followed =
            |t: Position| self.followed.contains_key(&t) || self.conditioning.contains_key(&t) && !is_chosen(&t);
        let mut memories: Vec<_> = chosen.iter().map(|t| (*t, frames - 1)).collect();
        let recent = limits.recent.min(frames - 1);
        memories
            .extend((1..=recent).rev().map(|back| (at - sign * back as Position, back - 1)).filter(|m| followed(m.0)));

        let most = limits.length.map_or(spec.pointers, |length| length.min(spec.pointers)).max(2);
        let mut pointers: Vec<_> = chosen.iter().map(|t| (*t, (at - t) * sign)).filter(|p| p.1 >= 0).collect();
        let end = limits.length.map_or(Position::MAX, |length| length as Position);
        let near = (1..most as Position).map(|back| (at - sign * back, back));
        pointers.extend(near.take_while(|p| (0..end).contains(&p.0)).filter(|p| followed(p.0)));
        Selection { memories, pointers, divisor: most - 1 }
    }

    /// The conditioning frames that count: the nearest before, the nearest from here on, then the nearest of the rest.
    fn closest_conditioning(&self, at: Position, most: Option<usize>) -> Vec<Position> {
        let all = || self.conditioning.keys().copied();
        let most = most.unwrap_or(MAX_CONDITIONING).clamp(2, MAX_CONDITIONING);
        if self.conditioning.len() <= most {
            return all().collect();
        }
        let before = all().filter(|t| *t < at).max();
        let after = all().filter(|t| *t >= at).min();
        let mut chosen: Vec<_> = before.into_iter().chain(after).collect();
        let mut rest: Vec<_> = all().filter(|t| !chosen.contains(t)).collect();
        rest.sort_by_key(|t| (t - at).abs());
        chosen.extend(rest.into_iter().take(most - chosen.len()));
        chosen
    }

    /// The memories and pointers of a selection.
    pub fn recall(&self, selection: &Selection) -> Recalled {
        let features = |(t, row): &(Position, usize)| Some((self.at(*t)?.features.clone()?, *row));
        let divisor = selection.divisor as f32;
        let pointer = |(t, back): &(Position, Position)| Some((self.at(*t)?.pointer.clone(), *back as f32 / divisor));
        Recalled {
            memories: selection.memories.iter().filter_map(features).collect(),
            pointers: selection.pointers.iter().filter_map(pointer).collect(),
        }
    }

    /// Drops what neither following forward from the newest frame nor correcting one of the last [`MASKS`] needs.
    pub fn shrink(&mut self, spec: &MemorySpec, keep: usize) {
        while self.conditioning.len() > keep.max(1) {
            let second = self.conditioning.keys().nth(usize::from(keep > 1)).copied();
            let Some(second) = second else { break };
            self.conditioning.remove(&second);
        }
        let newest_prompt = self.conditioning.keys().next_back().copied();
        for (t, record) in &mut self.conditioning {
            if Some(*t) != newest_prompt {
                record.mask = None;
            }
        }
        let Some(newest) = self.followed.keys().next_back().copied().max(newest_prompt) else { return };
        let last = |count: usize| newest + 1 - count as Position;
        self.followed.retain(|t, _| *t >= last(spec.pointers - 1 + MASKS));
        for (t, record) in &mut self.followed {
            if *t < last(spec.frames - 1 + MASKS) {
                record.features = None;
            }
            if *t < last(MASKS) {
                record.mask = None;
            }
        }
    }
}

#[cfg(test)]
#[path = "bank_tests.rs"]
mod tests;
