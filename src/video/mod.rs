//! Video segmentation with SAM 2's memory: an object that was prompted on one frame is followed through the stream.
//!
//! A [`Track`] is one object. A prompt starts or corrects it, a step moves it to the next frame. `bank` keeps the
//! memories of the object and selects those that condition a frame. The networks are behind
//! [`Network`](crate::model::network::Network), which [`crate::model::MaskDecoder`] implements if its bundle has a
//! memory.
//!
//! Reference: `SAM2VideoPredictor` of the package `sam2`; equal to the reference except for rounding.

mod bank;
mod holes;
mod overlap;
mod track;

pub use bank::{Direction, Limits, Position};
pub use overlap::separate;
pub use track::{Track, TrackedMask};
