//! Options and results of the mask decoder.

use std::sync::Arc;

use super::candidates::Candidates;
use crate::pixels::Mask;
use crate::prompt::LowResLogits;

/// Options of a decoding.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeOptions {
    pub candidates: Candidates,
    /// Return every considered mask, not only the best.
    pub all_masks: bool,
    /// Return logits of the image's size too.
    pub logits: bool,
    /// Return the certain part of each mask too.
    pub certain: bool,
    /// Shift of the threshold, in logits, for the stability score and the certain part; SAM's automatic mask generator uses 1.
    pub stability_offset: f32,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        DecodeOptions {
            candidates: Candidates::Auto,
            all_masks: false,
            logits: false,
            certain: false,
            stability_offset: 1.0,
        }
    }
}

/// One mask of an object.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Index among the decoder's masks; 0 is SAM's mask for clear prompts.
    pub index: usize,
    /// IoU that the model predicts.
    pub iou: f32,
    /// Mask of the image's size.
    pub mask: Mask,
    /// Part of `mask` that the model is certain of, if the options ask for it: the pixels whose logits exceed the threshold by
    /// more than the offset of the stability score.
    pub certain: Option<Mask>,
    /// Low-resolution logits, which can be a mask prompt on the same image.
    pub low_res: LowResLogits,
    /// `width * height` logits, row by row, if the options ask for them.
    pub logits: Option<Vec<f32>>,
}

/// Result for one prompt.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The considered mask of the highest predicted IoU.
    pub best: Candidate,
    /// The other considered masks in the decoder's order, only with [`DecodeOptions::all_masks`].
    pub others: Vec<Candidate>,
    /// Predicted IoU of every considered mask, in the decoder's order.
    pub candidate_ious: Vec<f32>,
    /// Logit of the object's presence, from families that predict it.
    pub object_score: Option<f32>,
}

/// Time of a decoding by stage, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DecodeTimings {
    /// Prompt encoding and the decoder's session.
    pub run_ms: f64,
    /// Low-resolution logits to masks of the image's size.
    pub postprocess_ms: f64,
}

/// Results for a batch of prompts, in the order of the prompts.
#[derive(Debug, Clone, Default)]
pub struct Decodes {
    pub objects: Vec<Decoded>,
    pub timings: DecodeTimings,
}

/// Returns low-resolution logits as the decoder takes them back as a prompt: within `-limit..=limit`.
pub(super) fn clamp_logits(logits: &[f32], limit: Option<f32>) -> Arc<[f32]> {
    match limit {
        Some(limit) => logits.iter().map(|v| v.clamp(-limit, limit)).collect(),
        None => logits.into(),
    }
}
