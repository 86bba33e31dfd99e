//! An encoded image: everything that the mask decoder needs to decode any number of prompts on the image.

use std::fmt;
use std::sync::{Arc, OnceLock};

use half::f16;
use ort::value::{DynValue, Tensor, TensorElementType};

use super::error::Error;
use super::provider::Provider;
use super::runtime::{self, binding};
use crate::pixels::Geometry;

/// Time of an encoding by stage, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EncodeTimings {
    /// Resize, normalise, transpose.
    pub preprocess_ms: f64,
    /// The image encoder's session.
    pub run_ms: f64,
}

/// Outputs of the image encoder for one image, and the geometry that maps the image to the square of the prompts. Made by
/// [`ImageEncoder::encode`](crate::model::ImageEncoder::encode). A clone shares the tensors.
#[derive(Clone)]
pub struct Embedding {
    tensors: Arc<[EmbeddedTensor]>,
    /// Maps pixels of the image to the square in whose pixels the decoder takes coordinates, and back.
    pub geometry: Geometry,
    pub timings: EncodeTimings,
}

/// One output of the image encoder.
struct EmbeddedTensor {
    name: String,
    /// Value that ONNX Runtime made, on a GPU or the processor. The decoder takes it without a copy.
    value: DynValue,
    /// Copy of a tensor on a GPU, made when the tensor is first read on the processor.
    on_host: OnceLock<DynValue>,
}

impl EmbeddedTensor {
    /// Returns the bytes of the tensor and of its copy on the processor.
    fn bytes(&self) -> usize {
        bytes(&self.value) + self.on_host.get().map_or(0, bytes)
    }

    /// Returns the tensor in memory that the processor can read. A tensor on a GPU is copied once.
    fn on_host(&self) -> ort::Result<&DynValue> {
        if !binding::is_on_device(&self.value) {
            return Ok(&self.value);
        }
        if let Some(copy) = self.on_host.get() {
            return Ok(copy);
        }
        let copy = binding::to_host(&self.value)?;
        Ok(self.on_host.get_or_init(|| copy))
    }
}

impl Embedding {
    pub(super) fn new(tensors: Vec<(String, DynValue)>, geometry: Geometry, timings: EncodeTimings) -> Self {
        let tensor = |(name, value)| EmbeddedTensor { name, value, on_host: OnceLock::new() };
        Embedding { tensors: tensors.into_iter().map(tensor).collect(), geometry, timings }
    }

    /// Makes an embedding of tensors from elsewhere, for tests and other encoders. Each part is name, shape and values.
    ///
    /// # Errors
    /// [`Error::ForeignEmbedding`] if a shape and its number of values differ.
    pub fn from_parts(parts: Vec<(String, Vec<usize>, Vec<f32>)>, geometry: Geometry) -> Result<Self, Error> {
        runtime::environment()?;
        let mut tensors = Vec::with_capacity(parts.len());
        for (name, shape, values) in parts {
            let tensor = Tensor::from_array((shape, values))
                .map_err(|e| Error::ForeignEmbedding { reason: format!("tensor `{name}`: {e}") })?;
            tensors.push((name, tensor.into_dyn()));
        }
        Ok(Self::new(tensors, geometry, EncodeTimings::default()))
    }

    /// Returns the bytes of memory that the embedding holds, on the GPU and on the processor. The number grows when a tensor is
    /// copied to the processor.
    pub fn bytes(&self) -> usize {
        self.tensors.iter().map(EmbeddedTensor::bytes).sum()
    }

    /// Returns width and height of the image, in pixels.
    pub fn image_size(&self) -> (u32, u32) {
        self.geometry.image
    }

    /// Returns shape and values of a tensor; none if there is no such tensor or its type is not f32. A tensor on a GPU is copied
    /// once.
    pub fn tensor(&self, name: &str) -> Option<(Vec<i64>, &[f32])> {
        let value = self.tensors.iter().find(|t| t.name == name)?.on_host().ok()?;
        value.try_extract_tensor::<f32>().ok().map(|(shape, values)| (shape.to_vec(), values))
    }

    /// Returns a tensor in memory that a session on `provider` can read; none if there is no such tensor.
    ///
    /// # Errors
    /// The error of ONNX Runtime, if the tensor cannot be copied from the GPU.
    pub(super) fn tensor_for(&self, name: &str, provider: Provider) -> ort::Result<Option<&DynValue>> {
        let Some(tensor) = self.tensors.iter().find(|t| t.name == name) else { return Ok(None) };
        if provider.on_gpu() { Ok(Some(&tensor.value)) } else { tensor.on_host().map(Some) }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().map(|t| t.name.as_str())
    }
}

impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names().collect::<Vec<_>>();
        f.debug_struct("Embedding").field("tensors", &names).field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

fn bytes(value: &DynValue) -> usize {
    let half = value.dtype().tensor_type() == Some(TensorElementType::Float16);
    let size = if half { size_of::<f16>() } else { size_of::<f32>() };
    value.dtype().tensor_shape().map_or(0, |shape| shape.num_elements()) * size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::Resize;

    #[test]
    fn bytes_include_copies_and_only_requested_tensors_are_copied() {
        let geometry = Geometry::new(4, 4, 4, Resize::Letterbox);
        let tensor = |name: &str, count: usize| (name.to_owned(), vec![1, count], vec![1.0; count]);
        let parts = || vec![tensor("image_embeddings", 8), tensor("high_res", 32)];
        let embedding = Embedding::from_parts(parts(), geometry).unwrap();
        assert_eq!(embedding.bytes(), 40 * 4);
        assert_eq!(embedding.tensor("high_res").unwrap().1.len(), 32);
        assert!(embedding.tensor("low_res").is_none());
        assert_eq!(embedding.bytes(), 40 * 4, "the processor can read it: there is no copy");
        let copy = Tensor::from_array((vec![1usize, 8], vec![1.0f32; 8])).unwrap().into_dyn();
        embedding.tensors[0].on_host.set(copy).unwrap();
        assert_eq!(embedding.bytes(), 48 * 4, "of one tensor, beside the one on the GPU");
    }
}
