//! OWLv2: the image tower computes everything that does not depend on a phrase, the class head the logits of phrases.

use std::sync::Arc;
use std::time::Instant;

use image::RgbImage;
use ort::session::SessionInputValue;
use ort::value::{DynValue, Tensor, TensorRef};

use super::description::TextBundle;
use super::error::Error;
use super::features::Features;
use super::fields::{CLASS_HEAD, IMAGE_TOWER, Owlv2Fields};
use super::phrase::MAX_PHRASES;
use crate::model::graph::{Graph, GraphTensors};
use crate::model::timing::milliseconds;
use crate::model::{self, EncodeTimings, SessionOptions};
use crate::pixels::{PaddedSpec, PaddedSquare};

/// Outputs of the image tower that the class head takes.
const FOR_PHRASES: [&str; 3] = ["class_embeddings", "logit_shift", "logit_scale"];

/// An image as OWLv2 sees it, for any number of phrases.
pub struct Seen {
    /// Side of the padded square, in pixels of the image.
    pub square: u32,
    /// `[P, 4]`: corners relative to the padded square.
    pub boxes: Vec<f32>,
    /// `[P]`: logits of the boxes being an object of any kind.
    pub objectness: Vec<f32>,
    /// Inputs of the class head, in the order of [`FOR_PHRASES`].
    for_phrases: Vec<DynValue>,
}

/// Image tower and class head. They belong to one thread.
pub struct Owlv2 {
    image_tower: Graph,
    class_head: Graph,
    square: PaddedSquare,
    /// Values of the picture, used again for each image.
    picture: Vec<f32>,
    side: usize,
    channels: usize,
}

impl Owlv2 {
    /// Opens image tower and class head.
    ///
    /// # Errors
    /// The errors of the files and of opening the graphs.
    pub fn open(bundle: &TextBundle, owlv2: &Owlv2Fields, options: &SessionOptions) -> Result<Self, Error> {
        let fields = &bundle.fields;
        let (side, patches, channels) = (fields.image_size as i64, owlv2.patches as i64, fields.channels as i64);
        let tensor = GraphTensors::tensor;
        let for_phrases = [
            tensor(FOR_PHRASES[0], "f32", &[1, patches, channels]),
            tensor(FOR_PHRASES[1], "f32", &[1, patches, 1]),
            tensor(FOR_PHRASES[2], "f32", &[1, patches, 1]),
        ];
        let proposals = [tensor("boxes", "f32", &[1, patches, 4]), tensor("objectness", "f32", &[1, patches])];
        let image_tensors = GraphTensors {
            inputs: vec![tensor("image", "f32", &[1, 3, side, side])],
            outputs: proposals.into_iter().chain(for_phrases.clone()).collect(),
            most: 1,
        };
        let head_tensors = GraphTensors {
            inputs: for_phrases.into_iter().chain([tensor("queries", "f32", &[-1, channels])]).collect(),
            outputs: vec![tensor("logits", "f32", &[1, patches, -1])],
            most: MAX_PHRASES,
        };
        // The small graph is opened first, so that a damaged file is refused at once.
        let class_head = Graph::open(&bundle.files.verify(CLASS_HEAD)?, &head_tensors, options)?;
        let image_tower = Graph::open(&bundle.files.verify(IMAGE_TOWER)?, &image_tensors, options)?;
        let spec =
            PaddedSpec { side: fields.image_size as u32, mean: fields.mean, std: fields.std, padding: owlv2.padding };
        let side = fields.image_size;
        Ok(Owlv2 {
            image_tower,
            class_head,
            square: PaddedSquare::new(spec),
            picture: vec![0.0; 3 * side * side],
            side,
            channels: fields.channels,
        })
    }

    /// Returns the graphs with their names.
    pub fn graphs(&self) -> [(&'static str, &Graph); 2] {
        [("image tower", &self.image_tower), ("class head", &self.class_head)]
    }

    /// Computes everything about an image that does not depend on a phrase.
    ///
    /// # Errors
    /// [`Error::Pixels`] for an image without pixels, and the errors of running the graph.
    pub fn look(&mut self, image: &RgbImage) -> Result<(Seen, EncodeTimings), Error> {
        let start = Instant::now();
        let square = self.square.run(image, &mut self.picture)?;
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
        let (boxes, objectness) = (outputs.numbers("boxes")?, outputs.numbers("objectness")?);
        let for_phrases = FOR_PHRASES.iter().map(|name| outputs.take(name)).collect::<Result<_, _>>()?;
        let timings = EncodeTimings { preprocess_ms, run_ms: milliseconds(start) };
        Ok((Seen { square, boxes, objectness, for_phrases }, timings))
    }

    /// Returns the logits of each box for each phrase, `[P, Q]`.
    ///
    /// # Errors
    /// Those of running the graph.
    pub fn logits(&mut self, seen: &Seen, features: &[Arc<Features>]) -> Result<Vec<f32>, Error> {
        let queries = features.iter().flat_map(|f| f.values.iter().copied()).collect::<Vec<f32>>();
        let failed = |e: ort::Error| model::Error::Session { file: CLASS_HEAD.to_owned(), reason: e.to_string() };
        let queries = Tensor::from_array(([features.len(), self.channels], queries)).map_err(failed)?;
        let names = FOR_PHRASES.iter().map(|name| (*name).to_owned());
        let mut inputs: Vec<(String, SessionInputValue<'_>)> =
            names.zip(seen.for_phrases.iter().map(SessionInputValue::from)).collect();
        inputs.push(("queries".to_owned(), SessionInputValue::from(queries)));
        Ok(self.class_head.run(inputs)?.numbers("logits")?)
    }
}
