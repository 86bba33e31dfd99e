//! An image becomes the encoder's input tensor.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::error::{PixelError, check_size};
use super::pillow::{PillowResizer, Target};
use super::resize::{Geometry, Resize};
use super::stretch::Stretcher;

/// What an image encoder wants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Side of the square, in pixels.
    pub side: u32,
    pub resize: Resize,
    /// Subtracted from red, green, blue, in levels (0..255).
    pub mean: [f32; 3],
    /// What is left is divided by this, in levels.
    pub std: [f32; 3],
}

/// Resizes and normalises. Owns its scratch memory: frames of one size cost no allocation after the first.
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

    /// Fills `out`, `[3, side, side]` (planes of red, green, blue), and says where the image lies in it.
    ///
    /// Letterbox, as SAM (`ResizeLongestSide.apply_image`, then `Sam.preprocess`): Pillow's antialiased bilinear on
    /// 8 bits, rounded after each pass, then normalised; the padding to the right and below is 0. Stretch, as SAM 2
    /// (`SAM2Transforms`): torchvision's antialiased bilinear in floating point, then normalised.
    ///
    /// # Errors
    /// An image without pixels or of absurd size, or `out` of another length.
    pub fn run(&mut self, image: &RgbImage, out: &mut [f32]) -> Result<Geometry, PixelError> {
        let (width, height) = image.dimensions();
        check_size(width, height)?;
        let side = self.spec.side as usize;
        let expected = side.saturating_mul(side).saturating_mul(3);
        if out.len() != expected || expected == 0 {
            return Err(PixelError::OutputSize { found: out.len(), expected, side: self.spec.side });
        }
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

    /// The image as it lies in the square of a letterbox, without the padding: levels of red, green, blue, row by row.
    ///
    /// # Errors
    /// An image without pixels or of absurd size.
    pub fn content(&mut self, image: &RgbImage, out: &mut Vec<f32>) -> Result<Geometry, PixelError> {
        let (width, height) = image.dimensions();
        check_size(width, height)?;
        let geometry = Geometry::new(width, height, self.spec.side, Resize::Letterbox);
        let (from, to) = (size(geometry.image), size(geometry.content));
        out.resize(to.0 * to.1 * 3, 0.0);
        self.resizer.run(image.as_raw(), from, to, Target::Levels(out));
        Ok(geometry)
    }

    /// The image at its own size as planes from 0 to 1, for graphs that stretch and normalise it themselves.
    ///
    /// # Errors
    /// An image without pixels or of absurd size.
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
