//! What `SamPredictor` is in Python: set an image, predict masks on it as often as wanted.

use image::RgbImage;
use thiserror::Error as ThisError;

use crate::model::{self, DecodeOptions, Decoded, Decodes, Embedding, Model, ModelInfo};
use crate::prompt::{Prompt, PromptError};

/// Why there is no mask.
#[derive(Debug, ThisError)]
pub enum Error {
    #[error("no image is set: call set_image first")]
    NoImage,
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Model(#[from] model::Error),
}

/// A model with the image that it looks at: segment_anything/predictor.py. For one thread; the engine has one each for
/// encoder and decoder.
pub struct Segmenter {
    model: Model,
    embedding: Option<Embedding>,
}

impl Segmenter {
    pub fn new(model: Model) -> Self {
        Segmenter { model, embedding: None }
    }

    pub fn info(&self) -> &ModelInfo {
        &self.model.info
    }

    /// Encodes an image; predictions are on it until the next. On failure no image is set.
    pub fn set_image(&mut self, image: &RgbImage) -> Result<&Embedding, Error> {
        self.embedding = None;
        let embedding = self.model.encoder.encode(image)?;
        Ok(self.embedding.insert(embedding))
    }

    /// The embedding of the image that is set.
    pub fn embedding(&self) -> Option<&Embedding> {
        self.embedding.as_ref()
    }

    /// Masks for one object. The prompt is checked against the image, and clamped to it.
    pub fn predict(&mut self, prompt: &Prompt, options: &DecodeOptions) -> Result<Decoded, Error> {
        let mut decodes = self.predict_many(std::slice::from_ref(prompt), options)?;
        // One prompt in, one answer out.
        decodes.objects.pop().ok_or(Error::NoImage)
    }

    /// Masks for several objects, in as few runs of the decoder as its graph allows.
    pub fn predict_many(&mut self, prompts: &[Prompt], options: &DecodeOptions) -> Result<Decodes, Error> {
        let embedding = self.embedding.as_ref().ok_or(Error::NoImage)?;
        let (width, height) = embedding.image_size();
        let prompts = prompts.iter().map(|p| p.check(width, height)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.model.decoder.decode(embedding, &prompts, options)?)
    }

    /// Forgets the image.
    pub fn reset(&mut self) {
        self.embedding = None;
    }

    /// The parts, for those who want a thread each.
    pub fn into_model(self) -> Model {
        self.model
    }
}
