//! From what the decoder says to what the engine hands out, and the results of the last frames.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::command::{Event, ObjectResult};
use super::objects::{Object, Objects};
use super::{EventSink, Settings};
use crate::model::Decoded;
use crate::prompt::Prompt;

/// Frames whose results are kept, to be published together with what is decoded on them later.
const FRAMES: usize = 4;

/// The results on one frame so far, by object.
struct FrameResults {
    /// Number of the frame.
    number: u64,
    objects: BTreeMap<u32, Arc<ObjectResult>>,
    /// Ids that a detector's boxes hold here.
    detections: Vec<u32>,
}

/// The results on the last few frames.
#[derive(Default)]
pub(super) struct RecentResults(VecDeque<FrameResults>);

impl RecentResults {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Forgets an object on every frame: it is another from now on.
    pub fn forget(&mut self, id: u32) {
        for frame in &mut self.0 {
            frame.objects.remove(&id);
        }
    }

    /// How many there are, and the memory of their masks.
    pub fn usage(&self) -> (usize, usize) {
        let all = self.0.iter().flat_map(|f| f.objects.values());
        all.fold((0, 0), |(count, bytes), result| (count + 1, bytes + result.mask.cropped.len()))
    }

    /// Forgets the oldest frames, but for the last one, while the masks take more than so many bytes.
    pub fn shrink(&mut self, limit: usize) {
        while self.0.len() > 1 && self.usage().1 > limit {
            self.0.pop_front();
        }
    }

    /// Whether the object was decoded on the frame already.
    pub fn contains(&self, number: u64, id: u32) -> bool {
        self.0.iter().any(|f| f.number == number && f.objects.contains_key(&id))
    }

    pub fn keep(&mut self, number: u64, result: ObjectResult) {
        let id = result.id;
        self.frame(number).objects.insert(id, Arc::new(result));
    }

    /// As [`RecentResults::keep`], for a detector's box: it is no current object and lives on this frame only.
    pub fn keep_detection(&mut self, number: u64, result: ObjectResult) {
        self.frame(number).detections.push(result.id);
        self.keep(number, result);
    }

    /// Forgets a detector's earlier boxes on the frame.
    pub fn drop_detections(&mut self, number: u64) {
        let frame = self.frame(number);
        for id in frame.detections.drain(..) {
            frame.objects.remove(&id);
        }
    }

    /// Everything known about the frame, but for objects that are gone by now.
    pub fn of(&mut self, number: u64, current: &Objects) -> Vec<Arc<ObjectResult>> {
        let frame = self.frame(number);
        frame.objects.retain(|id, _| current.contains(*id) || frame.detections.contains(id));
        frame.objects.values().cloned().collect()
    }

    fn frame(&mut self, number: u64) -> &mut FrameResults {
        let known = self.0.iter().position(|f| f.number == number);
        let index = known.unwrap_or_else(|| {
            if self.0.len() >= FRAMES {
                self.0.pop_front();
            }
            self.0.push_back(FrameResults { number, objects: BTreeMap::new(), detections: Vec::new() });
            self.0.len() - 1
        });
        &mut self.0[index]
    }
}

/// Keeps what the next prompt of the object needs of its newest mask.
pub(super) fn remember(object: &mut Object, decoded: &Decoded) {
    let mask = &decoded.best.mask;
    object.previous = Some(decoded.best.low_res.clone());
    object.previous_area = mask.area as f32 / (mask.width as f32 * mask.height as f32);
    object.lost = false;
}

/// Why an object of that score counts as lost.
pub(super) fn not_there(score: f32) -> String {
    format!("object score {score:.2} is not above 0")
}

/// Keeps whether a tracked object is lost, and for what `reason`; says so when that changes.
pub(super) fn tell_lost(object: &mut Object, reason: Option<&str>, events: &EventSink) {
    if reason.is_some() != object.lost {
        object.lost = reason.is_some();
        events(Event::Tracking { id: object.id, lost: object.lost, reason: reason.unwrap_or_default().to_owned() });
    }
}

/// Why a tracked object counts as lost on this frame; `None` when it is there.
pub(super) fn lost(object: &Object, decoded: &Decoded, settings: &Settings) -> Option<String> {
    if let Some(score) = decoded.object_score.filter(|s| *s <= 0.0) {
        return Some(not_there(score));
    }
    if decoded.best.iou < settings.track_min_iou {
        return Some(format!("predicted IoU {:.2} is below {:.2}", decoded.best.iou, settings.track_min_iou));
    }
    let mask = &decoded.best.mask;
    if mask.area == 0 {
        return Some("its mask is empty".into());
    }
    let area = mask.area as f32 / (mask.width as f32 * mask.height as f32);
    let jump = area / object.previous_area.max(f32::EPSILON);
    let bound = settings.track_max_area_jump;
    if object.previous_area > 0.0 && !(1.0 / bound..=bound).contains(&jump) {
        return Some(format!("its area changed by a factor of {jump:.2} from one frame to the next"));
    }
    None
}

/// The result of a current object; `shown` is what the overlay draws.
pub(super) fn result_of(object: &Object, shown: &Prompt, decoded: Decoded) -> ObjectResult {
    ObjectResult { id: object.id, class_id: object.class_id.clone(), ..result_from(shown, decoded) }
}

/// A result whose id, class and tag are still to be filled in.
pub(super) fn result_from(shown: &Prompt, decoded: Decoded) -> ObjectResult {
    ObjectResult {
        id: 0,
        class_id: String::new(),
        tag: String::new(),
        iou: decoded.best.iou,
        object_score: decoded.object_score,
        candidate_ious: decoded.candidate_ious,
        points: shown.points.clone(),
        bbox: shown.bbox,
        lost: None,
        mask: decoded.best.mask,
    }
}
