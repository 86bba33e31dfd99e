//! The results on the last frames.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::set::Objects;
use crate::engine::result::ObjectResult;

/// Frames whose results are kept, to be published together with what is decoded on them later.
const FRAMES: usize = 4;

/// The results on one frame so far, by object.
struct FrameResults {
    /// Number of the frame.
    number: u64,
    objects: BTreeMap<u32, Arc<ObjectResult>>,
    /// Ids that detectors' boxes hold here, each with its detector.
    detections: BTreeMap<u32, &'static str>,
}

/// The results on the last few frames.
#[derive(Default)]
pub struct RecentResults {
    frames: VecDeque<FrameResults>,
    /// Number of the frame that is worked on. It stays: prompts on many others may come between its turns.
    at_work: Option<u64>,
}

impl RecentResults {
    pub fn clear(&mut self) {
        self.frames.clear();
    }

    /// Begins to work on a frame.
    pub fn begin(&mut self, number: u64) {
        self.at_work = Some(number);
    }

    /// No frame is worked on.
    pub fn rest(&mut self) {
        self.at_work = None;
    }

    /// Forgets an object on every frame: it is another from now on.
    pub fn forget(&mut self, id: u32) {
        self.forget_but(id, &[]);
    }

    /// Forgets an object on every frame but this one: it is prompted by something else from now on. The frame that is worked
    /// on keeps it, since its answer would lack it.
    pub fn forget_elsewhere(&mut self, id: u32, number: u64) {
        self.forget_but(id, &[Some(number), self.at_work]);
    }

    /// Forgets an object, but not a detector's box of that number, on every frame but these.
    fn forget_but(&mut self, id: u32, stay: &[Option<u64>]) {
        let forgets = |f: &&mut FrameResults| !stay.contains(&Some(f.number)) && !f.detections.contains_key(&id);
        for frame in self.frames.iter_mut().filter(forgets) {
            frame.objects.remove(&id);
        }
    }

    /// How many there are, and the memory of their masks.
    pub fn usage(&self) -> (usize, usize) {
        let all = self.frames.iter().flat_map(|f| f.objects.values());
        all.fold((0, 0), |(count, bytes), result| (count + 1, bytes + result.mask.cropped.len()))
    }

    /// Forgets the oldest frames, but for this one and the one at work, while the masks take more than so many bytes.
    pub fn shrink(&mut self, number: u64, limit: usize) {
        while self.usage().1 > limit && self.forget_oldest(Some(number)) {}
    }

    /// Forgets the oldest frame, but for the one at work and one more. Whether there was one.
    fn forget_oldest(&mut self, number: Option<u64>) -> bool {
        let stay = [self.at_work, number];
        let oldest = self.frames.iter().position(|f| !stay.contains(&Some(f.number)));
        oldest.and_then(|i| self.frames.remove(i)).is_some()
    }

    /// Whether the object was decoded on the frame already.
    pub fn contains(&self, number: u64, id: u32) -> bool {
        self.frames.iter().any(|f| f.number == number && f.objects.contains_key(&id))
    }

    pub fn keep(&mut self, number: u64, result: ObjectResult) -> Arc<ObjectResult> {
        let (frame, result) = (self.frame(number), Arc::new(result));
        frame.detections.remove(&result.id);
        frame.objects.insert(result.id, Arc::clone(&result));
        result
    }

    /// Whether this is what is known of its object on the frame.
    pub fn holds(&self, number: u64, result: &Arc<ObjectResult>) -> bool {
        let known = self.frames.iter().find(|f| f.number == number).and_then(|f| f.objects.get(&result.id));
        known.is_some_and(|known| Arc::ptr_eq(known, result))
    }

    /// As [`RecentResults::keep`], for a detector's box: it is no current object and lives on this frame only.
    pub fn keep_detection(&mut self, number: u64, source: &'static str, result: ObjectResult) {
        let id = self.keep(number, result).id;
        self.frame(number).detections.insert(id, source);
    }

    /// Forgets the earlier boxes of that detector on the frame.
    pub fn drop_detections(&mut self, number: u64, source: &'static str) {
        let frame = self.frame(number);
        for (id, _) in frame.detections.extract_if(.., |_, of| *of == source) {
            frame.objects.remove(&id);
        }
    }

    /// Everything known about the frame, but for objects that are gone by now.
    pub fn of(&mut self, number: u64, current: &Objects) -> Vec<Arc<ObjectResult>> {
        let frame = self.frame(number);
        frame.objects.retain(|id, _| current.contains(*id) || frame.detections.contains_key(id));
        frame.objects.values().cloned().collect()
    }

    fn frame(&mut self, number: u64) -> &mut FrameResults {
        let known = self.frames.iter().position(|f| f.number == number);
        let index = known.unwrap_or_else(|| {
            if self.frames.len() >= FRAMES {
                self.forget_oldest(None);
            }
            self.frames.push_back(FrameResults { number, objects: BTreeMap::new(), detections: BTreeMap::new() });
            self.frames.len() - 1
        });
        &mut self.frames[index]
    }
}
