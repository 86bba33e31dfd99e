//! The image encoder: pixels to embedding.

use std::time::Instant;

use image::RgbImage;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, TensorRef};
use tracing::debug_span;

use super::binding::OnDevice;
use super::embedding::{Embedding, EncodeTimings};
use super::layout::{EncoderLayout, PictureForm};
use super::options::GpuOptions;
use super::provider::ProviderReport;
use super::{Error, inputs, session};
use crate::pixels::{Geometry, InputSpec, PixelError, Preprocessor};

/// The image encoder of one model, with its own session and input buffer. It belongs to one thread.
pub struct ImageEncoder {
    session: Session,
    layout: EncoderLayout,
    providers: ProviderReport,
    preprocessor: Preprocessor,
    /// The picture as the graph takes it, used again for each image.
    input: Vec<f32>,
    shape: Vec<usize>,
    /// In the place of `input` where the session runs on a GPU.
    on_device: Option<OnDevice>,
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
        let mut on_device = None;
        if providers.used.on_gpu() && matches!(layout.form, PictureForm::Square) && !layout.image.is_half() {
            match OnDevice::new(&session, &layout, gpu.device_id, &shape, gpu.cuda_graphs) {
                Ok(buffers) => on_device = Some(buffers),
                Err(e) => providers.notes.push(format!("embeddings go through the processor's memory: {e}")),
            }
        }
        let input = if on_device.is_some() { Vec::new() } else { vec![0.0; 3 * side * side] };
        ImageEncoder { session, layout, providers, preprocessor, input, shape, on_device, file }
    }

    /// Which execution provider runs it.
    pub fn providers(&self) -> &ProviderReport {
        &self.providers
    }

    /// Encodes an image of any size; [`Embedding::timings`] says how long its two parts took.
    ///
    /// # Errors
    /// [`Error::Pixels`] for one without pixels, [`Error::Session`] when ONNX Runtime fails.
    pub fn encode(&mut self, image: &RgbImage) -> Result<Embedding, Error> {
        let start = Instant::now();
        let geometry = debug_span!("preprocess").in_scope(|| self.preprocess(image))?;
        let preprocess_ms = milliseconds(start);

        let start = Instant::now();
        let tensors = debug_span!("run encoder").in_scope(|| self.run())?;
        let timings = EncodeTimings { preprocess_ms, run_ms: milliseconds(start) };
        Ok(Embedding::new(tensors, geometry, timings))
    }

    fn preprocess(&mut self, image: &RgbImage) -> Result<Geometry, PixelError> {
        match self.layout.form {
            PictureForm::Square => {
                let input = self.on_device.as_mut().map_or(self.input.as_mut_slice(), OnDevice::picture);
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

    fn run(&mut self) -> Result<Vec<(String, DynValue)>, Error> {
        let failed = |e: ort::Error| session::failed(&self.file, self.providers.used, &e);
        if let Some(on_device) = &mut self.on_device {
            return on_device.run(&mut self.session, &self.layout).map_err(failed);
        }
        let image = &self.layout.image;
        let input = match image.is_half() {
            true => inputs::tensor(image, &self.shape, self.input.clone()).map_err(failed)?.into(),
            false => {
                let view = TensorRef::from_array_view((self.shape.as_slice(), self.input.as_slice()));
                SessionInputValue::from(view.map_err(failed)?)
            }
        };
        let mut outputs = self.session.run(ort::inputs![image.name.as_str() => input]).map_err(failed)?;
        let take = |spec: &super::TensorSpec| {
            let value = outputs.remove(&spec.name).ok_or_else(|| Error::Session {
                file: self.file.clone(),
                reason: format!("no output `{}`", spec.name),
            })?;
            Ok((spec.name.clone(), value))
        };
        self.layout.outputs.iter().map(take).collect()
    }
}

pub(super) fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
