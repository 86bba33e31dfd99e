//! Depth images as received. They are decoded once a result needs them.

use r2r::sensor_msgs::msg::{CompressedImage, Image};

use crate::depth::{DepthError, DepthImage};
use crate::engine::Stamp;
use crate::node::ros::convert::{raw_image, stamp};

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

    pub fn stamp(&self) -> Stamp {
        match self {
            DepthMessage::Raw(image) => stamp(&image.header.stamp),
            DepthMessage::Compressed(image) => stamp(&image.header.stamp),
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
