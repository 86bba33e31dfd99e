//! The memory of SAM 2: two graphs beside the decoder, and a few weights. The memory attention conditions a frame on memories;
//! the memory encoder makes the memory of a frame. `video` decides which memories condition a frame.
//!
//! * `sessions`: both sessions; `graph_session`: one of them. `weights`: learnt numbers outside of the graphs.
//! * `decoder_network`: [`Network`](crate::model::network::Network) of a mask decoder with memory.
//! * `info`: description; `sizes`: sizes from `bundle.json`.
//!
//! Reference: `_prepare_memory_conditioned_features`, `_encode_new_memory` and `_use_mask_as_output` of
//! sam2/modeling/sam2_base.py.

mod decoder_network;
mod graph_session;
mod info;
mod sessions;
mod sizes;
mod weights;

pub use info::MemoryInfo;
pub use sessions::MemorySessions;
