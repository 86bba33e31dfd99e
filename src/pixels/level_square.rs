//! SAM 3's resize: both sides to the side of the square in whole levels, then normalised.
//!
//! The result is that of transformers (`Sam3ImageProcessor`): torchvision's antialiased bilinear resize of an image of 8 bits,
//! which rounds to a level after each pass.

use image::RgbImage;

use super::error::{PixelError, check_size, check_square};
use super::pillow::{Coefficients, PillowResizer, Target};

/// Size and normalisation of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelSpec {
    /// Side of the model's square, in pixels.
    pub side: u32,
    /// Means of red, green and blue, in levels (0..255), which are subtracted first.
    pub mean: [f32; 3],
    /// Standard deviations of red, green and blue, in levels, which divide the differences.
    pub std: [f32; 3],
}

/// Resizes and normalises images. It keeps its scratch memory from one image to the next.
#[derive(Debug)]
pub struct LevelSquare {
    spec: LevelSpec,
    resizer: PillowResizer,
}

impl LevelSquare {
    pub fn new(spec: LevelSpec) -> Self {
        LevelSquare { spec, resizer: PillowResizer::new(Coefficients::Torch) }
    }

    /// Fills `out`, `[3, side, side]` (planes of red, green, blue).
    ///
    /// # Errors
    /// [`PixelError::Empty`] or [`PixelError::TooLarge`] for the image, [`PixelError::OutputSize`] if `out` has another length.
    pub fn run(&mut self, image: &RgbImage, out: &mut [f32]) -> Result<(), PixelError> {
        let (width, height) = image.dimensions();
        check_size(width, height)?;
        let side = check_square(out.len(), self.spec.side)?;
        let from = (width as usize, height as usize);
        let norm = (self.spec.mean, self.spec.std);
        self.resizer.run(image.as_raw(), from, (side, side), Target::Planes { out, side, norm });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_whole_levels_of_the_whole_image() {
        let spec = LevelSpec { side: 16, mean: [0.0; 3], std: [1.0; 3] };
        let mut square = LevelSquare::new(spec);
        for (width, height) in [(40, 10), (7, 31), (16, 16)] {
            let image = RgbImage::from_fn(width, height, |x, y| {
                image::Rgb([(x * 200 / width) as u8, (y * 200 / height) as u8, 90])
            });
            let mut out = vec![f32::NAN; 3 * 16 * 16];
            square.run(&image, &mut out).unwrap();
            assert!(out.iter().all(|v| v.fract() == 0.0 && (0.0..=255.0).contains(v)));
            // Both axes fill the square.
            assert!(
                out[0] < 20.0 && out[15] > 170.0 && out[256] < 20.0 && out[256 + 15 * 16] > 170.0,
                "{width}x{height}"
            );
            assert!(out[512..].iter().all(|v| *v == 90.0));
        }
        assert!(square.run(&RgbImage::new(0, 3), &mut [0.0; 768]).is_err());
        assert!(square.run(&RgbImage::new(3, 3), &mut [0.0; 767]).is_err());
    }
}
