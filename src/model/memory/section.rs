//! `memory` of `bundle.json`, and what of the rest of it goes with a memory.

use serde::{Deserialize, Serialize};

use super::super::Manifest;
use super::super::bundle::{MAX_CELLS, MAX_CHANNELS};
use super::super::layout::MemorySizes;
use crate::model::network::MemorySpec;

/// Longer than anything was trained for.
const MAX_FRAMES: usize = 16;
const MAX_POINTERS: usize = 32;
/// Numbers in one spatial memory: SAM 2 has 262144 of them.
const MAX_NUMBERS: usize = 1 << 24;

/// What the memory of a model was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Frames whose spatial memories are looked at, the one at hand among them: SAM 2's `num_maskmem`.
    pub frames: usize,
    /// Frames whose object pointers are looked at: `max_obj_ptrs_in_encoder`.
    pub pointers: usize,
    /// Of one spatial memory, `[N, C]`.
    pub shape: [usize; 2],
}

/// A field of `bundle.json`, what it is, and what was expected.
type Fault = (&'static str, String, String);

impl Section {
    /// What is wrong with a description, as far as it is about the memory.
    pub fn fault(m: &Manifest) -> Option<Fault> {
        let Some(section) = m.memory else {
            let strays = |v: &&super::super::Variant| v.memory_attention.is_some() || v.memory_encoder.is_some();
            let stray = m.variants.iter().find(strays)?;
            let expected = "none of them without the field memory, which says what they were made for";
            return Some(("variants", format!("{} with memory graphs", stray.precision), expected.to_owned()));
        };
        let fault = |field, found: String, expected: &str| Some((field, found, expected.to_owned()));
        let Section { frames, pointers, shape: [tokens, channels] } = section;
        if !(2..=MAX_FRAMES).contains(&frames) {
            return fault("memory.frames", frames.to_string(), &format!("2 to {MAX_FRAMES}"));
        }
        if !(2..=MAX_POINTERS).contains(&pointers) {
            return fault("memory.pointers", pointers.to_string(), &format!("2 to {MAX_POINTERS}"));
        }
        let (most_tokens, most) = (MAX_CELLS * MAX_CELLS, MAX_CHANNELS);
        let fits = (1..=most_tokens).contains(&tokens) && (1..=most).contains(&channels);
        if !fits || tokens * channels > MAX_NUMBERS {
            let expected = format!("[N, C], N up to {most_tokens}, C up to {most}, {MAX_NUMBERS} numbers together");
            return fault("memory.shape", format!("[{tokens}, {channels}]"), &expected);
        }
        if !m.external() || !m.box_as_points {
            let found = format!("{}, box_as_points {}", m.prompt_encoder, m.box_as_points);
            return fault("prompt_encoder", found, "external, box_as_points true, in a bundle with memory");
        }
        if !m.single_mask || m.candidates == 0 {
            let found = format!("{} with single_mask {}", m.candidates, m.single_mask);
            return fault("candidates", found, "candidates and a single mask in a bundle with memory");
        }
        // The learnt weights that make a mask small make it four times smaller, which is the size of a mask prompt.
        let logits = m.low_res_size;
        if m.image_size != 4 * logits || m.embedding_shape[2..].iter().any(|cells| 4 * cells != logits) {
            let found = format!("{logits} for image_size {} and embedding_shape {:?}", m.image_size, m.embedding_shape);
            return fault(
                "low_res_size",
                found,
                "a quarter of image_size and 4 for each cell, in a bundle with memory",
            );
        }
        let without = m.variants.iter().find(|v| v.memory_attention.is_none() || v.memory_encoder.is_none())?;
        let found = format!("{} without memory_attention or memory_encoder", without.precision);
        fault("variants", found, "both in each of them, for there is the field memory")
    }

    /// With what the rest of the description says.
    pub fn spec(&self, m: &Manifest) -> MemorySpec {
        let [tokens, channels] = self.shape;
        MemorySpec {
            frames: self.frames,
            pointers: self.pointers,
            low_res_side: m.low_res_size,
            image_side: m.image_size,
            feature_bytes: tokens * channels * size_of::<half::bf16>(),
        }
    }

    /// What the shapes of the graphs are made of.
    pub fn sizes(&self, m: &Manifest) -> MemorySizes {
        let [tokens, channels] = self.shape;
        let [c, h, w] = [1, 2, 3].map(|axis| m.embedding_shape.get(axis).copied().unwrap_or_default());
        MemorySizes { embedding: [c, h, w], low_res: m.low_res_size, frames: self.frames, tokens, channels }
    }
}
