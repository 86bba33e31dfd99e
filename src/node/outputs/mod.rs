//! Topics that the node publishes: masks and overlays of each frame, the image plane for rviz2, and diagnostics.

mod annotations;
mod class_table;
mod classes;
pub mod diagnostics;
mod error;
#[cfg(foxglove_msgs)]
mod foxglove;
mod image_plane;
mod messages;
mod picture;
mod publishers;

pub use classes::ClassOutputs;
pub use image_plane::ImagePlaneOutput;
pub use messages::{detection_id, mask_array, score};
pub use picture::Picture;
pub use publishers::{Outputs, has_masks};
