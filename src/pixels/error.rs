//! Errors of images: each names what was found and what was expected.

use thiserror::Error;

/// Longest accepted side of an image, in pixels. A longer side is the sign of a corrupt message or a decompression
/// bomb.
pub const MAX_SIDE: u32 = 16_384;

/// Most accepted pixels of an image: twice the pixels of an 8K frame, 192 MiB of RGB.
pub const MAX_PIXELS: u64 = 64 << 20;

/// Errors of reading, resizing and writing pixels.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PixelError {
    #[error("image without pixels ({width}x{height}); expected at least 1x1")]
    Empty { width: u32, height: u32 },
    #[error("image of {width}x{height} pixels; at most {MAX_SIDE} a side and {MAX_PIXELS} in all are accepted")]
    TooLarge { width: u32, height: u32 },
    #[error("unknown encoding \"{encoding}\"; expected one of {expected}")]
    UnknownEncoding { encoding: String, expected: String },
    #[error("step of {step} bytes is smaller than a row: {width} pixels of {encoding} take {needed}")]
    StepTooSmall { step: u32, needed: u64, width: u32, encoding: String },
    #[error("{found} bytes of data, expected {expected} ({rows} rows of {step} bytes, {encoding})")]
    SizeMismatch { found: usize, expected: u64, rows: u64, step: u32, encoding: String },
    #[error("{encoding} image of {width}x{height} pixels; its {dimension} must be even")]
    OddSize { encoding: String, width: u32, height: u32, dimension: &'static str },
    #[error("{encoding} image of {width}x{height} pixels; a mosaic needs at least 2x2")]
    MosaicTooSmall { encoding: String, width: u32, height: u32 },
    #[error("compressed image (format \"{format}\") starts with {start}: neither JPEG nor PNG")]
    UnknownCompression { format: String, start: String },
    #[error("compressed image (format \"{format}\") does not decode: {reason}")]
    Compressed { format: String, reason: String },
    #[error("encoding \"{encoding}\" is not a mask; expected mono8 (0 or 255) or 32FC1 (logits)")]
    NotAMask { encoding: String },
    #[error("the mask has a value that is not finite at ({x}, {y}); expected finite logits")]
    MaskNotFinite { x: u32, y: u32 },
    #[error(
        "mask with nothing inside: its levels end at {largest} of 255, expected levels above 127, or black and one other colour"
    )]
    EmptyMask { largest: u16 },
    #[error(
        "label picture of {colours} colours or more, expected the mask of one object: black, and one other colour inside"
    )]
    LabelPicture { colours: usize },
    #[error("buffer of {found} values, expected {expected} (3 x {side} x {side})")]
    OutputSize { found: usize, expected: usize, side: u32 },
    #[error("cannot encode as JPEG: {0}")]
    Encode(String),
}

/// Checks that an image has pixels, and not more than [`MAX_SIDE`] and [`MAX_PIXELS`].
pub(crate) fn check_size(width: u32, height: u32) -> Result<(), PixelError> {
    if width == 0 || height == 0 {
        return Err(PixelError::Empty { width, height });
    }
    if width > MAX_SIDE || height > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PixelError::TooLarge { width, height });
    }
    Ok(())
}

/// Returns `side` if an output of `found` values is a square of three channels.
pub(super) fn check_square(found: usize, side: u32) -> Result<usize, PixelError> {
    let values = side as usize;
    let expected = values.saturating_mul(values).saturating_mul(3);
    if found != expected || expected == 0 {
        return Err(PixelError::OutputSize { found, expected, side });
    }
    Ok(values)
}
