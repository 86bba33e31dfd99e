//! Given masks in the form that SAM 2's video predictor takes: torch's antialiased bilinear resize, in floating point.

use super::filter::Filter;

/// A given mask in the encoder's square.
#[derive(Debug, Clone, PartialEq)]
pub struct SquareMask {
    /// `[side, side]`, row by row: 0 or 1.
    pub inside: Vec<f32>,
    /// Side of the square in pixels.
    pub side: usize,
}

impl SquareMask {
    /// Stretches a mask of the camera's image to the square (`SAM2VideoPredictor.add_new_mask`). `mask` is `width *
    /// height` pixels, row by row; every pixel except 0 is inside. None if `mask` has another length.
    pub fn from_image(mask: &[u8], (width, height): (usize, usize), side: usize) -> Option<Self> {
        if mask.len() != width.checked_mul(height)? || mask.is_empty() || side == 0 {
            return None;
        }
        let binary: Vec<f32> = mask.iter().map(|v| f32::from(*v != 0)).collect();
        Some(Self::above(0.5, &resample(&binary, (width, height), (side, side)), side))
    }

    /// Enlarges low-resolution logits to the square, for a mask without pixels of the camera's image.
    pub fn from_logits(logits: &[f32], low_res_side: usize, side: usize) -> Option<Self> {
        if logits.len() != low_res_side * low_res_side || logits.is_empty() || side == 0 {
            return None;
        }
        let larger = resample(logits, (low_res_side, low_res_side), (side, side));
        Some(Self::above(f32::MIN_POSITIVE, &larger, side))
    }

    fn above(level: f32, values: &[f32], side: usize) -> Self {
        SquareMask { inside: values.iter().map(|v| f32::from(*v >= level)).collect(), side }
    }

    /// Returns whether no pixel is inside the mask.
    pub fn is_empty(&self) -> bool {
        self.inside.iter().all(|v| *v == 0.0)
    }

    /// Returns low-resolution logits, `[side, side]`, +10 inside and -10 outside (`_use_mask_as_output`).
    pub fn low_res(&self, side: usize) -> Vec<f32> {
        let logits: Vec<f32> = self.inside.iter().map(|v| v * 20.0 - 10.0).collect();
        resample(&logits, (self.side, self.side), (side, side))
    }
}

/// Resizes one channel, along x first.
fn resample(values: &[f32], (width, height): (usize, usize), (to_width, to_height): (usize, usize)) -> Vec<f32> {
    let (mut columns, mut rows) = (Filter::<f32>::default(), Filter::<f32>::default());
    columns.prepare(width, to_width, |w| w as f32);
    rows.prepare(height, to_height, |w| w as f32);
    let sum = |(first, weights): (usize, &[f32]), value: &dyn Fn(usize) -> f32| -> f32 {
        weights.iter().enumerate().map(|(i, w)| w * value(first + i)).sum()
    };
    let mut narrow = Vec::with_capacity(to_width * height);
    for row in values.chunks_exact(width) {
        narrow.extend((0..to_width).map(|x| sum(columns.at(x), &|i| row[i])));
    }
    let mut out = Vec::with_capacity(to_width * to_height);
    for y in 0..to_height {
        let at = rows.at(y);
        out.extend((0..to_width).map(|x| sum(at, &|i| narrow[i * to_width + x])));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_keeps_its_place() {
        let (width, height) = (40, 20);
        let mut mask = vec![0; width * height];
        for y in 5..15 {
            mask[y * width + 10..y * width + 30].fill(255);
        }
        let square = SquareMask::from_image(&mask, (width, height), 80).unwrap();
        // The resize rounds the corners a little.
        assert!((1580.0..=1600.0).contains(&square.inside.iter().sum::<f32>()));
        assert_eq!(
            (square.inside[20 * 80 + 40], square.inside[19 * 80 + 40], square.inside[59 * 80 + 40]),
            (1.0, 0.0, 1.0)
        );
        let low = square.low_res(20);
        assert!((low[10 * 20 + 10] - 10.0).abs() < 1e-5 && (low[0] + 10.0).abs() < 1e-5);
        // The border of the mask runs between two cells, whose triangles cross it by the same amount.
        assert!((low[10 * 20 + 4] + low[10 * 20 + 5]).abs() < 1e-5);
        let back = SquareMask::from_logits(&low, 20, 80).unwrap();
        // The resize rounds the corners a little.
        assert!((1580.0..=1600.0).contains(&back.inside.iter().sum::<f32>()));
        assert_eq!((back.inside[40 * 80 + 20], back.inside[40 * 80 + 19]), (1.0, 0.0));
    }

    #[test]
    fn a_mask_with_the_wrong_number_of_pixels_is_none() {
        assert_eq!(SquareMask::from_image(&[1; 11], (4, 3), 8), None);
        assert_eq!(SquareMask::from_image(&[], (0, 3), 8), None);
        assert!(SquareMask::from_image(&[0; 12], (4, 3), 8).unwrap().is_empty());
        assert_eq!(SquareMask::from_logits(&[1.0; 3], 2, 8), None);
    }
}
