//! What the generator asks of a model.

use image::RgbImage;

use crate::model::{self, Candidates, Embedding, ImageEncoder, LowResMasks, MaskDecoder};
use crate::prompt::Prompt;

/// Encodes crops.
pub trait Encoder: Send {
    /// # Errors
    /// The error of the model's session.
    fn encode(&mut self, crop: &RgbImage) -> Result<Embedding, model::Error>;
}

/// Decodes clicks.
pub trait Decoder {
    /// The low-resolution masks of each prompt, with their predicted IoU.
    ///
    /// # Errors
    /// The error of the model's session.
    fn low_res_masks(
        &mut self,
        embedding: &Embedding,
        prompts: &[Prompt],
        candidates: Candidates,
    ) -> Result<Vec<LowResMasks>, model::Error>;

    /// Side of the square of low-resolution logits, in cells.
    fn low_res_side(&self) -> usize;

    /// Logits above this threshold are inside the mask.
    fn mask_threshold(&self) -> f32;
}

impl Encoder for ImageEncoder {
    fn encode(&mut self, crop: &RgbImage) -> Result<Embedding, model::Error> {
        ImageEncoder::encode(self, crop)
    }
}

impl Decoder for MaskDecoder {
    fn low_res_masks(
        &mut self,
        embedding: &Embedding,
        prompts: &[Prompt],
        candidates: Candidates,
    ) -> Result<Vec<LowResMasks>, model::Error> {
        MaskDecoder::low_res_masks(self, embedding, prompts, candidates)
    }

    fn low_res_side(&self) -> usize {
        MaskDecoder::low_res_side(self)
    }

    fn mask_threshold(&self) -> f32 {
        MaskDecoder::mask_threshold(self)
    }
}
