//! Preprocessing: an image to the encoder's input tensor.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::error::{PixelError, check_size, check_square};
use super::pillow::{PillowResizer, Target};
use super::resize::{Geometry, Resize};
use super::stretch::Stretcher;

/// Size and normalisation of an image encoder's input.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Side of the square, in pixels.
    pub side: u32,
    pub resize: Resize,
    /// Means of red, green and blue, in levels (0..255), which are subtracted first.
    pub mean: [f32; 3],
    /// Standard deviations of red, green and blue, in levels, which divide the differences.
    pub std: [f32; 3],
}

/// Resizes and normalises images. It keeps its scratch memory, so that only the first frame of a size allocates.
#[derive(Debug)]
pub struct Preprocessor {
    spec: InputSpec,
    resizer: PillowResizer,
    stretcher: Stretcher,
}

impl Preprocessor {
    pub fn new(spec: InputSpec) -> Self {
        Preprocessor { spec, resizer: PillowResizer::default(), stretcher: Stretcher::default() }
    }

    pub fn spec(&self) -> &InputSpec {
        &self.spec
    }

    /// Fills `out`, `[3, side, side]` (planes of red, green, blue). Returns the part of the square that shows the
    /// image.
    ///
    /// Letterbox, as in SAM (`ResizeLongestSide.apply_image`, then `Sam.preprocess`): Pillow's antialiased bilinear
    /// resize on 8 bits, rounded after each pass, then normalised; the padding to the right and at the bottom is 0.
    /// Stretch, as in SAM 2 (`SAM2Transforms`): torchvision's antialiased bilinear resize in floating point, then
    /// normalised.
    ///
    /// # Errors
    /// [`PixelError::Empty`] or [`PixelError::TooLarge`] for the image, [`PixelError::OutputSize`] if `out` has another
    /// length.
    pub fn run(&mut self, image: &RgbImage, out: &mut [f32]) -> Result<Geometry, PixelError> {
        let (width, height) = image.dimensions();
        check_size(width, height)?;
        let side = check_square(out.len(), self.spec.side)?;
        let geometry = Geometry::new(width, height, self.spec.side, self.spec.resize);
        let (pixels, from, norm) = (image.as_raw(), size(geometry.image), (self.spec.mean, self.spec.std));
        match self.spec.resize {
            Resize::Letterbox => {
                self.resizer.run(pixels, from, size(geometry.content), Target::Planes { out, side, norm });
            }
            Resize::Stretch => self.stretcher.run(pixels, from, norm, out, side),
        }
        Ok(geometry)
    }

    /// Fills `out` with the content of a letterbox without its padding: `[height, width, 3]` levels of red, green,
    /// blue.
    ///
    /// # Errors
    /// [`PixelError::Empty`] or [`PixelError::TooLarge`].
    pub fn content(&mut self, image: &RgbImage, out: &mut Vec<f32>) -> Result<Geometry, PixelError> {
        let (width, height) = image.dimensions();
        check_size(width, height)?;
        let geometry = Geometry::new(width, height, self.spec.side, Resize::Letterbox);
        let (from, to) = (size(geometry.image), size(geometry.content));
        out.resize(to.0 * to.1 * 3, 0.0);
        self.resizer.run(image.as_raw(), from, to, Target::Levels(out));
        Ok(geometry)
    }

    /// Fills the content of a letterbox in `out`, `[side, side, 3]` levels of red, green, blue. The padding stays as it is.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn levels(&mut self, image: &RgbImage, out: &mut [u8]) -> Result<Geometry, PixelError> {
        let (width, height) = image.dimensions();
        check_size(width, height)?;
        let side = check_square(out.len(), self.spec.side)?;
        let geometry = Geometry::new(width, height, self.spec.side, Resize::Letterbox);
        let (from, to) = (size(geometry.image), size(geometry.content));
        self.resizer.run(image.as_raw(), from, to, Target::Corner { out, side });
        Ok(geometry)
    }

    /// Fills `out` with the image at its own size, `[3, height, width]` from 0 to 1, for graphs that stretch and
    /// normalise.
    ///
    /// # Errors
    /// [`PixelError::Empty`] or [`PixelError::TooLarge`].
    pub fn planes(&self, image: &RgbImage, out: &mut Vec<f32>) -> Result<Geometry, PixelError> {
        let (width, height) = image.dimensions();
        check_size(width, height)?;
        out.clear();
        for channel in 0..3 {
            out.extend(image.as_raw().iter().skip(channel).step_by(3).map(|v| f32::from(*v) / 255.0));
        }
        Ok(Geometry::new(width, height, self.spec.side, Resize::Stretch))
    }
}

fn size((width, height): (u32, u32)) -> (usize, usize) {
    (width as usize, height as usize)
}

#[cfg(test)]
#[path = "preprocess_tests.rs"]
mod tests;
