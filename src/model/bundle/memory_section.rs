//! The field `memory` of `bundle.json`.

use serde::{Deserialize, Serialize};

/// Sizes that a model's memory was trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySection {
    /// Frames whose spatial memories take part, the current frame among them: SAM 2's `num_maskmem`.
    pub frames: usize,
    /// Frames whose object pointers take part: `max_obj_ptrs_in_encoder`.
    pub pointers: usize,
    /// Shape of one spatial memory, `[N, C]`.
    pub shape: [usize; 2],
}
