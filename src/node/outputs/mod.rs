//! Topics that the node publishes: masks and overlays of each frame, the image plane for rviz2, and diagnostics.

pub mod diagnostics;
pub mod image_plane;
pub mod publishers;
