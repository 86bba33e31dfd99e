//! Depth images as received. They are decoded once a result needs them.

use r2r::sensor_msgs::msg::{CompressedImage, Image};

use crate::depth::{DepthError, DepthImage};
use crate::node::ros::convert::raw_image;

/// A depth image as received.
pub enum DepthMessage {
    Raw(Image),
    Compressed(CompressedImage),
}

impl DepthMessage {
    /// Name of the optical frame.
    pub fn frame_id(&self) -> &str {
        match self {
            DepthMessage::Raw(image) => &image.header.frame_id,
            DepthMessage::Compressed(image) => &image.header.frame_id,
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            DepthMessage::Raw(image) => image.data.len(),
            DepthMessage::Compressed(image) => image.data.len(),
        }
    }

    /// Decodes the depths.
    ///
    /// # Errors
    /// The message is malformed.
    pub fn decode(&self) -> Result<DepthImage, DepthError> {
        match self {
            DepthMessage::Raw(image) => DepthImage::from_raw(&raw_image(image)),
            DepthMessage::Compressed(image) => DepthImage::from_compressed(&image.data, &image.format),
        }
    }
}
