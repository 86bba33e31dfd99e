//! Low-resolution masks without up-sampling, for callers that filter masks before they need pixels.

use std::ops::Range;

use super::{MaskDecoder, RawOutput};
use crate::model::candidates::{self, Candidates};
use crate::model::decoded::{DecodeOptions, clamp_logits};
use crate::model::embedding::Embedding;
use crate::model::error::Error;
use crate::prompt::{LowResLogits, Prompt};

/// The low-resolution masks of one prompt.
pub struct LowResMasks {
    raw: RawOutput,
    /// Indices of the masks that answer the prompt.
    answers: Range<usize>,
    /// Side of the square of logits, in cells.
    side: usize,
    /// Limit of logits that return to the decoder as a prompt.
    limit: Option<f32>,
}

impl LowResMasks {
    /// Makes the masks of a decoder that is not a [`MaskDecoder`]. `ious` has one value for each of `M` masks, `logits` is
    /// `[M, side, side]`.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the sizes do not agree.
    pub fn from_parts(ious: Vec<f32>, logits: Vec<f32>, side: usize) -> Result<Self, Error> {
        let masks = ious.len();
        if logits.len() != masks * side * side {
            return Err(Error::Tensor {
                file: "low-resolution masks from memory".to_owned(),
                tensor: "logits".to_owned(),
                found: format!("{} values", logits.len()),
                expected: format!("[{masks}, {side}, {side}]"),
            });
        }
        let indices = (0..masks).collect();
        let raw = RawOutput { low_res: logits, indices, ious, object_score: None, pointers: Vec::new() };
        Ok(LowResMasks { raw, answers: 0..masks, side, limit: None })
    }

    /// Returns the predicted IoU and the `side * side` logits of each mask, in the decoder's order.
    pub fn iter(&self) -> impl Iterator<Item = (f32, &[f32])> {
        self.answers.clone().map(|index| (self.raw.ious[index], self.raw.mask(index)))
    }

    /// Returns each mask as a mask prompt for the same image, in the same order.
    pub fn as_prompts(&self) -> impl Iterator<Item = LowResLogits> {
        self.iter().map(|(_, logits)| LowResLogits { side: self.side, data: clamp_logits(logits, self.limit) })
    }
}

impl MaskDecoder {
    /// Decodes the low-resolution masks of each prompt. The masks are those that [`MaskDecoder::decode`] considers; with
    /// [`Candidates::Single`] one mask for each prompt.
    ///
    /// # Errors
    /// The same as for [`MaskDecoder::decode`].
    pub fn low_res_masks(
        &mut self,
        embedding: &Embedding,
        prompts: &[Prompt],
        candidates: Candidates,
    ) -> Result<Vec<LowResMasks>, Error> {
        self.check(embedding, prompts)?;
        let options = DecodeOptions { candidates, all_masks: true, ..DecodeOptions::default() };
        let wanted = prompts.iter().map(|prompt| self.wanted_masks(prompt, &options)).collect::<Vec<_>>();
        let outputs = self.run_all(embedding, prompts, &wanted)?;
        let answer = |(prompt, raw): (&Prompt, RawOutput)| {
            let mut answers = self.answering_masks(candidates, prompt, &raw);
            if candidates == Candidates::Single {
                let best = candidates::best(&raw.ious, answers);
                answers = best..best + 1;
            }
            LowResMasks { raw, answers, side: self.info.low_res_size, limit: self.info.low_res_limit }
        };
        Ok(prompts.iter().zip(outputs).map(answer).collect())
    }
}
