//! Tensors of the type that a graph declares.

use std::borrow::Cow;

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use ort::value::{DynValue, Tensor, TensorElementType};

use crate::model::layout::TensorSpec;

/// Makes a tensor of the type that `spec` declares. For integer types `values` are whole numbers.
///
/// # Errors
/// The error of ONNX Runtime, if `shape` and the number of values differ.
pub fn typed_tensor(spec: &TensorSpec, shape: &[usize], values: Vec<f32>) -> ort::Result<DynValue> {
    Ok(match spec.dtype.as_str() {
        "i64" => Tensor::from_array((shape, values.iter().map(|v| *v as i64).collect::<Vec<_>>()))?.into_dyn(),
        "i32" => Tensor::from_array((shape, values.iter().map(|v| *v as i32).collect::<Vec<_>>()))?.into_dyn(),
        "f16" => Tensor::from_array((shape, values.iter().map(|v| f16::from_f32(*v)).collect::<Vec<_>>()))?.into_dyn(),
        "bool" => Tensor::from_array((shape, values.iter().map(|v| *v != 0.0).collect::<Vec<_>>()))?.into_dyn(),
        _ => Tensor::from_array((shape, values))?.into_dyn(),
    })
}

/// Returns shape and values of a tensor in f32 or f16.
///
/// # Errors
/// The error of ONNX Runtime, if the value has another type.
pub fn float_values(value: &DynValue) -> ort::Result<(Vec<i64>, Cow<'_, [f32]>)> {
    if value.dtype().tensor_type() == Some(TensorElementType::Float16) {
        let (shape, values) = value.try_extract_tensor::<f16>()?;
        return Ok((shape.to_vec(), Cow::Owned(values.to_f32_vec())));
    }
    let (shape, values) = value.try_extract_tensor::<f32>()?;
    Ok((shape.to_vec(), Cow::Borrowed(values)))
}
