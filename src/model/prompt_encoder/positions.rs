//! Random Fourier features of positions: `PositionEmbeddingRandom` of the reference.

use std::f32::consts::TAU;

use nalgebra::{DMatrix, DVector, RowVector2};

use crate::model::Error;
use crate::model::weights::Weights;

/// Positional encoding with fixed random frequencies.
#[derive(Debug, Clone)]
pub(super) struct PositionEncoding {
    /// `[2, C / 2]`: one frequency vector for each sine and cosine.
    frequencies: DMatrix<f32>,
}

impl PositionEncoding {
    /// Reads the frequencies for an embedding of `channels` channels, an even number.
    pub fn load(weights: &Weights<'_>, channels: usize) -> Result<Self, Error> {
        let half = channels / 2;
        let frequencies = weights.get("pe_layer.positional_encoding_gaussian_matrix", &[2, half])?;
        Ok(PositionEncoding { frequencies: DMatrix::from_row_slice(2, half, &frequencies) })
    }

    /// Encodes a position in `[0, 1] x [0, 1]` as `C` numbers: the sines, then the cosines.
    pub fn encode(&self, x: f32, y: f32) -> DVector<f32> {
        let phase = RowVector2::new(2.0 * x - 1.0, 2.0 * y - 1.0) * &self.frequencies * TAU;
        let half = phase.len();
        DVector::from_fn(2 * half, |i, _| if i < half { phase[i].sin() } else { phase[i - half].cos() })
    }

    /// Encodes the centre of each cell of a grid, `[C, height, width]` (`PositionEmbeddingRandom.forward`).
    pub fn encode_grid(&self, height: usize, width: usize) -> Vec<f32> {
        let channels = 2 * self.frequencies.ncols();
        let mut positions = vec![0.0; channels * height * width];
        for y in 0..height {
            for x in 0..width {
                let cell = self.encode((x as f32 + 0.5) / width as f32, (y as f32 + 0.5) / height as f32);
                for (channel, v) in cell.iter().enumerate() {
                    positions[(channel * height + y) * width + x] = *v;
                }
            }
        }
        positions
    }
}
