//! The generated masks as results: largest first, numbered.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::engine::result::ObjectResult;
use crate::engine::settings::GenerationSettings;
use crate::everything::GeneratedMask;
use crate::pixels::Mask;

/// Number of the largest mask. Objects of prompts and detections have smaller numbers.
pub const FIRST_ID: u32 = 10_001;

/// Returns the masks as results, largest first, and how many are left out: all but the most certain `settings.max_masks`, and
/// those that would make the result larger than `most_bytes`.
pub(super) fn results(
    mut masks: Vec<GeneratedMask>,
    settings: &GenerationSettings,
    most_bytes: usize,
) -> (Vec<Arc<ObjectResult>>, usize) {
    masks.retain(|mask| mask.area >= settings.min_area.max(1));
    let found = masks.len();
    let certainty = |mask: &GeneratedMask| mask.predicted_iou * mask.stability_score;
    masks.sort_by(|a, b| certainty(b).total_cmp(&certainty(a)));
    masks.truncate(settings.max_masks);
    let mut bytes = 0;
    masks.retain(|mask| {
        let [_, _, width, height] = mask.bbox.xywh();
        bytes += (width as usize + 1) * (height as usize + 1);
        bytes <= most_bytes
    });
    masks.sort_by_key(|mask| Reverse(mask.area));
    let left_out = found - masks.len();
    let results = (FIRST_ID..).zip(masks).map(|(id, mask)| Arc::new(object_result(id, &mask))).collect();
    (results, left_out)
}

fn object_result(id: u32, generated: &GeneratedMask) -> ObjectResult {
    ObjectResult {
        id,
        class_id: String::new(),
        tag: String::new(),
        detection_score: None,
        persistence: None,
        iou: generated.predicted_iou,
        object_score: None,
        candidate_ious: vec![generated.predicted_iou],
        mask: Mask { stability: generated.stability_score, ..generated.mask.to_mask() },
        certain: None,
        points: Vec::new(),
        bbox: None,
        lost: None,
    }
}
