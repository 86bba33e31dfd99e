//! Pixels: image encodings to RGB, preprocessing for the encoder, masks from logits, overlays.
//!
//! This module works on plain memory and knows neither ROS nor ONNX Runtime. No image message and no file makes it
//! panic.

mod axis;
mod bayer;
mod canvas;
mod columns;
mod compressed;
mod contour;
mod draw;
mod encoding;
mod error;
mod filter;
mod jpeg;
mod labels;
mod level_square;
mod levels;
mod mask;
mod mask_file;
mod oklab;
mod overlay;
mod padded_square;
mod pillow;
mod preprocess;
mod prompt_mask;
mod regions;
mod resize;
mod rle;
mod segments;
mod square_mask;
mod stretch;
mod tint;
mod typeface;
mod upscale;
mod yuv;

pub use compressed::decode_compressed;
pub(crate) use compressed::decode_grey16;
pub use contour::{Contour, contours};
pub use encoding::{RawImage, SUPPORTED_ENCODINGS, decode_raw};
pub(crate) use encoding::{check_rows, rows};
pub use error::PixelError;
pub(crate) use error::check_size;
pub use jpeg::{JPEG_OF_RGB, encode_jpeg, jpeg_is_whole};
pub use labels::{label_image, paint, sort_smaller_last, union_mask};
pub use level_square::{LevelSpec, LevelSquare};
pub use mask::{Mask, PixelRect};
pub use mask_file::decode_mask_file;
pub use overlay::{OverlayObject, draw_corner, draw_overlay, object_colour};
pub use padded_square::{PaddedSpec, PaddedSquare};
pub use preprocess::{InputSpec, Preprocessor};
pub use prompt_mask::{MaskInput, decode_mask};
pub(crate) use regions::Regions;
pub use resize::{Geometry, Resize};
pub use rle::{RunLengths, coco_counts, coco_string, counts_of_coco_string};
pub use segments::draw_segments;
pub use square_mask::SquareMask;
pub use upscale::{LastUpscaler, MaskUpscaler, mask_from_low_res, upscale_logits};
