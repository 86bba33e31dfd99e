//! Boxes of the class head's logits, with thresholds and without doubles.

use super::error::Error;
use crate::everything::nms::box_nms;

/// Which boxes become detections.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Least score of a box, from 0 to 1.
    pub min_score: f32,
    /// Least score of the boxes of each phrase, in place of `min_score`; phrases beyond the end of the list have none of their own.
    pub phrase_scores: Vec<Option<f32>>,
    /// Most detections, those of the best scores.
    pub max_objects: usize,
    /// Of two boxes of one phrase with an IoU above this, the one of the better score remains. 1 keeps all.
    pub nms_iou: f32,
}

/// An object that a phrase names.
#[derive(Debug, Clone, PartialEq)]
pub struct TextDetection {
    /// Index of the phrase.
    pub phrase: usize,
    /// Corners `[x0, y0, x1, y1]`, in pixels of the image.
    pub bbox: [f32; 4],
    /// Score from 0 to 1.
    pub score: f32,
}

impl Limits {
    /// Checks the values.
    ///
    /// # Errors
    /// [`Error::Limit`] for the first value out of range.
    pub fn check(&self) -> Result<(), Error> {
        let scores = self.phrase_scores.iter().flatten().map(|score| ("least score of a phrase", *score));
        let shares = [("least score", self.min_score), ("largest IoU of two boxes", self.nms_iou)];
        let wrong = shares.into_iter().chain(scores).find(|(_, found)| !(0.0..=1.0).contains(found));
        if let Some((field, found)) = wrong {
            return Err(Error::Limit { field, found: found.to_string(), expected: "0 to 1" });
        }
        match self.max_objects {
            0 => {
                Err(Error::Limit { field: "largest number of objects", found: "0".to_owned(), expected: "at least 1" })
            }
            _ => Ok(()),
        }
    }
}

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
        let threshold = limits.phrase_scores.get(phrase).copied().flatten().unwrap_or(limits.min_score);
        if score > threshold {
            found.push(TextDetection { phrase, bbox: corners.map(|v| v * square as f32), score });
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
    let mut detections: Vec<TextDetection> = kept.into_iter().filter_map(|detection| cut(detection, size)).collect();
    detections.sort_by(|a, b| b.score.total_cmp(&a.score));
    detections.truncate(limits.max_objects);
    detections
}

/// Cuts a box at the edges of the image. None if it lies outside.
fn cut(detection: TextDetection, (width, height): (u32, u32)) -> Option<TextDetection> {
    let [x0, y0, x1, y1] = detection.bbox;
    let (width, height) = (width as f32, height as f32);
    let bbox = [x0.clamp(0.0, width), y0.clamp(0.0, height), x1.clamp(0.0, width), y1.clamp(0.0, height)];
    (bbox[0] < bbox[2] && bbox[1] < bbox[3]).then_some(TextDetection { bbox, ..detection })
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
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

    #[test]
    fn limits_out_of_range_are_refused() {
        assert!(limits().check().is_ok());
        for wrong in [
            Limits { min_score: f32::NAN, ..limits() },
            Limits { nms_iou: 1.1, ..limits() },
            Limits { max_objects: 0, ..limits() },
            Limits { phrase_scores: vec![None, Some(-0.1)], ..limits() },
        ] {
            assert!(wrong.check().unwrap_err().to_string().contains("expected"), "{wrong:?}");
        }
    }
}
