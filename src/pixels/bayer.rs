//! Bilinear demosaicing: a missing colour is the mean of its two or four nearest samples, as in OpenCV's
//! `cvtColor(COLOR_Bayer*2RGB)`. At the border the mosaic is mirrored, where OpenCV repeats the next row.

use image::RgbImage;

/// Positions of the red pixels of a mosaic: the parity of their columns and rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pattern {
    red_x: usize,
    red_y: usize,
}

impl Pattern {
    /// Parses the colours of the first 2x2 pixels, row by row, as the names of the encodings give them.
    pub fn from_name(name: &str) -> Option<Pattern> {
        let (red_x, red_y) = match name {
            "rggb" => (0, 0),
            "grbg" => (1, 0),
            "gbrg" => (0, 1),
            "bggr" => (1, 1),
            _ => return None,
        };
        Some(Pattern { red_x, red_y })
    }
}

/// Demosaics into `out`, which has at least 2x2 pixels. `mosaic` has one byte per pixel in rows of `step` bytes.
pub(super) fn demosaic(mosaic: &[u8], step: usize, pattern: Pattern, out: &mut RgbImage) {
    let (width, height) = (out.width() as usize, out.height() as usize);
    let row = |y: usize| &mosaic[y * step..y * step + width];
    for (y, out_row) in out.chunks_exact_mut(width * 3).enumerate() {
        let (above, current, below) = (row(mirror_before(y)), row(y), row(mirror_after(y, height)));
        let red_row = y % 2 == pattern.red_y;
        for (x, o) in out_row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (l, r) = (mirror_before(x), mirror_after(x, width));
            let centre = current[x];
            let across = || mean2(current[l], current[r]);
            let along = || mean2(above[x], below[x]);
            let cross = || mean4(current[l], current[r], above[x], below[x]);
            let corners = || mean4(above[l], above[r], below[l], below[r]);
            *o = match (red_row, x % 2 == pattern.red_x) {
                (true, true) => [centre, cross(), corners()],
                (true, false) => [across(), centre, along()],
                (false, true) => [along(), centre, across()],
                (false, false) => [corners(), cross(), centre],
            };
        }
    }
}

fn mirror_before(i: usize) -> usize {
    if i == 0 { 1 } else { i - 1 }
}

fn mirror_after(i: usize, len: usize) -> usize {
    if i + 1 == len { len - 2 } else { i + 1 }
}

fn mean2(a: u8, b: u8) -> u8 {
    (u16::from(a) + u16::from(b)).div_ceil(2) as u8
}

fn mean4(a: u8, b: u8, c: u8, d: u8) -> u8 {
    ((u16::from(a) + u16::from(b) + u16::from(c) + u16::from(d) + 2) / 4) as u8
}
