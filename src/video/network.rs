//! What a tracker asks of the networks: the only thing that it knows of ONNX Runtime.

use std::sync::Arc;

use half::bf16;

use super::bank::MAX_CONDITIONING;
use crate::model::{Embedding, Error};
use crate::prompt::Prompt;

/// The spatial memory of one frame: what was seen there, and where the object was. `[N, C]` tokens, row by row, rounded to
/// bfloat16 as SAM 2's own predictor keeps them.
pub type Features = Arc<[bf16]>;

/// What the object looked like on one frame, in the words of the mask decoder: `[C]`.
pub type Pointer = Arc<[f32]>;

/// What the networks were made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemorySpec {
    /// Frames whose spatial memories are looked at, the one at hand among them: SAM 2's `num_maskmem`, 7.
    pub frames: usize,
    /// Frames whose object pointers are looked at: `max_obj_ptrs_in_encoder`, 16.
    pub pointers: usize,
    /// Side of the square of low-resolution logits.
    pub low_res_side: usize,
    /// Side of the square picture that the encoder takes.
    pub image_side: usize,
    /// Bytes of one [`Features`].
    pub feature_bytes: usize,
}

impl MemorySpec {
    /// Most spatial memories that a frame is looked at with: of each conditioning frame and of the frames before.
    pub fn most_memories(&self) -> usize {
        MAX_CONDITIONING + self.frames.saturating_sub(1)
    }

    /// Most object pointers that a frame is looked at with.
    pub fn most_pointers(&self) -> usize {
        MAX_CONDITIONING + self.pointers.saturating_sub(1)
    }
}

/// What of the past a frame is looked at with. Never empty: without any memory there is nothing to follow.
#[derive(Debug, Clone, Default)]
pub struct Recalled {
    /// Spatial memories, each with its row of the table of temporal encodings: 0 is the frame before, `frames - 1` any
    /// frame that was prompted.
    pub memories: Vec<(Features, usize)>,
    /// Object pointers, each with its distance in frames over the largest one (`pointers - 1`).
    pub pointers: Vec<(Pointer, f32)>,
}

/// What the mask decoder says about one object on one frame, one mask chosen.
#[derive(Debug, Clone)]
pub struct Heads {
    /// Low-resolution logits, `side * side`.
    pub mask: Vec<f32>,
    /// Predicted IoU of that mask.
    pub iou: f32,
    /// Logit of the object being there at all.
    pub object_score: f32,
    pub pointer: Vec<f32>,
    pub ms: StepMs,
}

/// Where the time of one object on one frame went, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepMs {
    pub attention: f32,
    pub decoder: f32,
    pub memory_encoder: f32,
}

impl std::ops::AddAssign for StepMs {
    fn add_assign(&mut self, other: StepMs) {
        self.attention += other.attention;
        self.decoder += other.decoder;
        self.memory_encoder += other.memory_encoder;
    }
}

/// The networks of a model with memory. A trait, so that tests can put a fake in their place.
pub trait Network {
    fn spec(&self) -> MemorySpec;

    /// The mask decoder on a frame: as the frame is (`recalled`: none, an object's first prompt), or as it is seen with the
    /// memories. A prompt without points, box and mask is what tracking has. `multimask`: the best of the candidates, by
    /// predicted IoU, with its pointer; else the single mask (or the best candidate where that one is not stable), with the
    /// pointer of the single mask in either case. The mask is as the decoder made it, whatever the object score says; the
    /// pointer is the one for "no object" where the score is not above 0.
    ///
    /// # Errors
    /// What ONNX Runtime says; a frame of another model.
    fn heads(
        &mut self,
        frame: &Embedding,
        recalled: Option<&Recalled>,
        prompt: &Prompt,
        multimask: bool,
    ) -> Result<Heads, Error>;

    /// The pointer of an object whose mask is given, 0 or 1, `image_side * image_side`: from the frame as the encoder made
    /// it, and the mask made small by learnt weights (`_use_mask_as_output`). The one for "no object" for an empty mask.
    ///
    /// # Errors
    /// As [`Network::heads`].
    fn pointer_of_mask(&mut self, frame: &Embedding, mask: &[f32]) -> Result<Vec<f32>, Error>;

    /// The spatial memory of a frame with the object's low-resolution logits on it, and the milliseconds that it took.
    /// `binarize`: of a mask that somebody pointed at, cells above 0 count as 1 and others as 0; else their sigmoid counts.
    ///
    /// # Errors
    /// As [`Network::heads`].
    fn remember(
        &mut self,
        frame: &Embedding,
        mask: &[f32],
        binarize: bool,
        object_score: f32,
    ) -> Result<(Features, f32), Error>;
}
