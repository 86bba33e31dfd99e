//! The memories of one object, and the selection of those that condition a frame.
//!
//! Reference: `_prepare_memory_conditioned_features` of sam2/modeling/sam2_base.py and `select_closest_cond_frames` of
//! sam2/modeling/sam2_utils.py.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::network::{MAX_CONDITIONING, Memories, MemorySpec, ObjectPointer, SpatialMemory};

/// Newest frames that can be corrected as if nothing had been dropped: their masks are kept, for the feedback to the
/// decoder, and so are the memories that conditioned them. An operator corrects a frame when later frames have arrived.
const CORRECTABLE_FRAMES: usize = 3;

/// Index of a frame in the order of tracking. Only processed frames count, so that a skipped frame leaves no gap.
pub type Position = i64;

/// Direction in which an object is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    #[default]
    Forward,
    /// Against time: the memories are of later frames.
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

/// The object on one frame.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// Low-resolution logits, `[side, side]`; none after only the memory of the frame is needed.
    pub mask: Option<Arc<[f32]>>,
    /// IoU that the model predicts; 1 for a given mask.
    pub iou: f32,
    /// Logit of the object's presence on the frame.
    pub object_score: f32,
    pub pointer: ObjectPointer,
    /// None before the memory is encoded, and after only the pointer of the frame is needed.
    pub spatial: Option<SpatialMemory>,
}

impl Record {
    fn bytes(&self) -> usize {
        let mask = self.mask.as_ref().map_or(0, |m| size_of_val(&**m));
        let spatial = self.spatial.as_ref().map_or(0, |s| size_of_val(&**s));
        mask + spatial + size_of_val(&*self.pointer)
    }
}

/// How many memories condition a frame, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most conditioning frames that take part (`max_cond_frames_in_attn`), 2 to [`MAX_CONDITIONING`]. `None` is
    /// [`MAX_CONDITIONING`].
    pub conditioning: Option<usize>,
    /// Most recent frames that take part, up to `MemorySpec::frames - 1` (6). Fewer are faster and change the masks.
    pub recent: usize,
    /// Number of frames of the clip, if it is known. Object pointers come from no more frames than the clip has.
    pub length: Option<usize>,
    /// Number of conditioning frames that are kept: the first, and the last ones. Of all other memories only those are
    /// kept that forward tracking and a correction of one of the newest frames need. `None` keeps all memories, for
    /// corrections of any frame and for both directions.
    pub keep: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { conditioning: None, recent: usize::MAX, length: None, keep: None }
    }
}

/// The frames whose memories condition a frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Selection {
    /// Frames of spatial memories, each with its row of the table of temporal encodings.
    pub spatial: Vec<(Position, usize)>,
    /// Frames of object pointers, each with its distance in frames.
    pub pointers: Vec<(Position, Position)>,
    /// The largest distance, by which the distances are divided.
    pub divisor: usize,
}

/// The records of one object.
#[derive(Debug, Clone, Default)]
pub(super) struct Bank {
    /// Prompted frames. They condition every later frame, whatever their age.
    pub conditioning: BTreeMap<Position, Record>,
    /// Frames that the object was followed to.
    pub followed: BTreeMap<Position, Record>,
}

impl Bank {
    /// Returns the record of a frame, conditioning or followed.
    pub fn at(&self, position: Position) -> Option<&Record> {
        self.conditioning.get(&position).or_else(|| self.followed.get(&position))
    }

    /// Returns the size of all records, in bytes.
    pub fn bytes(&self) -> usize {
        self.conditioning.values().chain(self.followed.values()).map(Record::bytes).sum()
    }

    /// Selects the frames whose memories condition the frame `at`.
    pub fn select(&self, at: Position, direction: Direction, spec: &MemorySpec, limits: &Limits) -> Selection {
        let (sign, frames) = (direction.sign(), spec.frames);
        let chosen = self.closest_conditioning(at, limits.conditioning);
        let is_chosen = |t: &Position| chosen.contains(t);
        // A conditioning frame that was not chosen counts as a followed frame.
        let followed =
            |t: Position| self.followed.contains_key(&t) || self.conditioning.contains_key(&t) && !is_chosen(&t);
        let mut spatial: Vec<_> = chosen.iter().map(|t| (*t, frames - 1)).collect();
        let recent = limits.recent.min(frames - 1);
        spatial
            .extend((1..=recent).rev().map(|back| (at - sign * back as Position, back - 1)).filter(|m| followed(m.0)));

        let most = limits.length.map_or(spec.pointers, |length| length.min(spec.pointers)).max(2);
        let mut pointers: Vec<_> = chosen.iter().map(|t| (*t, (at - t) * sign)).filter(|p| p.1 >= 0).collect();
        let end = limits.length.map_or(Position::MAX, |length| length as Position);
        let near = (1..most as Position).map(|back| (at - sign * back, back));
        pointers.extend(near.take_while(|p| (0..end).contains(&p.0)).filter(|p| followed(p.0)));
        Selection { spatial, pointers, divisor: most - 1 }
    }

    /// Returns the conditioning frames that take part: the nearest before `at`, the nearest from `at` on, then the
    /// nearest of the rest.
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

    /// Returns the memories of the selected frames. Frames whose memory was dropped are left out.
    pub fn recall(&self, selection: &Selection) -> Memories {
        let spatial = |(t, row): &(Position, usize)| Some((self.at(*t)?.spatial.clone()?, *row));
        let divisor = selection.divisor as f32;
        let pointer = |(t, back): &(Position, Position)| Some((self.at(*t)?.pointer.clone(), *back as f32 / divisor));
        Memories {
            spatial: selection.spatial.iter().filter_map(spatial).collect(),
            pointers: selection.pointers.iter().filter_map(pointer).collect(),
        }
    }

    /// Drops all that neither forward tracking from the newest frame nor a correction of one of the newest
    /// [`CORRECTABLE_FRAMES`] needs. `keep` is the number of conditioning frames that stay.
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
        self.followed.retain(|t, _| *t >= last(spec.pointers - 1 + CORRECTABLE_FRAMES));
        for (t, record) in &mut self.followed {
            if *t < last(spec.frames - 1 + CORRECTABLE_FRAMES) {
                record.spatial = None;
            }
            if *t < last(CORRECTABLE_FRAMES) {
                record.mask = None;
            }
        }
    }
}

#[cfg(test)]
#[path = "bank_tests.rs"]
mod tests;
