//! From the decoder's output for an object to its result.

use super::object::Object;
use crate::engine::result::ObjectResult;
use crate::engine::settings::Settings;
use crate::model::Decoded;
use crate::pixels::Mask;
use crate::prompt::Prompt;

/// Stores the object's newest mask for its next prompt.
pub fn update_previous_mask(object: &mut Object, decoded: &Decoded) {
    let mask = &decoded.best.mask;
    object.previous_logits = Some(decoded.best.low_res.clone());
    object.previous_area = mask.area as f32 / (mask.width as f32 * mask.height as f32);
    object.lost = false;
}

/// Returns the reason why an object of that score is lost.
pub fn score_below_zero(score: f32) -> String {
    format!("object score {score:.2} is not above 0")
}

/// Returns the result of an object that was not decoded on this frame, with the reason.
pub fn lost_result(object: &Object, (width, height): (u32, u32), reason: String) -> ObjectResult {
    ObjectResult {
        id: object.id,
        class_id: object.class_id.clone(),
        tag: object.tag.clone(),
        detection_score: None,
        persistence: Some(object.persistence),
        iou: 0.0,
        object_score: None,
        candidate_ious: Vec::new(),
        mask: Mask::empty(width, height),
        certain: None,
        points: Vec::new(),
        bbox: None,
        lost: Some(reason),
    }
}

/// Returns why a tracked object is lost on this frame; `None` if it was found.
pub fn loss_reason(object: &Object, decoded: &Decoded, settings: &Settings) -> Option<String> {
    if let Some(score) = decoded.object_score.filter(|s| *s <= 0.0) {
        return Some(score_below_zero(score));
    }
    if decoded.best.iou < settings.track_min_iou {
        return Some(format!("predicted IoU {:.2} is below {:.2}", decoded.best.iou, settings.track_min_iou));
    }
    let mask = &decoded.best.mask;
    if mask.area == 0 {
        return Some("the mask is empty".into());
    }
    let area = mask.area as f32 / (mask.width as f32 * mask.height as f32);
    let jump = area / object.previous_area.max(f32::EPSILON);
    let bound = settings.track_max_area_jump;
    if object.previous_area > 0.0 && !(1.0 / bound..=bound).contains(&jump) {
        return Some(format!("the mask's area changed by a factor of {jump:.2} from one frame to the next"));
    }
    None
}

/// Returns the result of a current object. `shown`: prompt that the overlay draws.
pub fn object_result(object: &Object, shown: &Prompt, decoded: Decoded) -> ObjectResult {
    let (class_id, tag) = (object.class_id.clone(), object.tag.clone());
    let persistence = Some(object.persistence);
    ObjectResult { id: object.id, class_id, tag, persistence, ..unnamed_result(shown, decoded) }
}

/// Returns a result whose id, class, tag, detection score and persistence the caller fills in.
pub fn unnamed_result(shown: &Prompt, decoded: Decoded) -> ObjectResult {
    ObjectResult {
        id: 0,
        class_id: String::new(),
        tag: String::new(),
        detection_score: None,
        persistence: None,
        iou: decoded.best.iou,
        object_score: decoded.object_score,
        candidate_ious: decoded.candidate_ious,
        points: shown.points.clone(),
        bbox: shown.bbox,
        lost: None,
        mask: decoded.best.mask,
        certain: decoded.best.certain,
    }
}
