//! What both kinds of descriptions derive from the decoder's layout.

use crate::model::layout::{DecoderLayout, Family};

/// Side of one embedding cell of SAM's encoder, in pixels.
pub const SAM_STRIDE: usize = 16;
/// Side of one embedding cell in low-resolution logits.
pub const SAM_LOGITS_PER_CELL: usize = 4;

/// Returns the side of the square in whose pixels graphs of other exporters take coordinates. The pictures of nanosam's and
/// EfficientViT-SAM's encoders may be smaller than the picture of the SAM that their decoders come from.
pub fn prompt_side(layout: &DecoderLayout, image_size: usize, cells: usize) -> usize {
    match layout.family {
        Family::Sam2 | Family::EfficientSam => image_size,
        Family::Sam | Family::SamHq | Family::EdgeSam | Family::EfficientVitSam => cells * SAM_STRIDE,
    }
}

/// Returns whether the corners of a box come before the points, as in SAM 2, for graphs with the prompt encoder inside.
pub fn corners_first(layout: &DecoderLayout) -> bool {
    layout.family == Family::Sam2 && layout.takes_boxes
}
