//! SAM 2's memory: one click, and the mask follows the object through the stream.
//!
//! Reference: `SAM2VideoPredictor` of the package `sam2`, to rounding.

mod network;

pub use network::{Features, Heads, MemorySpec, Network, Pointer, Recalled, StepMs};
