//! The image encoder: an image to its embedding.

use std::time::Instant;

use image::RgbImage;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, TensorRef};
use tracing::debug_span;

use super::embedding::{Embedding, EncodeTimings};
use super::error::Error;
use super::layout::{CONTENT, EncoderLayout, PictureForm, TensorSpec};
use super::picture::{Picture, content_shapes};
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
    /// Side of the square in whose pixels the decoder takes coordinates.
    prompt_side: u32,
    /// Values of the picture that the graph takes, used again for each image.
    input: Vec<f32>,
    /// Shape of the picture.
    shape: Vec<usize>,
    /// Levels that replace `input` in a graph that takes levels, and the inputs [`CONTENT`].
    levels: Vec<u8>,
    content: [Vec<f32>; CONTENT.len()],
    /// Buffers that replace `input` and `levels` if the session runs on a GPU.
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
        let bytes = layout.form == PictureForm::Bytes;
        let shape = if bytes { vec![1, side, side, 3] } else { vec![1, 3, side, side] };
        let mut device = None;
        let fixed = matches!(layout.form, PictureForm::Square | PictureForm::Bytes);
        if providers.used.on_gpu() && fixed && !layout.image.is_half() {
            match DeviceBuffers::new(&session, &layout, gpu.device_id, side, gpu.cuda_graphs) {
                Ok(buffers) => device = Some(buffers),
                Err(e) => providers.notes.push(format!("embeddings go through the processor's memory: {e}")),
            }
        }
        let on_host = |used: bool| if used && device.is_none() { side } else { 0 };
        let (values, marks) = (on_host(!bytes), on_host(bytes));
        let input = vec![0.0; 3 * values * values];
        let levels = vec![0; 3 * marks * marks];
        let content = std::array::from_fn(|_| vec![0.0; marks]);
        let prompt_side = spec.side;
        ImageEncoder {
            session,
            layout,
            providers,
            preprocessor,
            prompt_side,
            input,
            shape,
            levels,
            content,
            device,
            file,
        }
    }

    /// Sets the side of the square in whose pixels the decoder takes coordinates, if it is not the encoder's square.
    pub(super) fn set_prompt_side(&mut self, side: u32) {
        self.prompt_side = side;
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
        // The square of the prompts has its own rounding of the image's sides.
        let (width, height) = geometry.image;
        let geometry = Geometry::new(width, height, self.prompt_side, geometry.resize);

        let start = Instant::now();
        let tensors = debug_span!("run encoder").in_scope(|| self.run())?;
        let timings = EncodeTimings { preprocess_ms, run_ms: milliseconds(start) };
        Ok(Embedding::new(tensors, geometry, timings))
    }

    /// Writes the picture of an image into the input buffer.
    fn preprocess(&mut self, image: &RgbImage) -> Result<Geometry, PixelError> {
        match self.layout.form {
            PictureForm::Square | PictureForm::Bytes => {
                let picture = match &mut self.device {
                    Some(device) => device.picture(),
                    None if self.layout.form == PictureForm::Bytes => Picture::Levels {
                        levels: &mut self.levels,
                        content: self.content.each_mut().map(Vec::as_mut_slice),
                    },
                    None => Picture::Values(&mut self.input),
                };
                picture.write(image, &mut self.preprocessor)
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
        let shape = self.shape.as_slice();
        let picture: ort::Result<SessionInputValue<'_>> = match self.layout.form {
            PictureForm::Bytes => TensorRef::from_array_view((shape, self.levels.as_slice())).map(Into::into),
            _ if image.is_half() => typed_tensor(image, shape, self.input.clone()).map(Into::into),
            _ => TensorRef::from_array_view((shape, self.input.as_slice())).map(Into::into),
        };
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = vec![(image.name.as_str(), picture.map_err(failed)?)];
        if self.layout.form == PictureForm::Bytes {
            let side = self.content[0].len();
            for ((name, values), shape) in CONTENT.into_iter().zip(&self.content).zip(content_shapes(side)) {
                let part = TensorRef::from_array_view((shape, values.as_slice())).map_err(failed)?;
                inputs.push((name, part.into()));
            }
        }
        let mut outputs = self.session.run(inputs).map_err(failed)?;
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
