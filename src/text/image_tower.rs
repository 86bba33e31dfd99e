//! The image tower: an image to everything that does not depend on a phrase.

use std::time::Instant;

use ort::session::SessionInputValue;
use ort::value::{Tensor, TensorRef};

use super::description::TextBundle;
use super::error::Error;
use super::fields::IMAGE_TOWER;
use crate::model::graph::{Graph, GraphTensors, Outputs};
use crate::model::runtime::Requests;
use crate::model::timing::milliseconds;
use crate::model::{self, EncodeTimings, TensorSpec};
use crate::pixels::PixelError;

/// Name of the graph.
pub const NAME: &str = "image tower";

/// The image tower of one model. It belongs to one thread.
pub struct ImageTower {
    graph: Graph,
    /// Values of the picture, used again for each image.
    picture: Vec<f32>,
    side: usize,
}

impl ImageTower {
    /// Opens the image tower of a bundle whose files were verified. It computes `outputs`.
    ///
    /// # Errors
    /// The errors of opening the graph.
    pub fn open(bundle: &TextBundle, outputs: Vec<TensorSpec>, requests: &Requests<'_>) -> Result<Self, Error> {
        let side = bundle.fields.image_size;
        let image = GraphTensors::tensor("image", "f32", &[1, 3, side as i64, side as i64]);
        let tensors = GraphTensors { inputs: vec![image], outputs, most: 1 };
        let graph = Graph::open(NAME, &bundle.files.path(IMAGE_TOWER), &tensors, requests)?;
        Ok(ImageTower { graph, picture: vec![0.0; 3 * side * side], side })
    }

    /// Returns the graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Returns the graph, to add to its report.
    pub fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// Runs the graph on the picture that `draw` writes, `[3, S, S]`. Returns what `draw` returns, and the outputs.
    ///
    /// # Errors
    /// [`Error::Pixels`] if `draw` fails, and the errors of running the graph.
    pub fn run<T>(
        &mut self,
        draw: impl FnOnce(&mut [f32]) -> Result<T, PixelError>,
    ) -> Result<(T, Outputs, EncodeTimings), Error> {
        let start = Instant::now();
        let drawn = draw(&mut self.picture)?;
        let preprocess_ms = milliseconds(start);
        let start = Instant::now();
        let shape = [1, 3, self.side, self.side];
        let failed = |e: ort::Error| model::Error::Session { file: IMAGE_TOWER.to_owned(), reason: e.to_string() };
        let picture = match self.graph.report().used.on_gpu() {
            // ort copies a borrowed input to the GPU first, which version 2.0.0-rc.15 does not survive.
            true => SessionInputValue::from(Tensor::from_array((shape, self.picture.clone())).map_err(failed)?),
            false => {
                SessionInputValue::from(TensorRef::from_array_view((shape, self.picture.as_slice())).map_err(failed)?)
            }
        };
        let outputs = self.graph.run(vec![("image".to_owned(), picture)])?;
        Ok((drawn, outputs, EncodeTimings { preprocess_ms, run_ms: milliseconds(start) }))
    }
}
