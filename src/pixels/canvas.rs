//! The part of the image that a mask is drawn into before its tight box is known.

use super::columns::BLOCK;
use super::mask::{PixelRect, tighten};

/// A part of the image in whole blocks of pixels, 255 inside the mask and 0 outside.
pub(super) struct Canvas {
    /// Left column in the image, in pixels.
    x: usize,
    /// Top row in the image, in pixels.
    y: usize,
    /// Width in pixels, a multiple of [`BLOCK`].
    width: usize,
    data: Vec<u8>,
}

impl Canvas {
    /// Makes a canvas of the blocks `blocks.0..blocks.1` in the rows `rows.0..rows.1`, without pixels if either is
    /// empty.
    pub fn new(blocks: (usize, usize), rows: (usize, usize)) -> Self {
        let width = blocks.1.saturating_sub(blocks.0) * BLOCK;
        let height = rows.1.saturating_sub(rows.0);
        Canvas { x: blocks.0.saturating_mul(BLOCK), y: rows.0, width, data: vec![0; width * height] }
    }

    /// Returns row `y` of the image from a block on.
    #[inline(always)]
    pub fn row(&mut self, y: usize, block: usize) -> &mut [u8] {
        &mut self.data[(y - self.y) * self.width + block * BLOCK - self.x..]
    }

    /// Returns the tight box of the mask in the image, and the pixels in the box, row by row.
    #[inline(always)]
    pub fn tighten(self) -> (Option<PixelRect>, Vec<u8>) {
        let (bbox, cropped) = tighten(self.data, self.width);
        let place = |b: PixelRect| PixelRect { x: b.x + self.x as u32, y: b.y + self.y as u32, ..b };
        (bbox.map(place), cropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tight_box_is_kept() {
        let mut canvas = Canvas::new((2, 4), (10, 15));
        canvas.row(11, 2)[3] = 255;
        canvas.row(13, 3)[1] = 255;
        let (rect, data) = canvas.tighten();
        assert_eq!(rect, Some(PixelRect { x: 35, y: 11, width: 15, height: 3 }));
        assert_eq!((data.len(), data[0], data[44], data.iter().filter(|v| **v != 0).count()), (45, 255, 255, 2));
    }

    #[test]
    fn an_empty_mask_has_no_box() {
        assert_eq!(Canvas::new((1, 2), (3, 5)).tighten(), (None, Vec::new()));
        assert_eq!(Canvas::new((usize::MAX, 0), (usize::MAX, 0)).tighten(), (None, Vec::new()));
    }
}
