//! Clips: frames in an order, from a bag, a video or pictures.
//!
//! * `inputs`: what the arguments of a command name.
//! * `clip`: the frames of a clip, read from the first on.
//! * [`video`]: videos, read by ffmpeg. `recording`: a topic of images in a bag.

mod clip;
mod inputs;
mod recording;
pub mod video;

pub use clip::{Clip, Frames};
pub use inputs::Inputs;
