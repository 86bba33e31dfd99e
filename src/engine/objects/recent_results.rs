//! Results on the last frames.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::set::ObjectSet;
use crate::engine::result::ObjectResult;

/// Frames whose results are kept. A frame is published with all its results, also those of earlier prompts.
const MAX_FRAMES: usize = 4;

/// Results on one frame so far.
struct FrameResults {
    /// Number of the frame.
    number: u64,
    /// Results by object id.
    objects: BTreeMap<u32, Arc<ObjectResult>>,
    /// Ids of detectors' boxes on this frame, with the name of the detector.
    detections: BTreeMap<u32, &'static str>,
}

/// Results on the last frames.
#[derive(Default)]
pub struct RecentResults {
    frames: VecDeque<FrameResults>,
    /// Number of the frame that is being processed. Its results stay while prompts on many other frames are answered
    /// between its turns.
    in_progress: Option<u64>,
}

impl RecentResults {
    pub fn clear(&mut self) {
        self.frames.clear();
    }

    /// Marks a frame as being processed.
    pub fn begin(&mut self, number: u64) {
        self.in_progress = Some(number);
    }

    /// Marks no frame as being processed.
    pub fn end(&mut self) {
        self.in_progress = None;
    }

    /// Removes an object from all frames, because the object is gone or its id is reused.
    pub fn remove(&mut self, id: u32) {
        self.remove_except(id, &[]);
    }

    /// Removes an object from all frames except this one, because its prompt changed. The frame that is being processed
    /// keeps the object: its answer would lack the object otherwise.
    pub fn remove_elsewhere(&mut self, id: u32, number: u64) {
        self.remove_except(id, &[Some(number), self.in_progress]);
    }

    /// Sets the class of an object in its results on all frames. A detector's box of the same id keeps its class.
    pub fn rename(&mut self, id: u32, class_id: &str) {
        for frame in self.frames.iter_mut().filter(|frame| !frame.detections.contains_key(&id)) {
            if let Some(result) = frame.objects.get_mut(&id) {
                let renamed = ObjectResult { class_id: class_id.to_owned(), ..(**result).clone() };
                *result = Arc::new(renamed);
            }
        }
    }

    /// Removes an object from all frames except `kept`. A detector's box of the same id stays.
    fn remove_except(&mut self, id: u32, kept: &[Option<u64>]) {
        let is_affected = |f: &&mut FrameResults| !kept.contains(&Some(f.number)) && !f.detections.contains_key(&id);
        for frame in self.frames.iter_mut().filter(is_affected) {
            frame.objects.remove(&id);
        }
    }

    /// Returns the number of results and the bytes of their masks.
    pub fn usage(&self) -> (usize, usize) {
        let all = self.frames.iter().flat_map(|f| f.objects.values());
        let bytes = |result: &ObjectResult| {
            result.mask.cropped.len() + result.certain.as_ref().map_or(0, |certain| certain.cropped.len())
        };
        all.fold((0, 0), |(count, sum), result| (count + 1, sum + bytes(result)))
    }

    /// Removes the oldest frames while the masks take more than `limit` bytes. The frame of that number and the frame that
    /// is being processed stay.
    pub fn shrink(&mut self, number: u64, limit: usize) {
        while self.usage().1 > limit && self.remove_oldest(Some(number)) {}
    }

    /// Removes the oldest frame, except the frame of that number and the frame that is being processed. Returns whether a
    /// frame was removed.
    fn remove_oldest(&mut self, number: Option<u64>) -> bool {
        let kept = [self.in_progress, number];
        let oldest = self.frames.iter().position(|f| !kept.contains(&Some(f.number)));
        oldest.and_then(|i| self.frames.remove(i)).is_some()
    }

    /// Returns whether the frame has a result of the object.
    pub fn contains(&self, number: u64, id: u32) -> bool {
        self.frames.iter().any(|f| f.number == number && f.objects.contains_key(&id))
    }

    /// Stores a result on a frame, in place of an earlier result of the same id.
    pub fn keep(&mut self, number: u64, result: ObjectResult) -> Arc<ObjectResult> {
        let (frame, result) = (self.frame(number), Arc::new(result));
        frame.detections.remove(&result.id);
        frame.objects.insert(result.id, Arc::clone(&result));
        result
    }

    /// Returns whether this result is still the stored result of its object on the frame.
    pub fn is_current(&self, number: u64, result: &Arc<ObjectResult>) -> bool {
        let stored = self.frames.iter().find(|f| f.number == number).and_then(|f| f.objects.get(&result.id));
        stored.is_some_and(|stored| Arc::ptr_eq(stored, result))
    }

    /// Stores the result of a detector's box. The box is no current object and exists on this frame only.
    pub fn keep_detection(&mut self, number: u64, source: &'static str, result: ObjectResult) {
        let id = self.keep(number, result).id;
        self.frame(number).detections.insert(id, source);
    }

    /// Removes the earlier boxes of that detector from the frame.
    pub fn remove_detections(&mut self, number: u64, source: &'static str) {
        let frame = self.frame(number);
        for (id, _) in frame.detections.extract_if(.., |_, detector| *detector == source) {
            frame.objects.remove(&id);
        }
    }

    /// Returns all results on the frame, except results of objects that were removed in the meantime.
    pub fn on_frame(&mut self, number: u64, current: &ObjectSet) -> Vec<Arc<ObjectResult>> {
        let frame = self.frame(number);
        frame.objects.retain(|id, _| current.contains(*id) || frame.detections.contains_key(id));
        frame.objects.values().cloned().collect()
    }

    fn frame(&mut self, number: u64) -> &mut FrameResults {
        let position = self.frames.iter().position(|f| f.number == number);
        let index = position.unwrap_or_else(|| {
            if self.frames.len() >= MAX_FRAMES {
                self.remove_oldest(None);
            }
            self.frames.push_back(FrameResults { number, objects: BTreeMap::new(), detections: BTreeMap::new() });
            self.frames.len() - 1
        });
        &mut self.frames[index]
    }
}
