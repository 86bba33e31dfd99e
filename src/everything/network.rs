//! What the generator asks of a model.

use image::RgbImage;

use crate::model::{self, Candidates, Embedding, GridDefaults, ImageEncoder, LowResMasks, MaskDecoder};
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

    /// Checks that the model takes prompts of the kinds of `prompt`: points, a box, a mask.
    ///
    /// # Errors
    /// [`model::Error::PromptKind`] with the kind that the model does not take.
    fn check_kinds(&self, _prompt: &Prompt) -> Result<(), model::Error> {
        Ok(())
    }

    /// Returns the memory in bytes that each prompt of a run takes; 0 if it is not known.
    fn bytes_per_prompt(&self) -> usize {
        0
    }

    /// Returns the defaults of the generator for this model.
    fn grid_defaults(&self) -> GridDefaults {
        GridDefaults::default()
    }

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

    fn check_kinds(&self, prompt: &Prompt) -> Result<(), model::Error> {
        MaskDecoder::check_kinds(self, prompt)
    }

    fn bytes_per_prompt(&self) -> usize {
        MaskDecoder::bytes_per_prompt(self)
    }

    fn grid_defaults(&self) -> GridDefaults {
        MaskDecoder::grid_defaults(self)
    }

    fn low_res_side(&self) -> usize {
        MaskDecoder::low_res_side(self)
    }

    fn mask_threshold(&self) -> f32 {
        MaskDecoder::mask_threshold(self)
    }
}
