//! The image encoder: an image to its embedding.

use std::time::Instant;

use image::RgbImage;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, TensorRef};
use tracing::debug_span;

use super::embedding::{Embedding, EncodeTimings};
use super::error::Error;
use super::layout::{EncoderLayout, PictureForm, TensorSpec};
use super::runtime::binding::DeviceBuffers;
use super::runtime::failure::run_failed;
use super::runtime::tensor::typed_tensor;
use super::runtime::{GpuOptions, ProviderReport};
use super::timing::milliseconds;
use crate::pixels::{Geometry, InputSpec, PixelError, Preprocessor};

/// The image encoder of one model, with a session and an input buffer of its own. It belongs to one thread.
pub struct ImageEncoder {
    session: Session,
    layout: EncoderLayout,
    providers: ProviderReport,
    preprocessor: Preprocessor,
    /// Values of the picture that the graph takes, used again for each image.
    input: Vec<f32>,
    /// Shape of the picture.
    shape: Vec<usize>,
    /// Buffers that replace `input` if the session runs on a GPU.
    device: Option<DeviceBuffers>,
    file: String,
}

impl ImageEncoder {
    pub(super) fn new(
        session: Session,
        layout: EncoderLayout,
        providers: ProviderReport,
        spec: InputSpec,
        file: String,
        gpu: &GpuOptions,
    ) -> Self {
        let side = spec.side as usize;
        let mut providers = providers;
        let preprocessor = Preprocessor::new(spec);
        let shape = vec![1, 3, side, side];
        let mut device = None;
        if providers.used.on_gpu() && matches!(layout.form, PictureForm::Square) && !layout.image.is_half() {
            match DeviceBuffers::new(&session, &layout, gpu.device_id, &shape, gpu.cuda_graphs) {
                Ok(buffers) => device = Some(buffers),
                Err(e) => providers.notes.push(format!("embeddings go through the processor's memory: {e}")),
            }
        }
        let input = if device.is_some() { Vec::new() } else { vec![0.0; 3 * side * side] };
        ImageEncoder { session, layout, providers, preprocessor, input, shape, device, file }
    }

    /// Returns which execution provider runs the encoder.
    pub fn providers(&self) -> &ProviderReport {
        &self.providers
    }

    /// Returns the report of the encoder, to add to it.
    pub(super) fn providers_mut(&mut self) -> &mut ProviderReport {
        &mut self.providers
    }

    /// Encodes an image of any size. [`Embedding::timings`] has the time of both stages.
    ///
    /// # Errors
    /// [`Error::Pixels`] for an image without pixels, [`Error::Session`] if ONNX Runtime fails.
    pub fn encode(&mut self, image: &RgbImage) -> Result<Embedding, Error> {
        let start = Instant::now();
        let geometry = debug_span!("preprocess").in_scope(|| self.preprocess(image))?;
        let preprocess_ms = milliseconds(start);

        let start = Instant::now();
        let tensors = debug_span!("run encoder").in_scope(|| self.run())?;
        let timings = EncodeTimings { preprocess_ms, run_ms: milliseconds(start) };
        Ok(Embedding::new(tensors, geometry, timings))
    }

    /// Writes the picture of an image into the input buffer.
    fn preprocess(&mut self, image: &RgbImage) -> Result<Geometry, PixelError> {
        match self.layout.form {
            PictureForm::Square => {
                let input = self.device.as_mut().map_or(self.input.as_mut_slice(), DeviceBuffers::picture);
                self.preprocessor.run(image, input)
            }
            PictureForm::Levels => {
                let geometry = self.preprocessor.content(image, &mut self.input)?;
                self.shape = vec![geometry.content.1 as usize, geometry.content.0 as usize, 3];
                Ok(geometry)
            }
            PictureForm::Unit => {
                let geometry = self.preprocessor.planes(image, &mut self.input)?;
                self.shape = vec![1, 3, geometry.image.1 as usize, geometry.image.0 as usize];
                Ok(geometry)
            }
        }
    }

    /// Runs the session on the input buffer.
    fn run(&mut self) -> Result<Vec<(String, DynValue)>, Error> {
        let failed = |e: ort::Error| run_failed(&self.file, self.providers.used, &e);
        if let Some(device) = &mut self.device {
            return device.run(&mut self.session, &self.layout).map_err(failed);
        }
        let image = &self.layout.image;
        let input = match image.is_half() {
            true => typed_tensor(image, &self.shape, self.input.clone()).map_err(failed)?.into(),
            false => {
                let view = TensorRef::from_array_view((self.shape.as_slice(), self.input.as_slice()));
                SessionInputValue::from(view.map_err(failed)?)
            }
        };
        let mut outputs = self.session.run(ort::inputs![image.name.as_str() => input]).map_err(failed)?;
        let take = |spec: &TensorSpec| {
            let value = outputs.remove(&spec.name).ok_or_else(|| Error::Session {
                file: self.file.clone(),
                reason: format!("no output `{}`", spec.name),
            })?;
            Ok((spec.name.clone(), value))
        };
        self.layout.outputs.iter().map(take).collect()
    }
}
