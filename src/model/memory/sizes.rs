//! Sizes of a memory, from the description of its bundle.

use crate::model::bundle::{Manifest, MemorySection};
use crate::model::layout::MemorySizes;
use crate::model::network::MemorySpec;

/// Returns the sizes that a tracker needs.
pub fn spec(section: &MemorySection, manifest: &Manifest) -> MemorySpec {
    let [tokens, channels] = section.shape;
    MemorySpec {
        frames: section.frames,
        pointers: section.pointers,
        low_res_side: manifest.low_res_size,
        image_side: manifest.image_size,
        feature_bytes: tokens * channels * size_of::<half::bf16>(),
    }
}

/// Returns the sizes that the shapes of the graphs are made of.
pub fn sizes(section: &MemorySection, manifest: &Manifest) -> MemorySizes {
    let [tokens, channels] = section.shape;
    let [c, h, w] = [1, 2, 3].map(|axis| manifest.embedding_shape.get(axis).copied().unwrap_or_default());
    MemorySizes { embedding: [c, h, w], low_res: manifest.low_res_size, frames: section.frames, tokens, channels }
}
