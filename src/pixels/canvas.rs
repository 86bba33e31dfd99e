//! Where a mask is drawn before its tight box is known.

use super::columns::BLOCK;
use super::mask::{PixelRect, tighten};

/// Whole blocks of a part of the image; 0 where nothing was drawn.
pub(super) struct Canvas {
    /// Position in the image, in pixels.
    x: usize,
    y: usize,
    /// In pixels, a multiple of the block's.
    width: usize,
    data: Vec<u8>,
}

impl Canvas {
    /// For blocks `blocks.0..blocks.1` of rows `rows.0..rows.1`; without any when either is empty.
    pub fn new(blocks: (usize, usize), rows: (usize, usize)) -> Self {
        let width = blocks.1.saturating_sub(blocks.0) * BLOCK;
        let height = rows.1.saturating_sub(rows.0);
        Canvas { x: blocks.0.saturating_mul(BLOCK), y: rows.0, width, data: vec![0; width * height] }
    }

    /// Row `y` of the image from a block on.
    #[inline(always)]
    pub fn row(&mut self, y: usize, block: usize) -> &mut [u8] {
        &mut self.data[(y - self.y) * self.width + block * BLOCK - self.x..]
    }

    /// The tight box of what was drawn, and that part, row by row.
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
    fn nothing_drawn_is_nothing() {
        assert_eq!(Canvas::new((1, 2), (3, 5)).tighten(), (None, Vec::new()));
        assert_eq!(Canvas::new((usize::MAX, 0), (usize::MAX, 0)).tighten(), (None, Vec::new()));
    }
}
