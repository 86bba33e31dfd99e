//! Objects that phrases name, and the limits of a search.

use super::error::Error;
use crate::model::Decoded;

/// Which boxes or masks become detections.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Least score of an object, from 0 to 1.
    pub min_score: f32,
    /// Least score of the objects of each phrase, in place of `min_score`; phrases beyond the end of the list have none of their own.
    pub phrase_scores: Vec<Option<f32>>,
    /// Most detections, those of the best scores.
    pub max_objects: usize,
    /// Of two boxes of one phrase with an IoU above this, the one of the better score remains. 1 keeps all. Models that make
    /// masks keep all.
    pub nms_iou: f32,
}

/// An object that a phrase names.
#[derive(Debug, Clone)]
pub struct TextDetection {
    /// Index of the phrase.
    pub phrase: usize,
    /// Corners `[x0, y0, x1, y1]`, in pixels of the image.
    pub bbox: [f32; 4],
    /// Score from 0 to 1.
    pub score: f32,
    /// Mask of the object, from models that make masks: as a decoder of prompts returns it, with its certain part. Its `iou` is
    /// the score, because the model predicts no IoU. Its object score is the logit of the phrase being in the image.
    pub mask: Option<Decoded>,
}

impl Limits {
    /// Returns the least score of the objects of a phrase.
    pub(super) fn least_score(&self, phrase: usize) -> f32 {
        self.phrase_scores.get(phrase).copied().flatten().unwrap_or(self.min_score)
    }

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

/// Cuts a box at the edges of an image.
pub(super) fn cut([x0, y0, x1, y1]: [f32; 4], (width, height): (u32, u32)) -> [f32; 4] {
    let (width, height) = (width as f32, height as f32);
    [x0.clamp(0.0, width), y0.clamp(0.0, height), x1.clamp(0.0, width), y1.clamp(0.0, height)]
}

pub(super) fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { min_score: 0.5, phrase_scores: Vec::new(), max_objects: 10, nms_iou: 0.3 }
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
