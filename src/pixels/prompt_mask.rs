//! Masks as prompts: a binary image, or the logits of an earlier prediction.

use super::encoding::{RawImage, check_rows, rows};
use super::error::{PixelError, check_size};
use super::resize::Geometry;

/// Logit of a pixel inside a binary mask; a pixel outside has the negative logit. SAM's own logits are about as large
/// well inside an object.
const BINARY_LOGIT: f32 = 10.0;

/// Largest absolute value of a logit; larger logits are clamped. Sums of larger logits, and their squares within the
/// prompt encoder, would be infinite.
const MAX_LOGIT: f32 = 1e6;

/// A mask that was received as a prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum MaskInput {
    /// Pixels of the camera's image, row by row: 0 or 255.
    Binary { width: u32, height: u32, data: Vec<u8> },
    /// Finite logits, row by row: of the camera's image, or of the model's square as a prediction returns them.
    Logits { width: u32, height: u32, data: Vec<f32> },
}

/// Reads the mask of a prompt: mono8 or 8UC1 (above 127 is inside), or 32FC1 (logits).
///
/// # Errors
/// * [`PixelError::NotAMask`] for any other encoding.
/// * [`PixelError::Empty`], [`PixelError::TooLarge`], [`PixelError::StepTooSmall`], [`PixelError::SizeMismatch`] if
///   width, height, step and data do not fit together.
/// * [`PixelError::MaskNotFinite`] if a logit is not finite.
pub fn decode_mask(raw: &RawImage) -> Result<MaskInput, PixelError> {
    let RawImage { width, height, .. } = *raw;
    let bytes = match raw.encoding {
        "mono8" | "8UC1" => 1,
        "32FC1" => 4,
        _ => return Err(PixelError::NotAMask { encoding: raw.encoding.to_owned() }),
    };
    check_size(width, height)?;
    let row_bytes = check_rows(raw, u64::from(width) * bytes, u64::from(height))?;
    if bytes == 1 {
        let data = rows(raw, row_bytes).flatten().map(|v| if *v > 127 { 255 } else { 0 }).collect();
        return Ok(MaskInput::Binary { width, height, data });
    }
    let read = |b: &[u8; 4]| if raw.big_endian { f32::from_be_bytes(*b) } else { f32::from_le_bytes(*b) };
    let mut data: Vec<f32> = rows(raw, row_bytes).flat_map(|row| row.as_chunks::<4>().0.iter().map(read)).collect();
    if let Some(at) = data.iter().position(|v| !v.is_finite()) {
        let (x, y) = (at as u32 % width, at as u32 / width);
        return Err(PixelError::MaskNotFinite { x, y });
    }
    data.iter_mut().for_each(|v| *v = v.clamp(-MAX_LOGIT, MAX_LOGIT));
    Ok(MaskInput::Logits { width, height, data })
}

impl MaskInput {
    /// Returns the size of the pixels in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            MaskInput::Binary { data, .. } => data.len(),
            MaskInput::Logits { data, .. } => size_of_val(data.as_slice()),
        }
    }

    /// Returns whether no pixel is inside the mask.
    pub fn is_empty(&self) -> bool {
        match self {
            MaskInput::Binary { data, .. } => data.iter().all(|v| *v == 0),
            MaskInput::Logits { data, .. } => data.iter().all(|v| *v <= 0.0),
        }
    }

    /// Returns low-resolution logits for the decoder, `[side, side]`, row by row, in the model's square. Logits of that
    /// size are returned unchanged. Any other mask must have the size of the image, otherwise the result is none: each
    /// cell is the mean of its pixels, +10 for a pixel inside a binary mask and -10 for a pixel outside. Padding is
    /// outside.
    pub fn to_low_res(&self, geometry: &Geometry, side: usize) -> Option<Vec<f32>> {
        let (MaskInput::Binary { width, height, .. } | MaskInput::Logits { width, height, .. }) = self;
        let fits = (*width, *height) == geometry.image && side > 0;
        match self {
            MaskInput::Logits { data, .. } if (*width as usize, *height as usize) == (side, side) => Some(data.clone()),
            MaskInput::Logits { data, .. } => fits.then(|| cell_means(|i| data[i], geometry, side)),
            MaskInput::Binary { data, .. } => {
                let logit = |i: usize| if data[i] == 0 { -BINARY_LOGIT } else { BINARY_LOGIT };
                fits.then(|| cell_means(logit, geometry, side))
            }
        }
    }
}

