//! Objects that prompts point at: prompts, memories and results.
//!
//! * `object`, `set`: an object, and all current objects with the changes that prompts make.
//! * `history`: the last prompts, to be undone.
//! * `feedback`: from the mask of one frame to the prompt of the next.
//! * `frame_prompt`: the prompts of an object on one frame.
//! * `memory`: memories of objects that a model with memory follows.
//! * `object_result`: from the decoder's output to an object's result, found or lost.
//! * `recent_results`: the results on the last frames.

mod feedback;
mod frame_prompt;
mod history;
mod memory;
mod object;
mod object_result;
mod recent_results;
mod set;

pub use feedback::{mask_to_low_res, prompt_from_mask};
pub use frame_prompt::FramePrompt;
pub use history::{History, Undone};
pub use memory::{FramePositions, MemorySnapshot, ObjectMemory};
pub use object::{Corner, Object};
pub use object_result::{
    loss_reason, lost_result, object_result, score_below_zero, unnamed_result, update_previous_mask,
};
pub use recent_results::RecentResults;
#[cfg(test)]
pub use set::MAX_OBJECTS;
pub use set::{MAX_OBJECT_ID, ObjectSet, check_count};
