//! The counterpart of Python's `SamPredictor`: sets an image, then predicts masks on the image any number of times.
//!
//! ```
//! use image::{Rgb, RgbImage};
//! use promptseg::model::{DecodeOptions, Model, SessionOptions};
//! use promptseg::prompt::Prompt;
//! use promptseg::segmenter::Segmenter;
//!
//! // A red square on a grey table.
//! let mut picture = RgbImage::from_pixel(320, 240, Rgb([120, 120, 120]));
//! for (x, y) in (100..180).flat_map(|x| (60..140).map(move |y| (x, y))) {
//!     picture.put_pixel(x, y, Rgb([200, 30, 30]));
//! }
//!
//! let mut segmenter = Segmenter::new(Model::open("models/tiny".as_ref(), None, &SessionOptions::cpu(2))?);
//! segmenter.set_image(&picture)?; // slow: once for each image
//! let clicked = segmenter.predict(&Prompt::point(140.0, 100.0), &DecodeOptions::default())?; // quick: once for each click
//!
//! assert!(clicked.best.iou > 0.8);
//! assert!(clicked.best.mask.contains(140, 100) && !clicked.best.mask.contains(20, 20));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use image::RgbImage;
use thiserror::Error as ThisError;

use crate::model::{self, DecodeOptions, Decoded, Decodes, Embedding, Model, ModelInfo, ProviderReport};
use crate::prompt::{Prompt, PromptError};

/// Reason why a prediction failed.
#[derive(Debug, ThisError)]
pub enum Error {
    #[error("no image is set; call set_image first")]
    NoImage,
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Model(#[from] model::Error),
}

/// A model with its current image: `SamPredictor` of segment_anything/predictor.py. Encoder and decoder run on the
/// caller's thread; the engine runs them on two threads instead.
pub struct Segmenter {
    model: Model,
    embedding: Option<Embedding>,
}

impl Segmenter {
    /// Makes a segmenter without an image.
    pub fn new(model: Model) -> Self {
        Segmenter { model, embedding: None }
    }

    /// Returns the description of the model.
    pub fn info(&self) -> &ModelInfo {
        &self.model.info
    }

    /// Returns which execution provider runs the image encoder.
    pub fn providers(&self) -> &ProviderReport {
        self.model.encoder.providers()
    }

    /// Encodes an image, for all predictions until the next call.
    ///
    /// # Errors
    /// [`Error::Model`] if the image has no pixels or the encoder fails. No image is set then.
    pub fn set_image(&mut self, image: &RgbImage) -> Result<&Embedding, Error> {
        self.embedding = None;
        let embedding = self.model.encoder.encode(image)?;
        Ok(self.embedding.insert(embedding))
    }

    /// Returns the embedding of the current image.
    pub fn embedding(&self) -> Option<&Embedding> {
        self.embedding.as_ref()
    }

    /// Predicts the masks of one object. The prompt is checked against the image and clamped to it.
    ///
    /// # Errors
    /// [`Error::NoImage`], [`Error::Prompt`] if the prompt does not fit the image, [`Error::Model`] if the decoder
    /// fails.
    pub fn predict(&mut self, prompt: &Prompt, options: &DecodeOptions) -> Result<Decoded, Error> {
        let mut decodes = self.predict_many(std::slice::from_ref(prompt), options)?;
        // One prompt has one result.
        decodes.objects.pop().ok_or(Error::NoImage)
    }

    /// Predicts the masks of several objects, in as few runs of the decoder as its graph allows.
    ///
    /// # Errors
    /// As [`Segmenter::predict`]; the first fault of any prompt.
    pub fn predict_many(&mut self, prompts: &[Prompt], options: &DecodeOptions) -> Result<Decodes, Error> {
        let embedding = self.embedding.as_ref().ok_or(Error::NoImage)?;
        let (width, height) = embedding.image_size();
        let prompts = prompts.iter().map(|p| p.check(width, height)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.model.decoder.decode(embedding, &prompts, options)?)
    }

    /// Removes the current image.
    pub fn reset(&mut self) {
        self.embedding = None;
    }

    /// Returns the model, for instance to run encoder and decoder on two threads.
    pub fn into_model(self) -> Model {
        self.model
    }
}
