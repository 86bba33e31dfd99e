//! Objects in metres: from a mask and a depth image to points, position and box.
//!
//! ```text
//! depth message ──> DepthImage ─┐
//! camera_info ──> Rays ─────────┼──> DepthView::measure(mask) ──> Object3d ──> Cloud
//! TF ──> TargetFrame ───────────┘
//! ```
//!
//! Lengths are in metres. The optical frame follows REP-103: x right, y down, z forward. Depth is the coordinate z of the
//! optical frame, not the length of the ray. `docs/depth.md` defines each result and has measured accuracies.
//!
//! This module does not know ROS. No message and no mask makes it panic.

mod by_stamp;
mod cloud;
mod compressed;
mod core;
mod edge_fit;
mod error;
mod image;
mod oriented_box;
mod outline;
mod parts;
mod rays;
mod settings;
mod surface;
mod view;
mod window;

pub use by_stamp::{ByStamp, Miss, Nearest};
pub use cloud::{Cloud, CloudLayout, CloudPoint, LabelledSurface};
pub use error::{DepthError, NoSurface};
pub use image::DepthImage;
pub use oriented_box::OrientedBox;
pub use rays::Rays;
pub use settings::DepthSettings;
pub use surface::Surface;
pub use view::{DepthView, Object3d, TargetFrame};
