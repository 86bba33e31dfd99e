//! What a decoder is asked for and what it answers.

use super::candidates::Candidates;
use crate::pixels::Mask;
use crate::prompt::LowResLogits;

/// What a decoding is to return.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeOptions {
    pub candidates: Candidates,
    /// Return every candidate that was considered, not only the best.
    pub all_masks: bool,
    /// Return logits at the image's size too.
    pub logits: bool,
    /// Shift of the threshold, in logits, for the stability score; SAM's automatic mask generator uses 1.
    pub stability_offset: f32,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        DecodeOptions { candidates: Candidates::Auto, all_masks: false, logits: false, stability_offset: 1.0 }
    }
}

/// One mask of an object.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Which of the decoder's masks it is; 0 is SAM's mask for clear prompts.
    pub index: usize,
    /// As the model predicts it.
    pub iou: f32,
    /// At the image's size.
    pub mask: Mask,
    /// To be fed back as a mask prompt on the same image.
    pub low_res: LowResLogits,
    /// `width * height` logits, row by row, where they were asked for.
    pub logits: Option<Vec<f32>>,
}

/// The answer to one prompt.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The considered mask of the highest predicted IoU.
    pub best: Candidate,
    /// The other considered masks in the decoder's order, only with [`DecodeOptions::all_masks`].
    pub others: Vec<Candidate>,
    /// Predicted IoU of all considered masks, in the decoder's order.
    pub candidate_ious: Vec<f32>,
    /// Logit of the object being there at all, from families that predict it.
    pub object_score: Option<f32>,
}

/// Where the time of a decoding went, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DecodeTimings {
    /// Prompt encoding and the decoder's session.
    pub run_ms: f64,
    /// Low-resolution logits to masks of the image's size.
    pub postprocess_ms: f64,
}

/// The answers to a batch of prompts, in their order.
#[derive(Debug, Clone)]
pub struct Decodes {
    pub objects: Vec<Decoded>,
    pub timings: DecodeTimings,
}

/// What came out of one run for one object.
pub(super) struct Raw {
    /// `[M, side, side]`.
    pub low_res: Vec<f32>,
    /// Which of the decoder's masks these are.
    pub indices: Vec<usize>,
    /// Of all of the decoder's masks.
    pub ious: Vec<f32>,
    pub object_score: Option<f32>,
    /// One for each mask in `indices`, from graphs that make them.
    pub pointers: Vec<f32>,
}

impl Raw {
    /// The logits of one of the decoder's masks.
    pub fn mask(&self, index: usize) -> &[f32] {
        let area = self.low_res.len() / self.indices.len().max(1);
        let at = self.indices.iter().position(|i| *i == index).unwrap_or_default();
        &self.low_res[at * area..(at + 1) * area]
    }

    /// The object pointer of one of the decoder's masks.
    pub fn pointer(&self, index: usize) -> Option<&[f32]> {
        let size = self.pointers.len() / self.indices.len().max(1);
        let at = self.indices.iter().position(|i| *i == index)?;
        self.pointers.get(at * size..(at + 1) * size).filter(|pointer| !pointer.is_empty())
    }
}
