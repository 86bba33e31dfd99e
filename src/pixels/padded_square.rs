//! OWLv2's resize: the image is padded to a square at the right and at the bottom, smoothed, and scaled to the side of the
//! model's square.
//!
//! The result is that of transformers (`Owlv2ImageProcessor.resize`): a Gaussian blur of torchvision with a deviation of
//! `(factor - 1) / 2`, then a bilinear resize without antialiasing. Both are linear and separable, so that each column and each
//! row of the output is a weighted sum of a few columns and rows of the padded picture.

use image::RgbImage;

use super::error::{PixelError, check_size, check_square};
use super::stretch::{Source, Stretcher, Weighted};

/// Size, normalisation and padding of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaddedSpec {
    /// Side of the model's square, in pixels.
    pub side: u32,
    /// Means of red, green and blue, in levels (0..255), which are subtracted first.
    pub mean: [f32; 3],
    /// Standard deviations of red, green and blue, in levels, which divide the differences.
    pub std: [f32; 3],
    /// Level of the padding, from 0 to 255.
    pub padding: f32,
}

/// Pads, resizes and normalises images. It keeps its scratch memory from one image to the next.
#[derive(Debug)]
pub struct PaddedSquare {
    spec: PaddedSpec,
    stretcher: Stretcher,
    /// Side of the last padded square, and the weights for it.
    weights: (usize, Vec<Weighted>),
}

impl PaddedSquare {
    pub fn new(spec: PaddedSpec) -> Self {
        PaddedSquare { spec, stretcher: Stretcher::default(), weights: (0, Vec::new()) }
    }

    /// Fills `out`, `[3, side, side]` (planes of red, green, blue). Returns the side of the padded square, in pixels of the
    /// image.
    ///
    /// # Errors
    /// [`PixelError::Empty`] or [`PixelError::TooLarge`] for the image, [`PixelError::OutputSize`] if `out` has another length.
    pub fn run(&mut self, image: &RgbImage, out: &mut [f32]) -> Result<u32, PixelError> {
        let (width, height) = image.dimensions();
        check_size(width, height)?;
        let PaddedSpec { side, mean, std, padding } = self.spec;
        let side = check_square(out.len(), side)?;
        let length = width.max(height);
        if self.weights.0 != length as usize {
            self.weights = (length as usize, smoothed(length as usize, side));
        }
        let source = Source { pixels: image.as_raw(), width: width as usize, padded_width: length as usize, padding };
        let weights = (self.weights.1.as_slice(), self.weights.1.as_slice());
        self.stretcher.run_with(&source, weights, (mean, std), out, side);
        Ok(length)
    }
}

/// Returns the first sample and the weights of each position for a blur of `from` samples, and a resize to `to` positions.
fn smoothed(from: usize, to: usize) -> Vec<Weighted> {
    let factor = from as f32 / to as f32;
    let kernel = gaussian(((factor - 1.0) / 2.0).max(0.0));
    let radius = kernel.len() / 2;
    let last = from as isize - 1;
    let mut positions = Vec::with_capacity(to);
    let mut sums = vec![0.0_f64; from];
    for i in 0..to {
        // In the precision of torch's bilinear resize.
        let centre = (factor * (i as f32 + 0.5) - 0.5).max(0.0);
        let low = (centre as usize).min(from - 1);
        let fraction = f64::from((centre - low as f32).clamp(0.0, 1.0));
        // Mirrored samples lie within the same span.
        let span = low.saturating_sub(radius)..=(low + 1 + radius).min(from - 1);
        for (sample, weight) in [(low, 1.0 - fraction), ((low + 1).min(from - 1), fraction)] {
            for (k, share) in kernel.iter().enumerate() {
                let at = sample as isize + k as isize - radius as isize;
                // The blur mirrors the picture at its edges.
                let mirrored = if at > last { 2 * last - at } else { at.abs() };
                sums[mirrored.clamp(0, last) as usize] += weight * share;
            }
        }
        positions.push((*span.start(), sums[span.clone()].iter().map(|weight| *weight as f32).collect()));
        sums[span].fill(0.0);
    }
    positions
}

/// Returns the weights of a Gaussian blur, as torchvision computes them: `2 * ceil(3 * deviation) + 1` of them, whose sum is 1.
fn gaussian(deviation: f32) -> Vec<f64> {
    if deviation == 0.0 {
        return vec![1.0];
    }
    let radius = (3.0 * deviation).ceil() as i32;
    let weight = |i: i32| (-0.5 * (f64::from(i) / f64::from(deviation)).powi(2)).exp();
    let sum: f64 = (-radius..=radius).map(weight).sum();
    (-radius..=radius).map(|i| weight(i) / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_a_mean_of_samples_around_it() {
        for (from, to) in [(1280, 960), (640, 960), (3840, 960), (960, 960), (16384, 128), (1, 16), (3, 16), (129, 128)]
        {
            let factor = from as f32 / to as f32;
            for (i, (first, weights)) in smoothed(from, to).iter().enumerate() {
                assert!(first + weights.len() <= from);
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{from} to {to}");
                let mean: f32 = (*first..).zip(weights).map(|(sample, w)| (sample as f32 + 0.5) * w).sum();
                let centre = (i as f32 + 0.5) * factor;
                // Nearer to an edge the picture is mirrored.
                let margin = 0.5 + 3.0 * factor;
                let inside = centre > margin && centre < from as f32 - margin;
                assert!(!inside || (mean - centre).abs() < 0.02 * factor.max(1.0), "{mean} for {centre}");
            }
        }
    }

    #[test]
    fn the_padding_is_below_and_to_the_right() {
        let spec = PaddedSpec { side: 16, mean: [0.0; 3], std: [1.0; 3], padding: 90.0 };
        let mut square = PaddedSquare::new(spec);
        for (width, height) in [(8, 4), (4, 8), (8, 8), (64, 16)] {
            let mut out = vec![f32::NAN; 3 * 16 * 16];
            let image = RgbImage::from_pixel(width, height, image::Rgb([10, 20, 30]));
            let length = square.run(&image, &mut out).unwrap();
            assert_eq!(length, width.max(height));
            assert!((out[0] - 10.0).abs() < 1e-3 && (out[256] - 20.0).abs() < 1e-3);
            let corner = if width == height { 30.0 } else { 90.0 };
            assert!((out[3 * 256 - 1] - corner).abs() < 1e-3, "{width}x{height}: {}", out[3 * 256 - 1]);
        }
        assert!(square.run(&RgbImage::new(0, 3), &mut [0.0; 768]).is_err());
        assert!(square.run(&RgbImage::new(3, 3), &mut [0.0; 767]).is_err());
    }
}
