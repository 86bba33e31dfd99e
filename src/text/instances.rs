//! Masks of SAM 3's detector, with thresholds.

use super::detection::{Limits, TextDetection, cut, sigmoid};
use super::error::Error;
use super::sam3::Answer;
use crate::model::{Candidate, Decoded};
use crate::pixels::{Geometry, LastUpscaler, Resize};
use crate::prompt::LowResLogits;

/// Shift of the threshold of probabilities for the stability score and the certain part of a mask. At the threshold 0.5 it is a
/// shift of one logit, as in the stability score of SAM.
const STABILITY_OFFSET: f32 = 0.231_058_58;

/// A mask that passed the thresholds, before it is drawn.
#[derive(Debug)]
pub struct Instance {
    phrase: usize,
    /// Number among the masks of the phrase.
    query: usize,
    /// Corners in pixels of the image.
    bbox: [f32; 4],
    score: f32,
    /// Logit of the phrase being in the image.
    presence: f32,
    /// `[M, M]` logits.
    logits: Vec<f32>,
}

/// Selects masks as `post_process_instance_segmentation` of transformers: the score is the product of the probabilities of the
/// mask and of the phrase being in the image, and must be above the threshold. An object may answer to several phrases.
///
/// Adds the masks of a phrase to `instances`, and keeps the best `limits.max_objects`, the best score first. `size` is the size of
/// the image, in pixels.
///
/// # Errors
/// A logit is not finite.
pub fn select(
    answer: &Answer,
    phrase: usize,
    size: (u32, u32),
    limits: &Limits,
    instances: &mut Vec<Instance>,
) -> Result<(), Error> {
    let presence = sigmoid(answer.presence);
    let boxes = answer.boxes.as_chunks::<4>().0;
    let (width, height) = (size.0 as f32, size.1 as f32);
    for (query, (logit, corners)) in answer.logits.iter().zip(boxes).enumerate() {
        let score = sigmoid(*logit) * presence;
        let is_among_best = instances.len() < limits.max_objects || instances.last().is_some_and(|i| score > i.score);
        if score > limits.least_score(phrase) && is_among_best {
            let [x0, y0, x1, y1] = *corners;
            let bbox = cut([x0 * width, y0 * height, x1 * width, y1 * height], size);
            let logits = answer.mask(query)?;
            let at = instances.partition_point(|other| other.score >= score);
            let presence = answer.presence;
            instances.insert(at, Instance { phrase, query, bbox, score, presence, logits });
            instances.truncate(limits.max_objects);
        }
    }
    Ok(())
}

/// Draws masks at the size of the image: the probabilities of the cells, up-sampled bilinearly, above the threshold.
#[derive(Debug, Default)]
pub struct MaskArtist {
    upscaler: LastUpscaler,
}

impl MaskArtist {
    /// Returns the detection of a mask with `side` cells a side. `threshold` is that of probabilities.
    pub fn draw(
        &mut self,
        instance: Instance,
        side: usize,
        threshold: f32,
        (width, height): (u32, u32),
    ) -> TextDetection {
        let Instance { phrase, query, bbox, score, presence, logits } = instance;
        let geometry = Geometry::new(width, height, side as u32, Resize::Stretch);
        let upscaler = self.upscaler.get(side, &geometry);
        let probabilities = logits.iter().map(|logit| sigmoid(*logit)).collect::<Vec<f32>>();
        let best = Candidate {
            index: query,
            iou: score,
            mask: upscaler.mask(&probabilities, threshold, STABILITY_OFFSET),
            certain: Some(upscaler.certain_mask(&probabilities, threshold, STABILITY_OFFSET)),
            low_res: LowResLogits { side, data: logits.into() },
            logits: None,
        };
        let mask = Decoded { best, others: Vec::new(), candidate_ious: vec![score], object_score: Some(presence) };
        TextDetection { phrase, bbox, score, mask: Some(mask) }
    }
}
