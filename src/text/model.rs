//! A text model: phrases and images to boxes.

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;

use super::description::TextBundle;
use super::encoder::{TextEncoder, exact};
use super::error::Error;
use super::features::Features;
use super::network::{Network, Sight};
use super::phrase::Phrase;
use super::selection::{Limits, TextDetection, select};
use crate::model::{ProviderReport, SessionOptions};

/// A text model with open sessions. It belongs to one thread.
pub struct TextModel {
    encoder: TextEncoder,
    network: Network,
}

impl TextModel {
    /// Opens the bundle of a text model. With `bank`, the text tower is opened for the first phrase that the bank does not have,
    /// and may be missing.
    ///
    /// # Errors
    /// [`Error::NoTextModel`] for another folder, [`Error::ForeignBank`] for the bank of another model, [`Error::NoTextTower`] if
    /// there is neither a text tower nor a bank, and the errors of files, graphs and execution providers.
    pub fn open(folder: &Path, options: &SessionOptions, bank: Option<&Path>) -> Result<Self, Error> {
        let encoder = TextEncoder::of_bundle(TextBundle::open(folder)?, options, bank)?;
        let network = Network::open(encoder.bundle(), &exact(options))?;
        Ok(TextModel { encoder, network })
    }

    /// Returns the name of the model.
    pub fn name(&self) -> &str {
        self.encoder.name()
    }

    /// Returns a hash of the files of the model, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.encoder.bundle().hash
    }

    /// Returns the number of phrases of the bank; none without a bank.
    pub fn bank_len(&self) -> Option<usize> {
        self.encoder.bank_len()
    }

    /// Returns the name and the report of each open session.
    pub fn reports(&self) -> Vec<(&'static str, &ProviderReport)> {
        let text_tower = self.encoder.report().map(|report| ("text tower", report));
        self.network.reports().into_iter().chain(text_tower).collect()
    }

    /// Returns the defaults of the processor for phrases: threshold, and IoU of doubles.
    pub fn limits(&self, phrases: &[Phrase], max_objects: usize) -> Limits {
        let fields = &self.encoder.bundle().fields;
        Limits {
            min_score: fields.min_score,
            phrase_scores: phrases.iter().map(|phrase| phrase.min_score).collect(),
            max_objects,
            nms_iou: fields.nms_iou,
        }
    }

    /// Returns the features of phrases, in their order. They are computed once for each phrase.
    ///
    /// # Errors
    /// As [`TextEncoder::understand`].
    pub fn understand(&mut self, phrases: &[Phrase]) -> Result<Vec<Arc<Features>>, Error> {
        self.encoder.understand(phrases)
    }

    /// Computes everything about an image that does not depend on a phrase. This is the slow step; each [`Self::detect`] is quick.
    ///
    /// # Errors
    /// [`Error::Pixels`] for an image without pixels, [`Error::Model`] if the image tower fails.
    pub fn look(&mut self, image: &RgbImage) -> Result<Sight, Error> {
        self.network.look(image)
    }

    /// Returns the logits of each box of an image for each phrase, `[P, Q]`.
    ///
    /// # Errors
    /// [`Error::Phrases`] for none or too many phrases, [`Error::ForeignFeatures`] for those of another model, [`Error::Model`] if
    /// the class head fails.
    pub fn logits(&mut self, sight: &Sight, features: &[Arc<Features>]) -> Result<Vec<f32>, Error> {
        self.network.logits(sight, features)
    }

    /// Finds the objects that phrases name in an image, the best score first.
    ///
    /// # Errors
    /// [`Error::Limit`] for a limit out of range, and those of [`Self::logits`].
    pub fn detect(
        &mut self,
        sight: &Sight,
        features: &[Arc<Features>],
        limits: &Limits,
    ) -> Result<Vec<TextDetection>, Error> {
        limits.check()?;
        let logits = self.network.logits(sight, features)?;
        Ok(select(&logits, features.len(), &sight.boxes, (sight.square, sight.size), limits))
    }
}
