//! SAM 3's image model: the image tower computes three feature maps, the detector the masks of a phrase.

use image::RgbImage;
use ort::session::SessionInputValue;
use ort::value::{DynValue, Tensor};

use super::description::TextBundle;
use super::error::Error;
use super::features::Features;
use super::fields::{DETECTOR, Sam3Fields};
use super::image_tower::ImageTower;
use crate::model::graph::{Graph, GraphTensors, Outputs};
use crate::model::runtime::Requests;
use crate::model::{self, EncodeTimings};
use crate::pixels::{LevelSpec, LevelSquare};

/// Outputs of the image tower that the detector takes.
const LEVELS: [&str; 3] = ["level_0", "level_1", "level_2"];

/// An image as SAM 3 sees it, for any number of phrases.
pub struct Seen {
    /// Inputs of the detector, in the order of [`LEVELS`].
    levels: Vec<DynValue>,
}

/// What the detector computes of a phrase.
pub struct Answer {
    /// `[Q]`: logits of the masks.
    pub logits: Vec<f32>,
    /// `[Q, 4]`: corners relative to the image.
    pub boxes: Vec<f32>,
    /// Logit of the phrase being in the image.
    pub presence: f32,
    /// `[1, Q, M, M]`: logits.
    masks: Outputs,
    mask_side: usize,
}

impl Answer {
    /// Returns the logits of a mask, `[M, M]`.
    ///
    /// # Errors
    /// A logit is not finite, or there is no such mask.
    pub fn mask(&self, query: usize) -> Result<Vec<f32>, Error> {
        let cells = self.mask_side * self.mask_side;
        Ok(self.masks.part("masks", query * cells..(query + 1) * cells)?)
    }
}

/// Image tower and detector. They belong to one thread.
pub struct Sam3 {
    image_tower: ImageTower,
    detector: Graph,
    square: LevelSquare,
    channels: usize,
    tokens: usize,
    mask_side: usize,
}

impl Sam3 {
    /// Opens image tower and detector of a bundle whose files were verified.
    ///
    /// # Errors
    /// The errors of opening the graphs.
    pub fn open(bundle: &TextBundle, sam3: &Sam3Fields, requests: &Requests<'_>) -> Result<Self, Error> {
        let fields = &bundle.fields;
        let (channels, tokens) = (fields.channels as i64, fields.tokens as i64);
        let (queries, mask_side) = (sam3.queries as i64, sam3.mask_size as i64);
        let tensor = GraphTensors::tensor;
        let levels = LEVELS.iter().zip(sam3.levels);
        let levels = levels.map(|(name, cells)| tensor(name, "f32", &[1, channels, cells as i64, cells as i64]));
        let levels = levels.collect::<Vec<_>>();
        let phrase = [tensor("features", "f32", &[1, tokens, channels]), tensor("token_mask", "f32", &[1, tokens])];
        let detector_tensors = GraphTensors {
            inputs: levels.iter().cloned().chain(phrase).collect(),
            outputs: vec![
                tensor("logits", "f32", &[1, queries]),
                tensor("boxes", "f32", &[1, queries, 4]),
                tensor("masks", "f32", &[1, queries, mask_side, mask_side]),
                tensor("presence", "f32", &[1, 1]),
            ],
            most: 1,
        };
        // The smaller graph is opened first, so that a wrong file is refused at once.
        let detector = Graph::open("detector", &bundle.files.path(DETECTOR), &detector_tensors, requests)?;
        let image_tower = ImageTower::open(bundle, levels, requests)?;
        let spec = LevelSpec { side: fields.image_size as u32, mean: fields.mean, std: fields.std };
        Ok(Sam3 {
            image_tower,
            detector,
            square: LevelSquare::new(spec),
            channels: fields.channels,
            tokens: fields.tokens,
            mask_side: sam3.mask_size,
        })
    }

    /// Returns the graphs.
    pub fn graphs(&self) -> [&Graph; 2] {
        [self.image_tower.graph(), &self.detector]
    }

    /// Returns the graphs, to add to their reports.
    pub fn graphs_mut(&mut self) -> [&mut Graph; 2] {
        [self.image_tower.graph_mut(), &mut self.detector]
    }

    /// Computes everything about an image that does not depend on a phrase.
    ///
    /// # Errors
    /// [`Error::Pixels`] for an image without pixels, and the errors of running the graph.
    pub fn look(&mut self, image: &RgbImage) -> Result<(Seen, EncodeTimings), Error> {
        let ((), mut outputs, timings) = self.image_tower.run(|picture| self.square.run(image, picture))?;
        let levels = LEVELS.iter().map(|name| outputs.take(name)).collect::<Result<_, _>>()?;
        Ok((Seen { levels }, timings))
    }

    /// Runs the detector for a phrase on an image.
    ///
    /// # Errors
    /// ONNX Runtime cannot run the graph.
    pub fn answer(&mut self, seen: &Seen, features: &Features) -> Result<Answer, Error> {
        let (rows, tokens, channels) = (features.rows, self.tokens, self.channels);
        // Padding has no effect on the detector.
        let mut values = features.values.clone();
        values.resize(tokens * channels, 0.0);
        let token_mask = (0..tokens).map(|token| if token < rows { 1.0 } else { 0.0 }).collect::<Vec<f32>>();
        let failed = |e: ort::Error| model::Error::Session { file: DETECTOR.to_owned(), reason: e.to_string() };
        let values = Tensor::from_array(([1, tokens, channels], values)).map_err(failed)?;
        let token_mask = Tensor::from_array(([1, tokens], token_mask)).map_err(failed)?;
        let levels = LEVELS.iter().zip(&seen.levels);
        let mut inputs: Vec<(String, SessionInputValue<'_>)> =
            levels.map(|(name, level)| ((*name).to_owned(), SessionInputValue::from(level))).collect();
        inputs.push(("features".to_owned(), SessionInputValue::from(values)));
        inputs.push(("token_mask".to_owned(), SessionInputValue::from(token_mask)));
        let mut outputs = self.detector.run(inputs)?;
        let (logits, boxes) = (outputs.numbers("logits")?, outputs.numbers("boxes")?);
        let presence = outputs.numbers("presence")?.first().copied().unwrap_or(f32::NEG_INFINITY);
        Ok(Answer { logits, boxes, presence, masks: outputs, mask_side: self.mask_side })
    }
}
