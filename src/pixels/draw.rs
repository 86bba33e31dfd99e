//! Shapes and text on an RGB image, anti-aliased. Everything is clipped; what is not finite is not drawn.

use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};
use image::RgbImage;

pub(super) type Rgb = [u8; 3];

/// A rectangle with fractional borders, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
}

impl Area {
    pub fn grown(self, by: f32) -> Area {
        Area { left: self.left - by, top: self.top - by, right: self.right + by, bottom: self.bottom + by }
    }

    pub fn moved(self, dx: f32, dy: f32) -> Area {
        Area { left: self.left + dx, top: self.top + dy, right: self.right + dx, bottom: self.bottom + dy }
    }

    pub fn meets(self, other: Area) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    pub fn is_finite(self) -> bool {
        [self.left, self.top, self.right, self.bottom].iter().all(|v| v.is_finite())
    }

    /// How much of the pixel at `(x, y)` is within, 0..1.
    fn covers(self, x: u32, y: u32) -> f32 {
        let part = |from: f32, to: f32, at: u32| (to.min(at as f32 + 1.0) - from.max(at as f32)).clamp(0.0, 1.0);
        part(self.left, self.right, x) * part(self.top, self.bottom, y)
    }
}

/// Mixes `colour` into one pixel.
#[inline]
pub(super) fn blend(pixel: &mut [u8], colour: Rgb, alpha: f32) {
    for (p, c) in pixel.iter_mut().zip(colour) {
        let mixed = f32::from(*p) + (f32::from(c) - f32::from(*p)) * alpha;
        *p = (mixed + 0.5) as u8;
    }
}

/// Mixes `colour` into every pixel near `bounds` by what `coverage` says of its centre.
fn shape(image: &mut RgbImage, bounds: Area, colour: Rgb, alpha: f32, coverage: impl Fn(u32, u32) -> f32) {
    if !bounds.is_finite() {
        return;
    }
    let (width, height) = image.dimensions();
    let (left, right) = (bounds.left.floor().max(0.0) as u32, (bounds.right.ceil().max(0.0) as u32).min(width));
    let (top, bottom) = (bounds.top.floor().max(0.0) as u32, (bounds.bottom.ceil().max(0.0) as u32).min(height));
    for y in top..bottom {
        for x in left..right {
            let covered = coverage(x, y);
            if covered > 0.0 {
                blend(&mut image.get_pixel_mut(x, y).0, colour, covered * alpha);
            }
        }
    }
}

pub(super) fn fill(image: &mut RgbImage, area: Area, colour: Rgb, alpha: f32) {
    shape(image, area, colour, alpha, |x, y| area.covers(x, y));
}

pub(super) fn disc(image: &mut RgbImage, (x, y): (f32, f32), radius: f32, colour: Rgb) {
    let bounds = Area { left: x, top: y, right: x, bottom: y }.grown(radius + 1.0);
    shape(image, bounds, colour, 1.0, |px, py| {
        let distance = (px as f32 + 0.5 - x).hypot(py as f32 + 0.5 - y);
        (radius + 0.5 - distance).clamp(0.0, 1.0)
    });
}

/// A frame of lines `width` pixels wide, centred on the borders of `area`.
pub(super) fn frame(image: &mut RgbImage, area: Area, width: f32, colour: Rgb, alpha: f32) {
    let (outer, inner) = (area.grown(width / 2.0), area.grown(-width / 2.0));
    for side in [
        Area { bottom: inner.top, ..outer },
        Area { top: inner.bottom, ..outer },
        Area { top: inner.top, bottom: inner.bottom, right: inner.left, ..outer },
        Area { top: inner.top, bottom: inner.bottom, left: inner.right, ..outer },
    ] {
        fill(image, side, colour, alpha);
    }
}

/// Pixels that a character takes at scale 1, along both axes.
pub(super) const CHARACTER: u32 = 8;

/// Text in whole pixels from its top-left corner, each dot of the font `scale` pixels wide.
pub(super) fn text(image: &mut RgbImage, (x, y): (i64, i64), scale: u32, text: &str, colour: Rgb) {
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    let size = i64::from(CHARACTER * scale);
    for (n, character) in text.chars().enumerate() {
        let left = x + n as i64 * size;
        for (row, bits) in glyph(character).into_iter().enumerate() {
            for column in (0..8).filter(|c| bits >> c & 1 == 1) {
                for dy in 0..i64::from(scale) {
                    for dx in 0..i64::from(scale) {
                        let px = left + column * i64::from(scale) + dx;
                        let py = y + row as i64 * i64::from(scale) + dy;
                        if (0..width).contains(&px) && (0..height).contains(&py) {
                            image.get_pixel_mut(px as u32, py as u32).0 = colour;
                        }
                    }
                }
            }
        }
    }
}

fn glyph(character: char) -> [u8; 8] {
    let known = BASIC_FONTS.get(character).or_else(|| LATIN_FONTS.get(character));
    known.or_else(|| BASIC_FONTS.get('?')).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_between_pixels_are_mixed() {
        let mut image = RgbImage::new(4, 3);
        fill(&mut image, Area { left: 0.5, top: 1.0, right: 3.0, bottom: 2.0 }, [200, 100, 0], 1.0);
        assert_eq!(image.get_pixel(0, 1).0, [100, 50, 0]);
        assert_eq!(image.get_pixel(2, 1).0, [200, 100, 0]);
        assert_eq!(image.get_pixel(3, 1).0, [0; 3]);
        assert_eq!(image.get_pixel(1, 0).0, [0; 3]);
    }

    #[test]
    fn anything_may_lie_outside_or_be_no_number() {
        let mut image = RgbImage::new(5, 5);
        for v in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 2.0] {
            let area = Area { left: v, top: 1.0, right: 3.0, bottom: v };
            fill(&mut image, area, [9; 3], 0.5);
            frame(&mut image, area, 2.0, [9; 3], 1.0);
            disc(&mut image, (v, v), 3.0, [9; 3]);
        }
        text(&mut image, (-9, 3), 2, "aé漢", [1; 3]);
        text(&mut image, (i64::from(i32::MAX), i64::from(i32::MIN)), 2, "a", [1; 3]);
    }

    #[test]
    fn text_is_drawn_from_left_to_right() {
        let mut image = RgbImage::new(16, 8);
        text(&mut image, (0, 0), 1, "L", [255; 3]);
        let column = |x: u32| (0..8).filter(|y| image.get_pixel(x, *y).0[0] == 255).count();
        assert!((0..4).map(column).sum::<usize>() > (4..8).map(column).sum::<usize>());
        assert_eq!((8..16).map(column).sum::<usize>(), 0);
    }
}
