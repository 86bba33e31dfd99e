//! A mask in the camera's image: its tight box, and the pixels in the box.

/// A rectangle of whole pixels of the camera's image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PixelRect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// A mask in the camera's image. Only the pixels in its tight box are stored, so that a thousand masks of small objects
/// in a large image take little memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    /// Width of the image in pixels.
    pub width: u32,
    /// Height of the image in pixels.
    pub height: u32,
    /// Number of pixels inside the mask.
    pub area: u32,
    /// The tight box of the mask; none if the mask is empty.
    pub bbox: Option<PixelRect>,
    /// The pixels in the tight box, row by row: 255 inside, 0 outside. Empty if the mask is empty.
    pub cropped: Vec<u8>,
    /// Stability score, 0 to 1: 1 if the mask does not change with the threshold. 0 for an empty mask.
    pub stability: f32,
}

impl Mask {
    /// Makes an empty mask of an image of `width` x `height` pixels.
    pub fn empty(width: u32, height: u32) -> Self {
        Mask { width, height, area: 0, bbox: None, cropped: Vec::new(), stability: 0.0 }
    }

    /// Makes a mask of `width * height` pixels, row by row; every pixel except 0 is inside. Its stability is 1. None if
    /// `data` has another length.
    pub fn from_data(width: u32, height: u32, data: &[u8]) -> Option<Mask> {
        if data.len() as u64 != u64::from(width) * u64::from(height) {
            return None;
        }
        let binary: Vec<u8> = data.iter().map(|v| if *v == 0 { 0 } else { 255 }).collect();
        let area = binary.iter().filter(|v| **v != 0).count() as u32;
        let (bbox, cropped) = tighten(binary, width as usize);
        Some(Mask { width, height, area, bbox, cropped, stability: 1.0 })
    }

    /// Returns whether both masks belong to images of the same size.
    pub fn same_size(&self, other: &Mask) -> bool {
        (self.width, self.height) == (other.width, other.height)
    }

    /// Returns whether a pixel is inside the mask; false outside the image.
    pub fn contains(&self, x: u32, y: u32) -> bool {
        let Some(b) = self.bbox else { return false };
        let within = (b.x..b.x + b.width).contains(&x) && (b.y..b.y + b.height).contains(&y);
        within && self.cropped[(y - b.y) as usize * b.width as usize + (x - b.x) as usize] != 0
    }

    /// Returns the whole image, `width * height` pixels, row by row: 255 inside, 0 outside.
    pub fn full(&self) -> Vec<u8> {
        let mut full = vec![0; self.width as usize * self.height as usize];
        self.for_each_row(|at, row| full[at..at + row.len()].copy_from_slice(row));
        full
    }

    /// Calls `visit` with each row of the tight box: the index of its first pixel in the whole image, and its pixels.
    pub(super) fn for_each_row(&self, mut visit: impl FnMut(usize, &[u8])) {
        let Some(b) = self.bbox else { return };
        for (y, row) in (b.y..).zip(self.cropped.chunks_exact(b.width as usize)) {
            visit(y as usize * self.width as usize + b.x as usize, row);
        }
    }
}

/// Returns the tight box of the pixels that are not 0, and the pixels in the box. `data` has rows of `width` pixels.
#[inline(always)]
pub(super) fn tighten(mut data: Vec<u8>, width: usize) -> (Option<PixelRect>, Vec<u8>) {
    let mut columns = vec![0; width];
    let (mut top, mut bottom) = (usize::MAX, 0);
    for (y, row) in data.chunks_exact(width.max(1)).enumerate() {
        let mut any = 0;
        for (column, value) in columns.iter_mut().zip(row) {
            *column |= value;
            any |= value;
        }
        if any != 0 {
            (top, bottom) = (top.min(y), y + 1);
        }
    }
    let inside = |column: &u8| *column != 0;
    let (Some(left), Some(right)) = (columns.iter().position(inside), columns.iter().rposition(inside)) else {
        return (None, Vec::new());
    };
    let (tight_width, height) = (right + 1 - left, bottom - top);
    if tight_width < width || top > 0 {
        for y in 0..height {
            let start = (top + y) * width + left;
            data.copy_within(start..start + tight_width, y * tight_width);
        }
    }
    data.truncate(tight_width * height);
    data.shrink_to_fit();
    let rect = PixelRect { x: left as u32, y: top as u32, width: tight_width as u32, height: height as u32 };
    (Some(rect), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn box_and_area_are_tight() {
        let data = vec![0, 0, 0, 0, /**/ 0, 7, 0, 9, /**/ 0, 0, 1, 0];
        let mask = Mask::from_data(4, 3, &data).unwrap();
        assert_eq!(mask.bbox, Some(PixelRect { x: 1, y: 1, width: 3, height: 2 }));
        assert_eq!(mask.area, 3);
        assert_eq!(mask.cropped, [255, 0, 255, 0, 255, 0]);
        assert!(mask.contains(1, 1) && !mask.contains(0, 0) && !mask.contains(4, 1));
        let empty = Mask::from_data(2, 2, &[0; 4]).unwrap();
        assert_eq!((empty.bbox, empty.area, empty.cropped.len()), (None, 0, 0));
        assert!(Mask::from_data(2, 2, &[0; 3]).is_none());
    }
}
