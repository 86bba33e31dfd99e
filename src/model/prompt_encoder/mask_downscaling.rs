//! The dense embedding of a mask prompt: `mask_downscaling` of the reference.
//!
//! Conv 2x2 stride 2 -> LayerNorm2d -> GELU -> Conv 2x2 stride 2 -> LayerNorm2d -> GELU -> Conv 1x1. The kernel and the
//! stride of each convolution are equal, so that patches do not overlap and a convolution is one matrix product over
//! the patches. Activations are matrices of one row per cell and one column per channel. They are stored column by
//! column, which is `[C, h, w]` in memory.

use nalgebra::{DMatrix, DVector};

use crate::model::Error;
use crate::model::weights::Weights;

/// Added to the variance: `LayerNorm2d` of segment_anything/modeling/common.py.
const EPSILON: f32 = 1e-6;

/// Two halvings of the mask and a projection to the channels of the embedding.
#[derive(Debug, Clone)]
pub(super) struct MaskDownscaling {
    first: Convolution,
    first_norm: LayerNorm,
    second: Convolution,
    second_norm: LayerNorm,
    projection: Convolution,
}

impl MaskDownscaling {
    /// Reads the parameters. `channels` is the number of channels of the embedding; the numbers of channels after the
    /// first and the second convolution (4 and 16 in SAM) come from the shapes in the file.
    pub fn load(weights: &Weights<'_>, channels: usize) -> Result<Self, Error> {
        let a = weights.rows("mask_downscaling.0.weight").unwrap_or(4);
        let b = weights.rows("mask_downscaling.3.weight").unwrap_or(16);
        Ok(MaskDownscaling {
            first: Convolution::load(weights, "mask_downscaling.0", [a, 1, 2])?,
            first_norm: LayerNorm::load(weights, "mask_downscaling.1", a)?,
            second: Convolution::load(weights, "mask_downscaling.3", [b, a, 2])?,
            second_norm: LayerNorm::load(weights, "mask_downscaling.4", b)?,
            projection: Convolution::load(weights, "mask_downscaling.6", [channels, b, 1])?,
        })
    }

    /// Takes `[height, width]` logits, returns `[C, height / 4, width / 4]`.
    pub fn run(&self, logits: &[f32], height: usize, width: usize) -> Vec<f32> {
        let picture = DMatrix::from_column_slice(height * width, 1, logits);
        let mut half = self.first.run(&picture, height, width);
        self.first_norm.run(&mut half);
        half.apply(|v| *v = gelu(*v));
        let mut quarter = self.second.run(&half, height / 2, width / 2);
        self.second_norm.run(&mut quarter);
        quarter.apply(|v| *v = gelu(*v));
        self.projection.run(&quarter, height / 4, width / 4).data.into()
    }
}

/// A convolution with a square kernel, and a stride of the kernel's size.
#[derive(Debug, Clone)]
struct Convolution {
    /// `[inputs * kernel * kernel, outputs]`.
    weight: DMatrix<f32>,
    bias: DVector<f32>,
    kernel: usize,
}

impl Convolution {
    fn load(weights: &Weights<'_>, name: &str, [out, input, kernel]: [usize; 3]) -> Result<Self, Error> {
        let weight = weights.get(&format!("{name}.weight"), &[out, input, kernel, kernel])?;
        let bias = weights.get(&format!("{name}.bias"), &[out])?;
        // PyTorch's [out, in, k, k] stored row by row is [in * k * k, out] stored column by column.
        let weight = DMatrix::from_column_slice(input * kernel * kernel, out, &weight);
        Ok(Convolution { weight, bias: DVector::from_vec(bias), kernel })
    }

    /// Takes `[height * width, inputs]`, returns `[height * width / kernel^2, outputs]`.
    fn run(&self, input: &DMatrix<f32>, height: usize, width: usize) -> DMatrix<f32> {
        let mut out = if self.kernel == 1 {
            input * &self.weight
        } else {
            patches(input, height, width, self.kernel) * &self.weight
        };
        for (mut column, &bias) in out.column_iter_mut().zip(&self.bias) {
            column.add_scalar_mut(bias);
        }
        out
    }
}

/// Gathers the patches of `k * k` cells: one row per patch, one column per channel and place in the patch, in the order
/// of PyTorch's weights.
fn patches(input: &DMatrix<f32>, height: usize, width: usize, k: usize) -> DMatrix<f32> {
    let (rows, columns) = (height / k, width / k);
    let mut patches = DMatrix::zeros(rows * columns, input.ncols() * k * k);
    for (channel, source) in input.as_slice().chunks_exact(height * width).enumerate() {
        for (dy, dx) in (0..k).flat_map(|dy| (0..k).map(move |dx| (dy, dx))) {
            let mut column = patches.column_mut(channel * k * k + dy * k + dx);
            for (cell, v) in column.iter_mut().enumerate() {
                *v = source[(cell / columns * k + dy) * width + cell % columns * k + dx];
            }
        }
    }
    patches
}

/// Layer normalisation over the channels of each cell.
#[derive(Debug, Clone)]
struct LayerNorm {
    weight: DVector<f32>,
    bias: DVector<f32>,
}

impl LayerNorm {
    fn load(weights: &Weights<'_>, name: &str, channels: usize) -> Result<Self, Error> {
        let get = |part: &str| weights.get(&format!("{name}.{part}"), &[channels]).map(DVector::from_vec);
        Ok(LayerNorm { weight: get("weight")?, bias: get("bias")? })
    }

    fn run(&self, cells: &mut DMatrix<f32>) {
        let mean = cells.column_mean();
        for mut column in cells.column_iter_mut() {
            column -= &mean;
        }
        let mut scale = DVector::zeros(cells.nrows());
        for column in cells.column_iter() {
            scale += column.component_mul(&column);
        }
        let channels = cells.ncols() as f32;
        scale.apply(|v| *v = 1.0 / (*v / channels + EPSILON).sqrt());
        for ((mut column, &weight), &bias) in cells.column_iter_mut().zip(&self.weight).zip(&self.bias) {
            column.component_mul_assign(&scale);
            column.apply(|v| *v = *v * weight + bias);
        }
    }
}

/// Returns the exact GELU, as `torch.nn.GELU()` does, not the tanh approximation.
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_is_the_exact_one() {
        // torch.nn.functional.gelu in f64; the tanh approximation gives 0.841192 and -0.0036.
        for (x, y) in [(0.0, 0.0), (1.0, 0.841_344_8), (-3.0, -0.004_049_694), (2.5, 2.484_475_8)] {
            assert!((gelu(x) - y).abs() < 2e-7, "{x}: {}", gelu(x));
        }
    }

    #[test]
    fn patches_are_in_the_order_of_pytorchs_weights() {
        let input = DMatrix::from_column_slice(8, 1, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let patches = patches(&input, 2, 4, 2);
        assert_eq!(patches, DMatrix::from_row_slice(2, 4, &[0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]));
    }

    #[test]
    fn layer_norm_is_over_the_channels() {
        let norm = LayerNorm { weight: DVector::from_element(2, 2.0), bias: DVector::from_element(2, 1.0) };
        let mut cells = DMatrix::from_row_slice(2, 2, &[1.0, 3.0, 5.0, 5.0]);
        norm.run(&mut cells);
        assert!((cells[(0, 0)] + 1.0).abs() < 1e-5 && (cells[(0, 1)] - 3.0).abs() < 1e-5, "{cells}");
        assert_eq!(cells[(1, 0)], 1.0);
    }
}
