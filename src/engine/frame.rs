//! A camera frame on its way through the engine, and the stamp that it is known by.

use std::fmt;
use std::sync::Arc;

use image::RgbImage;

use crate::pixels::{PixelError, RawImage, decode_compressed, decode_raw};

/// Time of a message's header, in the clock of whoever stamped it. Frames are kept and found by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// Seconds.
    pub sec: i32,
    /// Nanoseconds within the second.
    pub nanosec: u32,
}

impl Stamp {
    /// "No stamp given": ROS messages that were never stamped carry zero.
    pub const NONE: Stamp = Stamp { sec: 0, nanosec: 0 };

    pub fn seconds(self) -> f64 {
        f64::from(self.sec) + f64::from(self.nanosec) * 1e-9
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.sec, self.nanosec)
    }
}

/// The header of an image; every result computed on that image leaves with it, unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    pub stamp: Stamp,
    /// The camera's optical frame.
    pub frame_id: Arc<str>,
}

/// Pixels as they came over the wire. They are converted on the encoder's thread, so that a frame which a newer one
/// replaces costs nothing.
#[derive(Debug, Clone)]
pub enum FramePixels {
    /// A sensor_msgs/Image.
    Raw { width: u32, height: u32, step: u32, encoding: String, big_endian: bool, data: Vec<u8> },
    /// A sensor_msgs/CompressedImage: JPEG or PNG.
    Compressed { format: String, data: Vec<u8> },
    /// Already RGB (files, tests).
    Rgb(Arc<RgbImage>),
}

/// One image with its header.
#[derive(Debug, Clone)]
pub struct Frame {
    pub header: Header,
    pub pixels: FramePixels,
}

impl Frame {
    /// Bytes that it costs to keep this frame.
    pub fn bytes(&self) -> usize {
        match &self.pixels {
            FramePixels::Raw { data, .. } | FramePixels::Compressed { data, .. } => data.len(),
            FramePixels::Rgb(image) => image.as_raw().len(),
        }
    }

    /// The pixels as RGB.
    ///
    /// # Errors
    /// What is wrong with the message: unknown encoding, sizes that do not fit, broken JPEG.
    pub fn to_rgb(&self) -> Result<Arc<RgbImage>, PixelError> {
        match &self.pixels {
            FramePixels::Raw { width, height, step, encoding, big_endian, data } => decode_raw(&RawImage {
                width: *width,
                height: *height,
                step: *step,
                encoding,
                big_endian: *big_endian,
                data,
            })
            .map(Arc::new),
            FramePixels::Compressed { format, data } => decode_compressed(data, format).map(Arc::new),
            FramePixels::Rgb(image) => Ok(Arc::clone(image)),
        }
    }
}
