//! Signature of a graph: names, types and shapes of its inputs and outputs, as ONNX Runtime reports them.

use std::fmt;

use ort::value::{Outlet, TensorElementType, ValueType};

const HALF: &str = "f16";
/// Names of the floating-point types.
pub(super) const FLOATS: [&str; 2] = ["f32", HALF];

/// One input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    pub name: String,
    /// Element type, for instance `f32` or `i64`; `not a tensor` for sequences and maps.
    pub dtype: String,
    /// Dimensions; -1 is a dynamic dimension.
    pub shape: Vec<i64>,
}

impl TensorSpec {
    /// Describes an input or output of a session.
    pub(in crate::model) fn from_outlet(outlet: &Outlet) -> TensorSpec {
        let (dtype, shape) = match outlet.dtype() {
            ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => ("f32".to_owned(), shape.to_vec()),
            ValueType::Tensor { ty: TensorElementType::Float16, shape, .. } => (HALF.to_owned(), shape.to_vec()),
            ValueType::Tensor { ty, shape, .. } => (ty.to_string(), shape.to_vec()),
            _ => ("not a tensor".to_owned(), Vec::new()),
        };
        TensorSpec { name: outlet.name().to_owned(), dtype, shape }
    }

    /// Returns whether the tensor has type f32 and this number of dimensions.
    pub(super) fn is_f32(&self, rank: usize) -> bool {
        self.dtype == "f32" && self.shape.len() == rank
    }

    /// Returns whether the tensor has type f32 or f16 and this number of dimensions.
    pub(super) fn is_float(&self, rank: usize) -> bool {
        FLOATS.contains(&self.dtype.as_str()) && self.shape.len() == rank
    }

    /// Returns whether the type is f16. Such values are converted on the way into the graph and out of it.
    pub(in crate::model) fn is_half(&self) -> bool {
        self.dtype == HALF
    }

    /// Returns a fixed dimension; none if the dimension is dynamic or missing.
    pub(in crate::model) fn fixed(&self, axis: usize) -> Option<usize> {
        self.shape.get(axis).and_then(|&d| usize::try_from(d).ok()).filter(|&d| d > 0)
    }

    /// Returns whether a dimension is dynamic.
    pub(in crate::model) fn dynamic(&self, axis: usize) -> bool {
        self.shape.get(axis).is_some_and(|&d| d < 0)
    }
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}[", self.name, self.dtype)?;
        for (i, d) in self.shape.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            if *d < 0 { write!(f, "{comma}?")? } else { write!(f, "{comma}{d}")? }
        }
        f.write_str("]")
    }
}

/// Inputs and outputs of one graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Name of the graph's file in messages.
    pub file: String,
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
}

impl Signature {
    /// Returns the input of this name.
    pub fn input(&self, name: &str) -> Option<&TensorSpec> {
        self.inputs.iter().find(|t| t.name == name)
    }

    /// Returns the output of this name.
    pub fn output(&self, name: &str) -> Option<&TensorSpec> {
        self.outputs.iter().find(|t| t.name == name)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |specs: &[TensorSpec]| specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "{} -> {}", list(&self.inputs), list(&self.outputs))
    }
}
