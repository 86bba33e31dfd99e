//! Boxes of the class head's logits, with thresholds and without doubles.

use super::detection::{Limits, TextDetection, cut, sigmoid};
use crate::everything::nms::box_nms;

/// Selects boxes as `post_process_object_detection` of transformers: each box belongs to the phrase of its best logit, and its
/// score is above the threshold. Then, as its `post_process_image_guided_detection`, a box that overlaps a better box of the
/// same phrase is left out.
///
/// `logits` are `[P, Q]` for `phrases` phrases, `boxes` `[P, 4]` corners relative to a square of `square` pixels, in whose
/// top-left corner the image of `size` pixels lies. Boxes are cut at the edges of the image; a box in the padding alone is
/// left out. The best score comes first.
pub fn select(
    logits: &[f32],
    phrases: usize,
    boxes: &[f32],
    (square, size): (u32, (u32, u32)),
    limits: &Limits,
) -> Vec<TextDetection> {
    let mut found: Vec<TextDetection> = Vec::new();
    for (row, corners) in logits.chunks_exact(phrases.max(1)).zip(boxes.as_chunks::<4>().0) {
        let mut best = (0, f32::NEG_INFINITY);
        for (phrase, logit) in row.iter().copied().enumerate() {
            if logit > best.1 {
                best = (phrase, logit);
            }
        }
        let (phrase, score) = (best.0, sigmoid(best.1));
        if score > limits.least_score(phrase) {
            found.push(TextDetection { phrase, bbox: corners.map(|v| v * square as f32), score, mask: None });
        }
    }
    let mut kept = Vec::new();
    for phrase in 0..phrases {
        let of_phrase: Vec<&TextDetection> = found.iter().filter(|detection| detection.phrase == phrase).collect();
        let boxes: Vec<[f32; 4]> = of_phrase.iter().map(|detection| detection.bbox).collect();
        let scores: Vec<f32> = of_phrase.iter().map(|detection| detection.score).collect();
        let indices = box_nms(&boxes, &scores, f64::from(limits.nms_iou));
        kept.extend(indices.into_iter().map(|index| of_phrase[index].clone()));
    }
    let inside = |detection: TextDetection| {
        let bbox = cut(detection.bbox, size);
        (bbox[0] < bbox[2] && bbox[1] < bbox[3]).then_some(TextDetection { bbox, ..detection })
    };
    let mut detections: Vec<TextDetection> = kept.into_iter().filter_map(inside).collect();
    detections.sort_by(|a, b| b.score.total_cmp(&a.score));
    detections.truncate(limits.max_objects);
    detections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { min_score: 0.5, phrase_scores: Vec::new(), max_objects: 10, nms_iou: 0.3 }
    }

    /// Four boxes in a square of 100 pixels: two that overlap, one in the padding, one across the edge of the image.
    const BOXES: [f32; 16] = [0.1, 0.1, 0.3, 0.3, 0.1, 0.1, 0.3, 0.31, 0.2, 0.8, 0.4, 0.95, 0.5, 0.4, 0.9, 0.7];
    const IMAGE: (u32, (u32, u32)) = (100, (100, 60));

    fn phrases(logits: &[f32], limits: &Limits) -> Vec<(usize, f32)> {
        select(logits, 2, &BOXES, IMAGE, limits).into_iter().map(|d| (d.phrase, d.score)).collect()
    }

    #[test]
    fn boxes_belong_to_their_best_phrase_without_doubles() {
        let logits = [1.0, 0.5, 2.0, 0.0, 3.0, 0.0, -1.0, 0.2];
        let found = select(&logits, 2, &BOXES, IMAGE, &limits());
        assert_eq!(found.iter().map(|d| d.phrase).collect::<Vec<_>>(), [0, 1]);
        assert!((found[0].bbox[3] - 31.0).abs() < 1e-4 && (found[0].score - sigmoid(2.0)).abs() < 1e-6);
        assert_eq!(found[1].bbox, [50.0, 40.0, 90.0, 60.0], "cut at the edge of the image");
        // The same boxes for two phrases are no doubles.
        assert_eq!(phrases(&[1.0, 0.5, 0.0, 2.0, -1.0, -1.0, -1.0, -1.0], &limits()).len(), 2);
        assert_eq!(phrases(&logits, &Limits { nms_iou: 1.0, ..limits() }).len(), 3);
        assert_eq!(phrases(&logits, &Limits { max_objects: 1, ..limits() }), [(0, sigmoid(2.0))]);
    }

    #[test]
    fn a_phrase_may_have_a_threshold_of_its_own() {
        let logits = [1.0, 0.5, 2.0, 0.0, 3.0, 0.0, -1.0, 0.2];
        let with = |phrase_scores: &[Option<f32>]| {
            phrases(&logits, &Limits { phrase_scores: phrase_scores.to_vec(), ..limits() }).len()
        };
        assert_eq!(
            (with(&[]), with(&[None, Some(0.6)]), with(&[Some(0.9), None]), with(&[Some(0.9), Some(0.6)])),
            (2, 1, 1, 0)
        );
        assert_eq!(with(&[Some(0.0)]), 2);
    }
}
