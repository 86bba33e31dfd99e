//! A text model: phrases and images to boxes or masks.

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;

use super::description::TextBundle;
use super::detection::Limits;
use super::encoder::TextEncoder;
use super::error::Error;
use super::features::Features;
use super::fields::Family;
use super::network::{Answers, Network, Sight, TextDetections};
use super::opening;
use super::phrase::Phrase;
use crate::model::graph::Graph;
use crate::model::{ProviderReport, SessionOptions, Signature};

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
        let network = opening::open_network(encoder.bundle(), options)?;
        Ok(TextModel { encoder, network })
    }

    /// Opens a bundle, with its text tower if the folder has one. Without text tower every phrase is refused.
    ///
    /// # Errors
    /// The errors of files, graphs and execution providers.
    pub fn of_bundle(bundle: &TextBundle, options: &SessionOptions) -> Result<Self, Error> {
        let encoder = match bundle.missing_text_file() {
            None => TextEncoder::of_bundle(bundle.clone(), options, None)?,
            Some(_) => TextEncoder::without_tower(bundle.clone(), options),
        };
        let network = opening::open_network(bundle, options)?;
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

    fn open_graphs(&self) -> impl Iterator<Item = &Graph> {
        self.network.graphs().into_iter().chain(self.encoder.graph())
    }

    /// Returns the name and the report of each open session.
    pub fn reports(&self) -> Vec<(&'static str, &ProviderReport)> {
        self.open_graphs().map(|graph| (graph.name(), graph.report())).collect()
    }

    /// Returns the name, and the inputs and outputs, of each open graph.
    pub fn graphs(&self) -> Vec<(&'static str, &Signature)> {
        self.open_graphs().map(|graph| (graph.name(), graph.signature())).collect()
    }

    /// Returns which execution provider runs the image tower.
    pub fn image_tower(&self) -> &ProviderReport {
        let [image_tower, _] = self.network.graphs();
        image_tower.report()
    }

    /// Returns whether the model makes the masks of objects itself. Other models find boxes.
    pub fn makes_masks(&self) -> bool {
        self.network.makes_masks()
    }

    /// Returns the defaults of the processor for phrases: threshold, and IoU of doubles. A model that makes masks has none of the
    /// latter.
    pub fn limits(&self, phrases: &[Phrase], max_objects: usize) -> Limits {
        let fields = &self.encoder.bundle().fields;
        let nms_iou = if let Family::Owlv2(owlv2) = &fields.family { owlv2.nms_iou } else { 1.0 };
        Limits {
            min_score: fields.min_score,
            phrase_scores: phrases.iter().map(|phrase| phrase.min_score).collect(),
            max_objects,
            nms_iou,
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

    /// Returns the outputs of the graphs for phrases on an image, before any threshold. With SAM 3 each phrase takes `4 * Q * M * M`
    /// bytes, 66 MB at its true size.
    ///
    /// # Errors
    /// [`Error::Phrases`] for none or too many phrases, [`Error::ForeignFeatures`] for those of another model, [`Error::Model`] if
    /// a graph fails.
    pub fn answers(&mut self, sight: &Sight, features: &[Arc<Features>]) -> Result<Answers, Error> {
        self.network.answers(sight, features)
    }

    /// Finds the objects that phrases name in an image, the best score first.
    ///
    /// # Errors
    /// [`Error::Limit`] for a limit out of range, and those of [`Self::answers`].
    pub fn detect(
        &mut self,
        sight: &Sight,
        features: &[Arc<Features>],
        limits: &Limits,
    ) -> Result<TextDetections, Error> {
        limits.check()?;
        self.network.detect(sight, features, limits)
    }
}
