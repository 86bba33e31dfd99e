//! SAM 2's memory: one click, and the mask follows the object through the stream.
//!
//! A [`Track`] is one object. It is prompted on a frame, and steps from frame to frame; what it remembers of them, and
//! which of that a frame is looked at with, is in `bank`. The networks are behind [`Network`], which
//! [`crate::model::MaskDecoder`] is where its bundle has memory.
//!
//! Reference: `SAM2VideoPredictor` of the package `sam2`, equal to rounding.

mod bank;
mod holes;
mod network;
mod overlap;
mod track;

pub use bank::{Direction, Limits, MAX_CONDITIONING, Position};
pub use network::{Features, Heads, MemorySpec, Network, Pointer, Recalled, StepMs};
pub use overlap::separate;
pub use track::{Answer, Track};
