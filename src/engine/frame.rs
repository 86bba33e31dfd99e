//! Camera frames and their stamps.

use std::fmt;
use std::sync::Arc;

use image::RgbImage;

use crate::pixels::{PixelError, RawImage, check_size, decode_compressed, decode_raw};

/// Stamp of a message's header, in the clock of the publisher. Frames are kept and looked up by stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// Seconds.
    pub sec: i32,
    /// Nanoseconds within the second.
    pub nanosec: u32,
}

impl Stamp {
    /// Stamp of ROS messages without a stamp.
    pub const NONE: Stamp = Stamp { sec: 0, nanosec: 0 };

    /// Returns the time in nanoseconds.
    pub fn nanoseconds(self) -> i64 {
        i64::from(self.sec) * 1_000_000_000 + i64::from(self.nanosec)
    }

    pub fn seconds(self) -> f64 {
        f64::from(self.sec) + f64::from(self.nanosec) * 1e-9
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.sec, self.nanosec)
    }
}

/// Header of an image. Every result computed on the image carries it unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    pub stamp: Stamp,
    /// Name of the camera's optical frame.
    pub frame_id: Arc<str>,
}

/// Pixels as received. The encoder's thread converts them, so that a frame that is replaced by a newer frame takes no time.
#[derive(Debug, Clone)]
pub enum FramePixels {
    /// sensor_msgs/Image.
    Raw { width: u32, height: u32, step: u32, encoding: String, big_endian: bool, data: Vec<u8> },
    /// sensor_msgs/CompressedImage: JPEG or PNG.
    Compressed { format: String, data: Vec<u8> },
    /// RGB pixels (files, tests).
    Rgb(Arc<RgbImage>),
}

/// Number and image size of a frame that is prompted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptedFrame {
    pub number: u64,
    /// Width and height of the image, in pixels.
    pub size: (u32, u32),
}

/// An image with its header.
#[derive(Debug, Clone)]
pub struct Frame {
    pub header: Header,
    pub pixels: FramePixels,
}

impl Frame {
    /// Returns the bytes of the pixels.
    pub fn bytes(&self) -> usize {
        match &self.pixels {
            FramePixels::Raw { data, .. } | FramePixels::Compressed { data, .. } => data.len(),
            FramePixels::Rgb(image) => image.as_raw().len(),
        }
    }

    /// Converts the pixels to RGB. An rgb8 message without padding is not copied.
    ///
    /// # Errors
    /// The encoding is unknown, the sizes do not match, or the JPEG or PNG data is broken.
    pub fn into_rgb(self) -> Result<Arc<RgbImage>, PixelError> {
        match self.pixels {
            FramePixels::Raw { width, height, step, encoding, big_endian, data } => {
                let is_rgb = encoding == "rgb8" && u64::from(step) == u64::from(width) * 3;
                if is_rgb && data.len() as u64 == u64::from(step) * u64::from(height) {
                    check_size(width, height)?;
                    if let Some(image) = RgbImage::from_raw(width, height, data) {
                        return Ok(Arc::new(image));
                    }
                    // The length was checked above.
                    return Err(PixelError::Empty { width, height });
                }
                let raw = RawImage { width, height, step, encoding: &encoding, big_endian, data: &data };
                decode_raw(&raw).map(Arc::new)
            }
            FramePixels::Compressed { format, data } => decode_compressed(&data, &format).map(Arc::new),
            FramePixels::Rgb(image) => Ok(image),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(encoding: &str, width: u32, height: u32, step: u32, data: Vec<u8>) -> Frame {
        let pixels = FramePixels::Raw { width, height, step, encoding: encoding.into(), big_endian: false, data };
        Frame { header: Header::default(), pixels }
    }

    #[test]
    fn rgb8_is_taken_as_it_is_and_everything_else_is_read() {
        let data: Vec<u8> = (0..24).collect();
        let address = data.as_ptr();
        let image = raw("rgb8", 4, 2, 12, data).into_rgb().unwrap();
        assert_eq!((image.as_raw().as_ptr(), image.get_pixel(3, 1).0), (address, [21, 22, 23]));
        let padded = raw("rgb8", 3, 2, 12, (0..24).collect()).into_rgb().unwrap();
        assert_eq!((padded.dimensions(), padded.get_pixel(2, 1).0), ((3, 2), [18, 19, 20]));
        let turned = raw("bgr8", 4, 2, 12, (0..24).collect()).into_rgb().unwrap();
        assert_eq!(turned.get_pixel(0, 0).0, [2, 1, 0]);
        assert!(raw("rgb8", 4, 2, 12, vec![0; 23]).into_rgb().is_err());
        assert!(raw("rgb8", 0, 0, 0, Vec::new()).into_rgb().is_err());
        let huge = raw("rgb8", u32::MAX, 1, u32::MAX, vec![0; 9]);
        assert!(huge.into_rgb().is_err());
    }
}
