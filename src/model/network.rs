//! What a tracker asks of the networks of a model with memory: the trait [`Network`] and the values that cross it.

use std::sync::Arc;

use half::bf16;

use super::embedding::Embedding;
use super::error::Error;
use crate::prompt::Prompt;

/// Most conditioning frames that take part in the memory attention of a frame, whatever a tracker's limits are.
/// TensorRT's engines are built for this number.
pub const MAX_CONDITIONING: usize = 16;

/// The spatial memory of one frame: the features of the frame and the mask of the object on it. `[N, C]` tokens, row by
/// row, rounded to bfloat16 as SAM 2's own predictor keeps them.
pub type SpatialMemory = Arc<[bf16]>;

/// The object pointer of one frame, `[C]`: the mask decoder's output token of the object's mask.
pub type ObjectPointer = Arc<[f32]>;

/// Sizes that the networks of a memory were trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemorySpec {
    /// Frames whose spatial memories take part, the current frame among them: SAM 2's `num_maskmem`, 7.
    pub frames: usize,
    /// Frames whose object pointers take part: `max_obj_ptrs_in_encoder`, 16.
    pub pointers: usize,
    /// Side of the square of low-resolution logits, in cells.
    pub low_res_side: usize,
    /// Side of the square picture that the encoder takes, in pixels.
    pub image_side: usize,
    /// Bytes of one [`SpatialMemory`].
    pub feature_bytes: usize,
}

impl MemorySpec {
    /// Most spatial memories of one run: one for each conditioning frame and one for each recent frame.
    pub fn most_memories(&self) -> usize {
        MAX_CONDITIONING + self.frames.saturating_sub(1)
    }

    /// Most object pointers of one run.
    pub fn most_pointers(&self) -> usize {
        MAX_CONDITIONING + self.pointers.saturating_sub(1)
    }
}

/// Memories that condition the current frame. Neither list is empty: an object without memories cannot be followed.
#[derive(Debug, Clone, Default)]
pub struct Memories {
    /// Spatial memories, each with its row of the table of temporal encodings: 0 for the previous frame, `frames - 1`
    /// for every conditioning frame.
    pub spatial: Vec<(SpatialMemory, usize)>,
    /// Object pointers, each with its distance in frames divided by the largest distance (`pointers - 1`).
    pub pointers: Vec<(ObjectPointer, f32)>,
}

/// The mask decoder's outputs for one object on one frame, of the mask that was chosen.
#[derive(Debug, Clone)]
pub struct Heads {
    /// Low-resolution logits, `[side, side]`.
    pub mask: Vec<f32>,
    /// Predicted IoU of the mask.
    pub iou: f32,
    /// Logit of the object's presence on the frame.
    pub object_score: f32,
    /// Object pointer, `[C]`.
    pub pointer: Vec<f32>,
    pub timings: StepTimings,
}

/// Time that one object took on one frame, by stage.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepTimings {
    pub attention_ms: f32,
    pub decoder_ms: f32,
    pub memory_encoder_ms: f32,
}

impl std::ops::AddAssign for StepTimings {
    fn add_assign(&mut self, other: StepTimings) {
        self.attention_ms += other.attention_ms;
        self.decoder_ms += other.decoder_ms;
        self.memory_encoder_ms += other.memory_encoder_ms;
    }
}

/// The networks of a model with memory. Tests implement it without ONNX Runtime.
pub trait Network {
    fn spec(&self) -> MemorySpec;

    /// Runs the mask decoder on a frame (`_forward_sam_heads` of the reference). With `memories`, the frame is
    /// conditioned on them first; `None` is an object's first prompt. Tracking passes a prompt without points, box and
    /// mask.
    ///
    /// With `multimask` the result is the candidate of the highest predicted IoU, with its own pointer. Otherwise it is
    /// the single mask, or the best candidate if the single mask is not stable, with the pointer of the single mask in
    /// both cases.
    ///
    /// The mask is the decoder's, whatever the object score. The pointer is the pointer for "no object" if the score is
    /// not above 0.
    ///
    /// # Errors
    /// [`Error::Session`] or [`Error::OutOfMemory`] if ONNX Runtime fails, [`Error::ForeignEmbedding`] if another model
    /// encoded the frame.
    fn heads(
        &mut self,
        frame: &Embedding,
        memories: Option<&Memories>,
        prompt: &Prompt,
        multimask: bool,
    ) -> Result<Heads, Error>;

    /// Returns the pointer, `[C]`, of an object whose mask is given (`_use_mask_as_output`). `mask` is `[image_side,
    /// image_side]` of 0 or 1; learnt weights make it smaller, and the decoder runs on the frame as the image encoder
    /// made it. An empty mask gives the pointer for "no object".
    ///
    /// # Errors
    /// As [`Network::heads`], and [`Error::Tensor`] if `mask` has another size.
    fn pointer_of_mask(&mut self, frame: &Embedding, mask: &[f32]) -> Result<Vec<f32>, Error>;

    /// Encodes the spatial memory of a frame with the object's low-resolution logits on it (`_encode_new_memory`). Also
    /// returns the time that it took, in milliseconds. With `binarize`, for masks of prompted frames, cells above 0
    /// count as 1 and all others as 0; otherwise the sigmoid of the logits counts.
    ///
    /// # Errors
    /// As [`Network::heads`], and [`Error::Tensor`] if `mask` has another size.
    fn encode_memory(
        &mut self,
        frame: &Embedding,
        mask: &[f32],
        binarize: bool,
        object_score: f32,
    ) -> Result<(SpatialMemory, f32), Error>;
}
