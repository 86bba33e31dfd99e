//! Shapes on an RGB image, anti-aliased and clipped to the image. Shapes that are not finite are not drawn.

use image::RgbImage;

/// Levels of red, green and blue.
pub(super) type Rgb = [u8; 3];

/// A rectangle with fractional borders, in pixels of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
}

impl Area {
    /// Returns the area with each border moved outwards by `by` pixels.
    pub fn grown(self, by: f32) -> Area {
        Area { left: self.left - by, top: self.top - by, right: self.right + by, bottom: self.bottom + by }
    }

    /// Returns the area moved by `(dx, dy)` pixels.
    pub fn moved(self, dx: f32, dy: f32) -> Area {
        Area { left: self.left + dx, top: self.top + dy, right: self.right + dx, bottom: self.bottom + dy }
    }

    /// Returns whether two areas overlap.
    pub fn meets(self, other: Area) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    pub fn is_finite(self) -> bool {
        [self.left, self.top, self.right, self.bottom].iter().all(|v| v.is_finite())
    }

    /// Returns the part of the pixel `(x, y)` inside the area, 0 to 1.
    fn covers(self, x: u32, y: u32) -> f32 {
        let part = |from: f32, to: f32, at: u32| (to.min(at as f32 + 1.0) - from.max(at as f32)).clamp(0.0, 1.0);
        part(self.left, self.right, x) * part(self.top, self.bottom, y)
    }
}

/// Mixes `colour` into a pixel.
#[inline]
pub(super) fn blend(pixel: &mut [u8], colour: Rgb, alpha: f32) {
    for (p, c) in pixel.iter_mut().zip(colour) {
        let mixed = f32::from(*p) + (f32::from(c) - f32::from(*p)) * alpha;
        *p = (mixed + 0.5) as u8;
    }
}

/// Mixes `colour` into the pixels of `bounds`. `coverage` is the part of a pixel that the shape covers, 0 to 1.
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

/// Fills an area.
pub(super) fn fill(image: &mut RgbImage, area: Area, colour: Rgb, alpha: f32) {
    shape(image, area, colour, alpha, |x, y| area.covers(x, y));
}

/// Fills a disc around `(x, y)`.
pub(super) fn disc(image: &mut RgbImage, (x, y): (f32, f32), radius: f32, colour: Rgb) {
    let bounds = Area { left: x, top: y, right: x, bottom: y }.grown(radius + 1.0);
    shape(image, bounds, colour, 1.0, |px, py| {
        let distance = (px as f32 + 0.5 - x).hypot(py as f32 + 0.5 - y);
        (radius + 0.5 - distance).clamp(0.0, 1.0)
    });
}

/// Draws the borders of an area as lines of `width` pixels, centred on the borders.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_inside_a_pixel_is_mixed() {
        let mut image = RgbImage::new(4, 3);
        fill(&mut image, Area { left: 0.5, top: 1.0, right: 3.0, bottom: 2.0 }, [200, 100, 0], 1.0);
        assert_eq!(image.get_pixel(0, 1).0, [100, 50, 0]);
        assert_eq!(image.get_pixel(2, 1).0, [200, 100, 0]);
        assert_eq!(image.get_pixel(3, 1).0, [0; 3]);
        assert_eq!(image.get_pixel(1, 0).0, [0; 3]);
    }

    #[test]
    fn shapes_outside_the_image_and_shapes_that_are_not_finite_do_not_panic() {
        let mut image = RgbImage::new(5, 5);
        for v in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 2.0] {
            let area = Area { left: v, top: 1.0, right: 3.0, bottom: v };
            fill(&mut image, area, [9; 3], 0.5);
            frame(&mut image, area, 2.0, [9; 3], 1.0);
            disc(&mut image, (v, v), 3.0, [9; 3]);
        }
    }
}
