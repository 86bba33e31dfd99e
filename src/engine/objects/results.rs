//! From what the decoder answers for an object to its result: found or lost, and what the next prompt needs of its mask.

use super::object::Object;
use crate::engine::result::ObjectResult;
use crate::engine::settings::Settings;
use crate::model::Decoded;
use crate::pixels::Mask;
use crate::prompt::Prompt;

/// Keeps what the next prompt of the object needs of its newest mask.
pub fn remember(object: &mut Object, decoded: &Decoded) {
    let mask = &decoded.best.mask;
    object.previous = Some(decoded.best.low_res.clone());
    object.previous_area = mask.area as f32 / (mask.width as f32 * mask.height as f32);
    object.lost = false;
}

/// Why an object of that score counts as lost.
pub fn not_there(score: f32) -> String {
    format!("object score {score:.2} is not above 0")
}

/// The result of an object that nothing was asked about on this frame, with the reason.
pub fn lost_result(object: &Object, (width, height): (u32, u32), reason: String) -> ObjectResult {
    ObjectResult {
        id: object.id,
        class_id: object.class_id.clone(),
        tag: String::new(),
        detection_score: None,
        iou: 0.0,
        object_score: None,
        candidate_ious: Vec::new(),
        mask: Mask::empty(width, height),
        points: Vec::new(),
        bbox: None,
        lost: Some(reason),
    }
}

/// Why a tracked object counts as lost on this frame; `None` when it is there.
pub fn lost(object: &Object, decoded: &Decoded, settings: &Settings) -> Option<String> {
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
pub fn result_of(object: &Object, shown: &Prompt, decoded: Decoded) -> ObjectResult {
    ObjectResult { id: object.id, class_id: object.class_id.clone(), ..result_from(shown, decoded) }
}

/// A result whose id, class, tag and detection score are still to be filled in.
pub fn result_from(shown: &Prompt, decoded: Decoded) -> ObjectResult {
    ObjectResult {
        id: 0,
        class_id: String::new(),
        tag: String::new(),
        detection_score: None,
        iou: decoded.best.iou,
        object_score: decoded.object_score,
        candidate_ious: decoded.candidate_ious,
        points: shown.points.clone(),
        bbox: shown.bbox,
        lost: None,
        mask: decoded.best.mask,
    }
}
