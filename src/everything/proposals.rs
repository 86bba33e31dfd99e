//! Object proposals: boxes ranked by how sure the model is of their masks (Kirillov et al. 2023, section 5.3 and appendix D.3).

use super::filter::{CornerBox, GeneratedMask};
use super::nms::box_nms;
use super::settings::Settings;

/// Overlap above which the less certain of two proposals is dropped.
pub const NMS_THRESH: f64 = 0.9;

/// Most proposals of one image.
pub const MOST_PROPOSALS: usize = 1000;

/// One box that may hold an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    /// The box, in pixels of the image.
    pub bbox: CornerBox,
    /// Predicted IoU times stability score.
    pub score: f32,
    /// Index of the mask that the proposal was made of.
    pub mask: usize,
}

/// Settings of the generator for proposals: a loose filter and a high overlap, so that few objects are missed.
pub fn settings() -> Settings {
    Settings {
        points_per_side: 64,
        pred_iou_thresh: 0.0,
        stability_score_thresh: 0.0,
        box_nms_thresh: NMS_THRESH,
        crop_nms_thresh: NMS_THRESH,
        ..Settings::default()
    }
}

/// The best [`MOST_PROPOSALS`] boxes of the generator's masks, best first. Masks without area are left out.
pub fn proposals(masks: &[GeneratedMask]) -> Vec<Proposal> {
    let indices: Vec<usize> = (0..masks.len()).filter(|index| masks[*index].area > 0).collect();
    let boxes: Vec<[f32; 4]> = indices.iter().map(|index| masks[*index].bbox.corners()).collect();
    let scores: Vec<f32> =
        indices.iter().map(|index| masks[*index].predicted_iou * masks[*index].stability_score).collect();
    let proposal = |kept: usize| Proposal { bbox: masks[indices[kept]].bbox, score: scores[kept], mask: indices[kept] };
    box_nms(&boxes, &scores, NMS_THRESH).into_iter().take(MOST_PROPOSALS).map(proposal).collect()
}
