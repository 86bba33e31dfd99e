//! Errors of depth: each names what was found and what was expected.

use thiserror::Error;

use crate::pixels::PixelError;

/// Reason why a depth image was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum DepthError {
    #[error(
        "encoding \"{encoding}\" is not a depth image; expected 32FC1 (metres) or 16UC1 (millimetres), as REP-118 defines \
         them"
    )]
    Encoding { encoding: String },
    #[error(transparent)]
    Image(#[from] PixelError),
    #[error(
        "depth of {width}x{height} pixels for an image of {image_width}x{image_height}; expected the image's size, or \
         both sides larger or smaller by the same whole factor; depth_image_proc::RegisterNode registers depth to an \
         image"
    )]
    Size { width: u32, height: u32, image_width: u32, image_height: u32 },
    #[error("{found} depths, expected {expected} ({width}x{height} pixels)")]
    Length { found: usize, expected: u64, width: u32, height: u32 },
    #[error("compressed depth (format \"{format}\"): {reason}")]
    Compressed { format: String, reason: String },
}

/// Reason why an object has no position in 3-D.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoSurface {
    #[error("the mask is empty")]
    EmptyMask,
    #[error("mask of {width}x{height} pixels, expected the size of the depth, {depth_width}x{depth_height}")]
    MaskSize { width: u32, height: u32, depth_width: u32, depth_height: u32 },
    #[error("no pixel of the {pixels} in the mask has a depth")]
    NoDepth { pixels: u32 },
    #[error(
        "{found} pixels are left of the {pixels} in the mask ({valid} with a depth) without its border and without flying \
         pixels; expected {expected} that are connected"
    )]
    TooFewPoints { found: u32, valid: u32, pixels: u32, expected: u32 },
}

impl NoSurface {
    /// Returns a short name of the reason, for counters.
    pub fn name(&self) -> &'static str {
        match self {
            NoSurface::EmptyMask => "empty_mask",
            NoSurface::MaskSize { .. } => "mask_size",
            NoSurface::NoDepth { .. } => "no_depth",
            NoSurface::TooFewPoints { .. } => "too_few_points",
        }
    }
}
