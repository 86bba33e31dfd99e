//! Cameras: from a point in metres, in any frame of TF, to a pixel of the camera's image.
//!
//! ```text
//! point in any frame ──> Transforms::lookup ──> point in the optical frame ──> CameraModel::project ──> (x, y)
//! ```
//!
//! Optical frames follow REP-103: x right, y down, z forward, in metres. Stamps are nanoseconds since the epoch of the
//! clock that stamps the messages. A transform `target_from_source` takes points of the frame `source` to the frame
//! `target`.
//!
//! This module does not know ROS: the node fills [`CameraInfo`] and [`StampedTransform`] from its messages. No message
//! makes the module panic, and its memory is bounded whatever is inserted.

mod box_projection;
mod distortion;
mod edge;
mod info;
mod model;
mod plane;
mod project_error;
mod transform_error;
mod transforms;
mod yaml;

pub use box_projection::ProjectedBox;
pub use info::{CameraInfo, RegionOfInterest};
pub use model::CameraModel;
pub use plane::ImagePlane;
pub use project_error::ProjectError;
pub use transform_error::{Nanoseconds, TransformError};
pub use transforms::{MAX_FRAMES, StampedTransform, Transforms};
pub use yaml::CalibrationFileError;
