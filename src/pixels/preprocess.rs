//! An image becomes the encoder's input tensor.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::error::{PixelError, check_size};
use super::pillow::PillowResizer;
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
    /// `(level - mean) / std` for each level, by channel.
    normalised: Box<[[f32; 256]; 3]>,
    resizer: PillowResizer,
    /// The resized image.
    content: Vec<u8>,
    stretcher: Stretcher,
}

impl Preprocessor {
    pub fn new(spec: InputSpec) -> Self {
        let mut normalised = Box::new([[0.0; 256]; 3]);
        for ((table, mean), std) in normalised.iter_mut().zip(spec.mean).zip(spec.std) {
            for (level, value) in table.iter_mut().enumerate() {
                *value = (level as f32 - mean) / std;
            }
        }
        let (resizer, stretcher) = (PillowResizer::default(), Stretcher::default());
        Preprocessor { spec, normalised, resizer, content: Vec::new(), stretcher }
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
        match self.spec.resize {
            Resize::Letterbox => self.letterbox(image, &geometry, out),
            Resize::Stretch => self.stretcher.run(image, &self.spec, out),
        }
        Ok(geometry)
    }

    /// The image as it lies in the square of a letterbox, without the padding: levels of red, green, blue, row by row.
    ///
    /// # Errors
    /// An image without pixels or of absurd size.
    pub fn content<'a>(&'a mut self, image: &'a RgbImage) -> Result<(Geometry, &'a [u8]), PixelError> {
        let (width, height) = image.dimensions();
        check_size(width, height)?;
        let geometry = Geometry::new(width, height, self.spec.side, Resize::Letterbox);
        Ok((geometry, fit(&mut self.resizer, &mut self.content, image, &geometry)))
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

    fn letterbox(&mut self, image: &RgbImage, geometry: &Geometry, out: &mut [f32]) {
        let pixels = fit(&mut self.resizer, &mut self.content, image, geometry);
        normalise(pixels, geometry.content.0 as usize, &self.normalised, out, geometry.side as usize);
    }
}

/// Resizes an image to the content of a letterbox.
fn fit<'a>(
    resizer: &mut PillowResizer,
    content: &'a mut Vec<u8>,
    image: &'a RgbImage,
    geometry: &Geometry,
) -> &'a [u8] {
    let size = |(width, height): (u32, u32)| (width as usize, height as usize);
    if geometry.image == geometry.content {
        return image.as_raw();
    }
    resizer.run(image.as_raw(), size(geometry.image), content, size(geometry.content));
    content
}

/// Interleaved levels in rows of `width` pixels to normalised planes of `side` x `side`, the rest 0.
fn normalise(pixels: &[u8], width: usize, tables: &[[f32; 256]; 3], out: &mut [f32], side: usize) {
    let (red, rest) = out.split_at_mut(side * side);
    let (green, blue) = rest.split_at_mut(side * side);
    let [red_table, green_table, blue_table] = tables;
    let rows = red.chunks_exact_mut(side).zip(green.chunks_exact_mut(side)).zip(blue.chunks_exact_mut(side));
    let mut sources = pixels.chunks_exact(width * 3);
    for ((red, green), blue) in rows {
        let Some(source) = sources.next() else {
            red.fill(0.0);
            green.fill(0.0);
            blue.fill(0.0);
            continue;
        };
        let (red, red_padding) = red.split_at_mut(width);
        let (green, green_padding) = green.split_at_mut(width);
        let (blue, blue_padding) = blue.split_at_mut(width);
        for (((p, r), g), b) in source.as_chunks::<3>().0.iter().zip(red).zip(green).zip(blue) {
            *r = red_table[usize::from(p[0])];
            *g = green_table[usize::from(p[1])];
            *b = blue_table[usize::from(p[2])];
        }
        for padding in [red_padding, green_padding, blue_padding] {
            padding.fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    const SPEC: InputSpec =
        InputSpec { side: 8, resize: Resize::Letterbox, mean: [100.0, 50.0, 25.0], std: [2.0, 4.0, 5.0] };

    #[test]
    fn a_flat_image_stays_flat_and_the_padding_is_zero_in_a_buffer_used_before() {
        let image = RgbImage::from_pixel(31, 15, Rgb([110, 70, 20]));
        let mut out = vec![f32::NAN; 3 * 64];
        let geometry = Preprocessor::new(SPEC).run(&image, &mut out).unwrap();
        assert_eq!(geometry.content, (8, 4));
        for (plane, value) in out.chunks_exact(64).zip([5.0, 5.0, -1.0]) {
            assert!(plane[..32].iter().all(|v| *v == value) && plane[32..].iter().all(|v| *v == 0.0), "{plane:?}");
        }
        let tall = RgbImage::from_pixel(4, 16, Rgb([110, 70, 20]));
        Preprocessor::new(SPEC).run(&tall, &mut out).unwrap();
        assert_eq!(out[..10], [5.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 5.0]);
    }

    #[test]
    fn a_flat_image_stretches_to_the_whole_square() {
        let image = RgbImage::from_pixel(31, 15, Rgb([110, 70, 20]));
        let mut out = vec![f32::NAN; 3 * 64];
        let mut pre = Preprocessor::new(InputSpec { resize: Resize::Stretch, ..SPEC });
        assert_eq!(pre.run(&image, &mut out).unwrap().content, (8, 8));
        for (plane, value) in out.chunks_exact(64).zip([5.0, 5.0, -1.0]) {
            assert!(plane.iter().all(|v| (v - value).abs() < 1e-4), "{plane:?}");
        }
    }

    #[test]
    fn sizes_may_change_from_frame_to_frame() {
        for resize in [Resize::Letterbox, Resize::Stretch] {
            let spec = InputSpec { side: 16, resize, ..SPEC };
            let mut kept = Preprocessor::new(spec);
            for (w, h) in [(40, 30), (5, 3), (1, 1), (16, 16), (300, 2), (2, 300), (40, 30)] {
                let image = RgbImage::from_fn(w, h, |x, y| Rgb([(x * 7) as u8, (y * 11) as u8, (x * y) as u8]));
                let (mut a, mut b) = (vec![f32::NAN; 768], vec![f32::NAN; 768]);
                kept.run(&image, &mut a).unwrap();
                Preprocessor::new(spec).run(&image, &mut b).unwrap();
                assert_eq!(a, b, "{w}x{h} {resize:?}");
                assert!(a.iter().all(|v| v.is_finite()));
            }
        }
    }

    #[test]
    fn an_empty_image_and_a_wrong_buffer_are_refused() {
        let mut pre = Preprocessor::new(SPEC);
        let e = pre.run(&RgbImage::new(0, 4), &mut [0.0; 192]).unwrap_err();
        assert_eq!(e, PixelError::Empty { width: 0, height: 4 });
        let e = pre.run(&RgbImage::new(4, 4), &mut [0.0; 191]).unwrap_err();
        assert_eq!(e, PixelError::OutputSize { found: 191, expected: 192, side: 8 });
    }
}
