//! The picture that an image encoder takes, in the buffers of its session.

use image::RgbImage;

use super::layout::CONTENT;
use crate::pixels::{Geometry, PixelError, Preprocessor};

/// Values of a square picture, which the graph reads.
pub enum Picture<'a> {
    /// `[3, S, S]`, normalised, 0 in the padding.
    Values(&'a mut [f32]),
    /// `[S, S, 3]` from 0 to 255; the padding may hold any level. `content`: for each row and for each column 1 inside the content
    /// and 0 in the padding.
    Levels { levels: &'a mut [u8], content: [&'a mut [f32]; CONTENT.len()] },
}

impl Picture<'_> {
    /// Writes an image into the buffers.
    ///
    /// # Errors
    /// The errors of [`Preprocessor::run`].
    pub fn write(self, image: &RgbImage, preprocessor: &mut Preprocessor) -> Result<Geometry, PixelError> {
        match self {
            Picture::Values(out) => preprocessor.run(image, out),
            Picture::Levels { levels, content: [rows, columns] } => {
                let geometry = preprocessor.levels(image, levels)?;
                mark(rows, geometry.content.1);
                mark(columns, geometry.content.0);
                Ok(geometry)
            }
        }
    }
}

/// Writes 1 for the first `length` rows or columns, and 0 for the padding.
fn mark(out: &mut [f32], length: u32) {
    out.iter_mut().enumerate().for_each(|(i, inside)| *inside = f32::from(u8::from(i < length as usize)));
}

/// Shapes of the inputs [`CONTENT`] for a picture of this side.
pub fn content_shapes(side: usize) -> [[usize; 4]; CONTENT.len()] {
    [[1, 1, side, 1], [1, 1, 1, side]]
}
