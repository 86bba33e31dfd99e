//! Learnt parameters that Rust code uses, from safetensors files. ONNX graphs have their parameters inside.

use safetensors::SafeTensors;

use super::error::Error;

/// The parameters of a safetensors file.
pub(super) struct Weights<'a> {
    tensors: SafeTensors<'a>,
    file: &'a str,
}

impl<'a> Weights<'a> {
    /// Parses `content`; `file` is the file's name in error messages.
    ///
    /// # Errors
    /// [`Error::Weights`] if `content` is not a safetensors file.
    pub fn read(content: &'a [u8], file: &'a str) -> Result<Self, Error> {
        let tensors = SafeTensors::deserialize(content)
            .map_err(|e| Error::Weights { file: file.to_owned(), reason: e.to_string() })?;
        Ok(Weights { tensors, file })
    }

    /// Returns the values of a parameter by its name, with or without the prefix `prompt_encoder.`.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] if no parameter has the name, [`Error::Tensor`] if it is not f32 of `shape`.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let view = self.tensors.tensor(name).or_else(|_| self.tensors.tensor(&format!("prompt_encoder.{name}")));
        let expected = || format!("F32{shape:?}");
        let view = view.map_err(|_| Error::MissingTensor {
            file: self.file.to_owned(),
            tensor: name.to_owned(),
            expected: expected(),
            found: self.tensors.names().into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })?;
        if view.shape() != shape || view.dtype() != safetensors::Dtype::F32 {
            return Err(Error::Tensor {
                file: self.file.to_owned(),
                tensor: name.to_owned(),
                found: format!("{:?}{:?}", view.dtype(), view.shape()),
                expected: expected(),
            });
        }
        let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        Ok(view.data().chunks_exact(4).map(value).collect())
    }

    /// Returns the first dimension of a parameter, for sizes that only the file defines. None if the parameter is
    /// missing or has no values.
    pub fn rows(&self, name: &str) -> Option<usize> {
        let view = self.tensors.tensor(name).or_else(|_| self.tensors.tensor(&format!("prompt_encoder.{name}")));
        view.ok().and_then(|v| v.shape().first().copied()).filter(|&rows| rows > 0)
    }
}
