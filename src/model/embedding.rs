//! An encoded image: everything that the mask decoder needs to answer any number of prompts on it.

use std::fmt;
use std::sync::OnceLock;

use ort::value::{DynValue, Tensor};

use super::{Error, Provider, binding};
use crate::pixels::Geometry;

/// Where the time of an encoding went, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EncodeTimings {
    /// Resize, normalise, transpose.
    pub preprocess_ms: f64,
    /// The image encoder's session.
    pub run_ms: f64,
}

/// The outputs of the image encoder for one image, by name, with the geometry that leads from that image to them.
/// Made by [`super::ImageEncoder::encode`]; shared between threads in an `Arc`.
pub struct Embedding {
    /// As ONNX Runtime made them: the decoder takes them without a copy, also where they lie on a GPU.
    pub(super) tensors: Vec<(String, DynValue)>,
    /// Copies of those on a GPU, for who reads them on the processor.
    on_host: OnceLock<Vec<(String, DynValue)>>,
    pub(super) bytes: usize,
    /// From pixels of the image to the network's square and back.
    pub geometry: Geometry,
    pub timings: EncodeTimings,
}

impl Embedding {
    pub(super) fn new(tensors: Vec<(String, DynValue)>, geometry: Geometry, timings: EncodeTimings) -> Self {
        let bytes = tensors.iter().map(|(_, t)| elements(t) * size_of::<f32>()).sum();
        Embedding { tensors, on_host: OnceLock::new(), bytes, geometry, timings }
    }

    /// An embedding from tensors that were made elsewhere, for tests and for other encoders: name, shape, values.
    ///
    /// # Errors
    /// [`Error::ForeignEmbedding`] when a shape and its number of values do not agree.
    pub fn from_parts(parts: Vec<(String, Vec<usize>, Vec<f32>)>, geometry: Geometry) -> Result<Self, Error> {
        super::runtime::environment()?;
        let mut tensors = Vec::with_capacity(parts.len());
        for (name, shape, values) in parts {
            let tensor = Tensor::from_array((shape, values))
                .map_err(|e| Error::ForeignEmbedding { reason: format!("tensor `{name}`: {e}") })?;
            tensors.push((name, tensor.into_dyn()));
        }
        Ok(Self::new(tensors, geometry, EncodeTimings::default()))
    }

    /// Memory that it holds, on the GPU where the encoder runs there.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Width and height of the image, in pixels.
    pub fn image_size(&self) -> (u32, u32) {
        self.geometry.image
    }

    /// Shape and values of one tensor. What lies on a GPU is copied when it is first asked for.
    pub fn tensor(&self, name: &str) -> Option<(Vec<i64>, &[f32])> {
        let (_, value) = self.on_host().ok()?.iter().find(|(n, _)| n == name)?;
        value.try_extract_tensor::<f32>().ok().map(|(shape, values)| (shape.to_vec(), values))
    }

    /// The tensors where a session on this provider can read them.
    pub(super) fn tensors_for(&self, provider: Provider) -> ort::Result<&[(String, DynValue)]> {
        if provider.on_gpu() { Ok(&self.tensors) } else { self.on_host() }
    }

    /// The tensors where the processor can read them.
    pub(super) fn on_host(&self) -> ort::Result<&[(String, DynValue)]> {
        if !self.tensors.iter().any(|(_, value)| binding::is_on_device(value)) {
            return Ok(&self.tensors);
        }
        if let Some(copies) = self.on_host.get() {
            return Ok(copies);
        }
        let copy = |(name, value): &(String, DynValue)| Ok((name.clone(), binding::to_host(value)?));
        let copies = self.tensors.iter().map(copy).collect::<ort::Result<Vec<_>>>()?;
        Ok(self.on_host.get_or_init(|| copies))
    }
}

impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.tensors.iter().map(|(name, _)| name).collect::<Vec<_>>();
        f.debug_struct("Embedding").field("tensors", &names).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

fn elements(value: &DynValue) -> usize {
    value.dtype().tensor_shape().map_or(0, |shape| shape.num_elements())
}
