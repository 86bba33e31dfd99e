//! OWLv2: the image tower computes everything that does not depend on a phrase, the class head the logits of phrases.

use std::sync::Arc;

use image::RgbImage;
use ort::session::SessionInputValue;
use ort::value::{DynValue, Tensor};

use super::description::TextBundle;
use super::error::Error;
use super::features::Features;
use super::fields::{CLASS_HEAD, Owlv2Fields};
use super::image_tower::ImageTower;
use super::phrase::MAX_PHRASES;
use crate::model::graph::{Graph, GraphTensors};
use crate::model::runtime::Requests;
use crate::model::{self, EncodeTimings};
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
    image_tower: ImageTower,
    class_head: Graph,
    square: PaddedSquare,
    channels: usize,
}

impl Owlv2 {
    /// Opens image tower and class head of a bundle whose files were verified.
    ///
    /// # Errors
    /// The errors of opening the graphs.
    pub fn open(bundle: &TextBundle, owlv2: &Owlv2Fields, requests: &Requests<'_>) -> Result<Self, Error> {
        let fields = &bundle.fields;
        let (patches, channels) = (owlv2.patches as i64, fields.channels as i64);
        let tensor = GraphTensors::tensor;
        let for_phrases = [
            tensor(FOR_PHRASES[0], "f32", &[1, patches, channels]),
            tensor(FOR_PHRASES[1], "f32", &[1, patches, 1]),
            tensor(FOR_PHRASES[2], "f32", &[1, patches, 1]),
        ];
        let proposals = [tensor("boxes", "f32", &[1, patches, 4]), tensor("objectness", "f32", &[1, patches])];
        let outputs = proposals.into_iter().chain(for_phrases.clone()).collect();
        let head_tensors = GraphTensors {
            inputs: for_phrases.into_iter().chain([tensor("queries", "f32", &[-1, channels])]).collect(),
            outputs: vec![tensor("logits", "f32", &[1, patches, -1])],
            most: MAX_PHRASES,
        };
        // The small graph is opened first, so that a wrong file is refused at once.
        let class_head = Graph::open("class head", &bundle.files.path(CLASS_HEAD), &head_tensors, requests)?;
        let image_tower = ImageTower::open(bundle, outputs, requests)?;
        let spec =
            PaddedSpec { side: fields.image_size as u32, mean: fields.mean, std: fields.std, padding: owlv2.padding };
        Ok(Owlv2 { image_tower, class_head, square: PaddedSquare::new(spec), channels: fields.channels })
    }

    /// Returns the graphs.
    pub fn graphs(&self) -> [&Graph; 2] {
        [self.image_tower.graph(), &self.class_head]
    }

    /// Returns the graphs, to add to their reports.
    pub fn graphs_mut(&mut self) -> [&mut Graph; 2] {
        [self.image_tower.graph_mut(), &mut self.class_head]
    }

    /// Computes everything about an image that does not depend on a phrase.
    ///
    /// # Errors
    /// [`Error::Pixels`] for an image without pixels, and the errors of running the graph.
    pub fn look(&mut self, image: &RgbImage) -> Result<(Seen, EncodeTimings), Error> {
        let (square, mut outputs, timings) = self.image_tower.run(|picture| self.square.run(image, picture))?;
        let (boxes, objectness) = (outputs.numbers("boxes")?, outputs.numbers("objectness")?);
        let for_phrases = FOR_PHRASES.iter().map(|name| outputs.take(name)).collect::<Result<_, _>>()?;
        Ok((Seen { square, boxes, objectness, for_phrases }, timings))
    }

    /// Returns the logits of each box for each phrase, `[P, Q]`.
    ///
    /// # Errors
    /// ONNX Runtime cannot run the graph.
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
