//! SAM 3's image model: the image tower computes three feature maps, the detector the masks of a phrase.

use std::time::Instant;

use image::RgbImage;
use ort::session::SessionInputValue;
use ort::value::{DynValue, Tensor, TensorRef};

use super::description::TextBundle;
use super::error::Error;
use super::features::Features;
use super::fields::{DETECTOR, IMAGE_TOWER, Sam3Fields};
use crate::model::graph::{Graph, GraphTensors, Outputs};
use crate::model::timing::milliseconds;
use crate::model::{self, EncodeTimings, SessionOptions};
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
    image_tower: Graph,
    detector: Graph,
    square: LevelSquare,
    /// Values of the picture, used again for each image.
    picture: Vec<f32>,
    side: usize,
    channels: usize,
    tokens: usize,
    mask_side: usize,
}

impl Sam3 {
    /// Opens image tower and detector.
    ///
    /// # Errors
    /// The errors of the files and of opening the graphs.
    pub fn open(bundle: &TextBundle, sam3: &Sam3Fields, options: &SessionOptions) -> Result<Self, Error> {
        let fields = &bundle.fields;
        let (side, channels, tokens) = (fields.image_size as i64, fields.channels as i64, fields.tokens as i64);
        let (queries, mask_side) = (sam3.queries as i64, sam3.mask_size as i64);
        let tensor = GraphTensors::tensor;
        let levels = LEVELS.iter().zip(sam3.levels);
        let levels = levels.map(|(name, cells)| tensor(name, "f32", &[1, channels, cells as i64, cells as i64]));
        let levels = levels.collect::<Vec<_>>();
        let image_tensors = GraphTensors {
            inputs: vec![tensor("image", "f32", &[1, 3, side, side])],
            outputs: levels.clone(),
            most: 1,
        };
        let phrase = [tensor("features", "f32", &[1, tokens, channels]), tensor("token_mask", "f32", &[1, tokens])];
        let detector_tensors = GraphTensors {
            inputs: levels.into_iter().chain(phrase).collect(),
            outputs: vec![
                tensor("logits", "f32", &[1, queries]),
                tensor("boxes", "f32", &[1, queries, 4]),
                tensor("masks", "f32", &[1, queries, mask_side, mask_side]),
                tensor("presence", "f32", &[1, 1]),
            ],
            most: 1,
        };
        // The smaller graph is opened first, so that a damaged file is refused at once.
        let detector = Graph::open(&bundle.files.verify(DETECTOR)?, &detector_tensors, options)?;
        let image_tower = Graph::open(&bundle.files.verify(IMAGE_TOWER)?, &image_tensors, options)?;
        let side = fields.image_size;
        let spec = LevelSpec { side: side as u32, mean: fields.mean, std: fields.std };
        Ok(Sam3 {
            image_tower,
            detector,
            square: LevelSquare::new(spec),
            picture: vec![0.0; 3 * side * side],
            side,
            channels: fields.channels,
            tokens: fields.tokens,
            mask_side: sam3.mask_size,
        })
    }

    /// Returns the graphs with their names.
    pub fn graphs(&self) -> [(&'static str, &Graph); 2] {
        [("image tower", &self.image_tower), ("detector", &self.detector)]
    }

    /// Computes everything about an image that does not depend on a phrase.
    ///
    /// # Errors
    /// [`Error::Pixels`] for an image without pixels, and the errors of running the graph.
    pub fn look(&mut self, image: &RgbImage) -> Result<(Seen, EncodeTimings), Error> {
        let start = Instant::now();
        self.square.run(image, &mut self.picture)?;
        let preprocess_ms = milliseconds(start);
        let start = Instant::now();
        let shape = [1, 3, self.side, self.side];
        let failed = |e: ort::Error| model::Error::Session { file: IMAGE_TOWER.to_owned(), reason: e.to_string() };
        let picture = match self.image_tower.report().used.on_gpu() {
            // ort copies a borrowed input to the GPU first, which version 2.0.0-rc.15 does not survive.
            true => SessionInputValue::from(Tensor::from_array((shape, self.picture.clone())).map_err(failed)?),
            false => {
                SessionInputValue::from(TensorRef::from_array_view((shape, self.picture.as_slice())).map_err(failed)?)
            }
        };
        let mut outputs = self.image_tower.run(vec![("image".to_owned(), picture)])?;
        let levels = LEVELS.iter().map(|name| outputs.take(name)).collect::<Result<_, _>>()?;
        Ok((Seen { levels }, EncodeTimings { preprocess_ms, run_ms: milliseconds(start) }))
    }

    /// Runs the detector for a phrase on an image.
    ///
    /// # Errors
    /// Those of running the graph.
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
