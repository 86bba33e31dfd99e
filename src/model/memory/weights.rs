//! Learnt numbers of a memory that are used outside of its graphs.

use crate::model::error::Error;
use crate::model::weights::Weights;

/// Side of the kernel, and stride, of the convolution that shrinks a mask.
const KERNEL: usize = 4;

/// Learnt numbers outside of the graphs.
#[derive(Debug, Clone)]
pub struct MemoryWeights {
    /// Number of each channel that the image encoder's graph adds to the embedding of a frame without memories, `[C]`.
    no_memory: Vec<f32>,
    /// Pointer of an object that is not on the frame, `[C]`.
    pub no_object: Vec<f32>,
    /// Kernel and bias of `mask_downsample`, `[4, 4]` and one number.
    kernel: Vec<f32>,
    bias: f32,
}

impl MemoryWeights {
    /// Reads the weights from `content`, a safetensors file; `file` is its name in messages.
    ///
    /// # Errors
    /// The errors of [`Weights`].
    pub fn load(content: &[u8], file: &str, channels: usize) -> Result<Self, Error> {
        let weights = Weights::read(content, file)?;
        let kernel = weights.get("mask_downsample.weight", &[1, 1, KERNEL, KERNEL])?;
        Ok(MemoryWeights {
            no_memory: weights.get("no_memory_embedding", &[channels])?,
            no_object: weights.get("no_object_pointer", &[channels])?,
            kernel,
            bias: weights.get("mask_downsample.bias", &[1])?.first().copied().unwrap_or_default(),
        })
    }

    /// Subtracts from an image embedding, `[C, h, w]`, what the encoder's graph adds for frames without memories.
    pub fn without_memory(&self, embedding: &[f32]) -> Vec<f32> {
        let cells = embedding.len() / self.no_memory.len().max(1);
        let channels = embedding.chunks_exact(cells.max(1)).zip(&self.no_memory);
        channels.flat_map(|(channel, added)| channel.iter().map(move |v| v - added)).collect()
    }

    /// Shrinks a mask of `side * side` cells to logits for the prompt encoder, a quarter of `side` a side.
    pub fn downsample(&self, mask: &[f32], side: usize) -> Vec<f32> {
        let small = side / KERNEL;
        let mut out = vec![self.bias; small * small];
        for (y, row) in mask.chunks_exact(side).enumerate().take(small * KERNEL) {
            let kernel = &self.kernel[y % KERNEL * KERNEL..][..KERNEL];
            let cells = &mut out[y / KERNEL * small..][..small];
            for (cell, patch) in cells.iter_mut().zip(row.chunks_exact(KERNEL)) {
                *cell += patch.iter().zip(kernel).map(|(v, k)| v * k).sum::<f32>();
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> MemoryWeights {
        let kernel = (0..16).map(|i| i as f32).collect();
        MemoryWeights { no_memory: vec![1.0, 20.0], no_object: vec![0.0; 2], kernel, bias: 0.5 }
    }

    #[test]
    fn each_cell_of_a_small_mask_is_a_patch_times_the_kernel() {
        // 8 x 8 with one cell set in each quarter but the last.
        let mut mask = vec![0.0; 64];
        mask[0] = 1.0; // row 0, column 0 of the first patch: weight 0
        mask[8 + 6] = 1.0; // row 1, column 2 of the second: weight 6
        mask[7 * 8 + 3] = 1.0; // row 3, column 3 of the third: weight 15
        assert_eq!(weights().downsample(&mask, 8), [0.5, 6.5, 15.5, 0.5]);
        assert_eq!(weights().downsample(&[1.0; 16], 4), [120.5]);
    }

    #[test]
    fn the_embedding_of_no_memory_is_subtracted_from_each_channel() {
        assert_eq!(weights().without_memory(&[5.0, 6.0, 7.0, 8.0]), [4.0, 5.0, -13.0, -12.0]);
    }
}
