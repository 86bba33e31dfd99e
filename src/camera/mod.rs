//! From a point in metres, in the optical frame, to a pixel of the camera's image.
//!
//! Optical frames are those of REP-103: x right, y down, z forward, metres. Nothing here knows ROS: the node fills
//! [`CameraInfo`] from its messages. Nothing panics on what a message may hold.

mod distortion;
mod info;
mod model;
mod project_error;

pub use info::{CameraInfo, RegionOfInterest};
pub use model::CameraModel;
pub use project_error::ProjectError;
