//! Low-resolution masks without up-sampling, for callers that filter masks before they need pixels.

use std::ops::Range;

use super::{MaskDecoder, RawOutput};
use crate::model::candidates::{self, Candidates};
use crate::model::decoded::{DecodeOptions, clamp_logits};
use crate::model::embedding::Embedding;
use crate::model::error::Error;
use crate::prompt::{LowResLogits, Prompt};

/// Bytes that a prompt of a run takes for each value of the image embedding: the copies of the image in the decoder's
/// attention and up-sampling. Measured with MobileSAM (2^20 values) by the peak memory of a process: 24 with 15 prompts in a
/// run, 52 with 59.
const BYTES_PER_VALUE: usize = 48;

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
    /// Checks that the model takes prompts of the kinds of `prompt`: points, a box, a mask.
    ///
    /// # Errors
    /// [`Error::PromptKind`] with the kind that the model does not take.
    pub fn check_kinds(&self, prompt: &Prompt) -> Result<(), Error> {
        let info = &self.info;
        match info.refusal(prompt) {
            Some(kind) => Err(Error::PromptKind { model: info.name.clone(), kind, takes: info.takes() }),
            None => Ok(()),
        }
    }

    /// Returns the memory in bytes that each prompt of a run takes, as [`BYTES_PER_VALUE`] estimates it.
    pub fn bytes_per_prompt(&self) -> usize {
        self.info.embedding_shape.iter().product::<usize>() * BYTES_PER_VALUE
    }

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