/// Returns the mean logit of the pixels under each cell of the model's square, `[side, side]`.
fn cell_means(logit: impl Fn(usize) -> f32, geometry: &Geometry, side: usize) -> Vec<f32> {
    let (width, height) = (geometry.image.0 as usize, geometry.image.1 as usize);
    // The pixels under each cell, at least one: the image may be smaller than the grid.
    let spans = |image: usize, content: u32| -> Vec<Option<(usize, usize)>> {
        let scale = image as f64 * f64::from(geometry.side) / (f64::from(content) * side as f64);
        let span = |cell: usize| {
            let from = (cell as f64 * scale).round() as usize;
            let to = ((cell + 1) as f64 * scale).round() as usize;
            let centre = ((cell as f64 + 0.5) * scale) as usize;
            if centre >= image {
                return None;
            }
            Some(if from < to.min(image) { (from, to.min(image)) } else { (centre, centre + 1) })
        };
        (0..side).map(span).collect()
    };
    let (columns, rows) = (spans(width, geometry.content.0), spans(height, geometry.content.1));
    let mut out = Vec::with_capacity(side * side);
    for row in &rows {
        for column in &columns {
            let (Some((top, bottom)), Some((left, right))) = (row, column) else {
                out.push(-BINARY_LOGIT);
                continue;
            };
            let row_sum = |y: usize| (y * width + left..y * width + right).map(&logit).sum::<f32>();
            let sum: f32 = (*top..*bottom).map(row_sum).sum();
            out.push(sum / ((bottom - top) * (right - left)) as f32);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Resize, mask_from_low_res};
    use super::*;

    fn raw<'a>(width: u32, height: u32, step: u32, encoding: &'a str, data: &'a [u8]) -> RawImage<'a> {
        RawImage { width, height, step, encoding, big_endian: false, data }
    }

    #[test]
    fn grey_above_127_is_inside() {
        let mask = decode_mask(&raw(2, 2, 3, "mono8", &[0, 127, 9, 128, 255, 9])).unwrap();
        assert_eq!(mask, MaskInput::Binary { width: 2, height: 2, data: vec![0, 0, 255, 255] });
    }

    #[test]
    fn logits_of_either_byte_order() {
        let values = [1.5f32, -2.0];
        let expected = MaskInput::Logits { width: 1, height: 2, data: values.to_vec() };
        for big_endian in [false, true] {
            let mut data = Vec::new();
            for v in values {
                data.extend(if big_endian { v.to_be_bytes() } else { v.to_le_bytes() });
                data.extend([0xff; 3]); // padding
            }
            let raw = RawImage { big_endian, ..raw(1, 2, 7, "32FC1", &data) };
            assert_eq!(decode_mask(&raw).unwrap(), expected);
        }
    }

    #[test]
    fn images_that_are_not_masks_are_refused() {
        assert!(matches!(decode_mask(&raw(1, 1, 3, "rgb8", &[0; 3])), Err(PixelError::NotAMask { .. })));
        assert!(matches!(decode_mask(&raw(0, 1, 0, "mono8", &[])), Err(PixelError::Empty { .. })));
        assert!(matches!(decode_mask(&raw(2, 1, 4, "32FC1", &[0; 4])), Err(PixelError::StepTooSmall { .. })));
        assert!(matches!(decode_mask(&raw(2, 2, 2, "mono8", &[0; 5])), Err(PixelError::SizeMismatch { .. })));
        let nan = [0f32, f32::NAN].map(f32::to_le_bytes).concat();
        assert_eq!(decode_mask(&raw(1, 2, 4, "32FC1", &nan)), Err(PixelError::MaskNotFinite { x: 0, y: 1 }));
    }

    #[test]
    fn a_binary_mask_survives_the_round_trip_through_the_model_square() {
        for (w, h) in [(640u32, 480u32), (300, 700), (50, 40)] {
            for resize in [Resize::Letterbox, Resize::Stretch] {
                let geometry = Geometry::new(w, h, 1024, resize);
                let inside = |x: u32, y: u32| x > w / 4 && x < w / 2 && y > h / 5 && y < h / 2;
                let data: Vec<u8> = (0..w * h).map(|i| if inside(i % w, i / w) { 255 } else { 0 }).collect();
                let binary = MaskInput::Binary { width: w, height: h, data: data.clone() };
                let low = binary.to_low_res(&geometry, 256).unwrap();
                let back = mask_from_low_res(&low, 256, &geometry, 0.0, 1.0);
                let both = back.full().iter().zip(&data).filter(|(a, b)| **a > 0 && **b > 0).count();
                let any = back.full().iter().zip(&data).filter(|(a, b)| **a > 0 || **b > 0).count();
                assert!(both as f32 / any as f32 > 0.93, "{w}x{h} {resize:?}: {both} of {any}");
            }
        }
    }

    #[test]
    fn huge_logits_stay_finite() {
        let data = [f32::MAX, -f32::MAX, 1e38, 1e38].map(f32::to_le_bytes).concat();
        let mask = decode_mask(&raw(2, 2, 8, "32FC1", &data)).unwrap();
        assert_eq!(mask, MaskInput::Logits { width: 2, height: 2, data: vec![1e6, -1e6, 1e6, 1e6] });
        let low = mask.to_low_res(&Geometry::new(2, 2, 16, Resize::Letterbox), 1).unwrap();
        assert_eq!(low, [5e5]);
    }

    #[test]
    fn other_sizes_give_none() {
        let geometry = Geometry::new(8, 6, 16, Resize::Letterbox);
        let logits = MaskInput::Logits { width: 4, height: 4, data: vec![1.0; 16] };
        assert_eq!(logits.to_low_res(&geometry, 4), Some(vec![1.0; 16]));
        assert_eq!(logits.to_low_res(&geometry, 8), None);
        let binary = MaskInput::Binary { width: 6, height: 8, data: vec![0; 48] };
        assert_eq!(binary.to_low_res(&geometry, 4), None);
    }

    #[test]
    fn logits_of_the_size_of_the_image_are_averaged() {
        let geometry = Geometry::new(8, 4, 16, Resize::Letterbox);
        let data = (0..32).map(|i| if i % 8 < 4 { 3.0 } else { -1.0 }).collect();
        let low = MaskInput::Logits { width: 8, height: 4, data }.to_low_res(&geometry, 4).unwrap();
        assert_eq!(low[..8], [3.0, 3.0, -1.0, -1.0, 3.0, 3.0, -1.0, -1.0]);
        assert_eq!(low[8..], [-BINARY_LOGIT; 8]);
    }
}
