//! The part of depth and mask around one object: which pixels are measured, and which are not and why.

use multiversion::multiversion;

use super::image::DepthImage;
use super::rays::Rays;
use super::settings::DepthSettings;
use crate::pixels::{Mask, PixelRect};

/// Pixels of a mask from which on the noise of the depth is not estimated in every row: in every second row from here on, in
/// every third row from twice as many, and so on.
const NOISE_PIXELS: usize = 4096;
/// Median of the absolute second difference of noise with a standard deviation of 1: 0.6745 times the square root of 6.
const SECOND_DIFFERENCE: f32 = 1.652;
/// Difference of the depth of neighbouring pixels that is an edge, in standard deviations of the noise.
const EDGE_NOISE: f32 = 6.0;
/// Difference of the depth of neighbouring pixels that is an edge, in distances of their rays: a surface that turns away by
/// more than 80 degrees.
const STEEPEST: f32 = 6.0;

/// Depth and mask in the tight box of a mask.
pub(super) struct Window<'a> {
    pub rect: PixelRect,
    pub width: usize,
    pub height: usize,
    /// Pixels of the mask, row by row: 255 inside.
    pub inside: &'a [u8],
    /// Number of pixels of the mask.
    area: usize,
    /// Metres, with a margin of one pixel around the box; NaN without a measurement.
    depth: Vec<f32>,
}

/// Difference of depth that separates two surfaces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tolerance {
    pub ratio: f32,
    /// Metres.
    pub floor: f32,
}

impl Tolerance {
    /// Returns the tolerance at a depth, in metres.
    pub fn at(self, z: f32) -> f32 {
        let relative = self.ratio * z;
        if relative > self.floor { relative } else { self.floor }
    }
}

impl<'a> Window<'a> {
    /// Copies the depth around a mask of the same size. `None` for an empty mask.
    pub fn new(depth: &DepthImage, rays: &Rays, mask: &'a Mask) -> Option<Window<'a>> {
        let rect = mask.bbox?;
        let (width, height) = (rect.width as usize, rect.height as usize);
        let (image_width, image_height) = (mask.width as usize, mask.height as usize);
        let stride = width + 2;
        let mut copy = vec![f32::NAN; stride * (height + 2)];
        let (left, right) = ((rect.x as usize).saturating_sub(1), (rect.x as usize + width + 1).min(image_width));
        let margin = left + 1 - rect.x as usize;
        for (row, copy) in copy.chunks_exact_mut(stride).enumerate() {
            let Some(y) = (rect.y as usize + row).checked_sub(1).filter(|y| *y < image_height) else { continue };
            copy[margin..margin + right - left].copy_from_slice(&depth.metres()[y * image_width..][left..right]);
            if !rays.complete() {
                for (x, z) in (left..right).zip(&mut copy[margin..]) {
                    let [a, b] = rays.at(x as f32, y as f32);
                    *z = if a.is_nan() || b.is_nan() { f32::NAN } else { *z };
                }
            }
        }
        Some(Window { rect, width, height, inside: &mask.cropped, area: mask.area as usize, depth: copy })
    }

    /// Returns the depths of a row of the box, in metres.
    pub fn row(&self, y: usize) -> &[f32] {
        &self.depth[(y + 1) * (self.width + 2) + 1..][..self.width]
    }

    /// Returns the number of pixels of the mask with a depth.
    pub fn valid_pixels(&self) -> u32 {
        let rows = self.inside.chunks_exact(self.width).enumerate();
        let valid = |(y, inside): (usize, &[u8])| {
            self.row(y).iter().zip(inside).map(|(z, m)| u32::from(*z > 0.0) & u32::from(*m & 1)).sum::<u32>()
        };
        rows.map(valid).sum()
    }

    /// Returns the standard deviation of the noise of the depth, in metres: from the median of the second difference
    /// along rows, which is 0 on every smooth surface.
    pub fn noise(&self) -> f32 {
        let step = self.area / NOISE_PIXELS + 1;
        let mut differences = Vec::with_capacity(2 * NOISE_PIXELS);
        for y in (0..self.height).step_by(step) {
            let inside = &self.inside[y * self.width..][..self.width];
            for (z, inside) in self.row(y).windows(3).zip(inside.windows(3)) {
                let difference = z[0] - 2.0 * z[1] + z[2];
                if inside[0] & inside[1] & inside[2] != 0 && !difference.is_nan() {
                    differences.push(difference.abs());
                }
            }
        }
        let middle = differences.len() / 2;
        match differences.get(middle) {
            Some(_) => *differences.select_nth_unstable_by(middle, f32::total_cmp).1 / SECOND_DIFFERENCE,
            None => 0.0,
        }
    }

    /// Returns the difference of depth that is an edge, for a noise in metres.
    pub fn tolerance(settings: &DepthSettings, rays: &Rays, noise: f32) -> Tolerance {
        Tolerance { ratio: settings.edge_ratio.max(STEEPEST * rays.pixel()), floor: EDGE_NOISE * noise }
    }

    /// Returns the pixels that are measured, row by row, 255 each: pixels of `core` with a depth that differs from no
    /// neighbour above, below, left and right by more than the tolerance. A flying pixel lies between foreground and
    /// background and differs from one of them; a missing neighbour counts as no difference.
    pub fn smooth_pixels(&self, core: &[u8], tolerance: Tolerance) -> Vec<u8> {
        let stride = self.width + 2;
        let mut smooth = vec![0; core.len()];
        for (y, (smooth, core)) in smooth.chunks_exact_mut(self.width).zip(core.chunks_exact(self.width)).enumerate() {
            let around = &self.depth[y * stride..][..3 * stride];
            smooth_row(around, stride, core, tolerance, smooth);
        }
        smooth
    }
}

/// `around`: the rows above, at and below the pixels, `stride` depths each, with a margin of one pixel at both ends.
#[multiversion(targets("x86_64+avx2"))]
fn smooth_row(around: &[f32], stride: usize, core: &[u8], tolerance: Tolerance, smooth: &mut [u8]) {
    let width = core.len();
    let (above, own, below) =
        (&around[1..][..width], &around[stride..][..width + 2], &around[2 * stride + 1..][..width]);
    let (left, own, right) = (&own[..width], &own[1..][..width], &own[2..][..width]);
    for x in 0..width {
        let z = own[x];
        let limit = tolerance.at(z);
        let mut jumps = 0;
        for neighbour in [left[x], right[x], above[x], below[x]] {
            jumps |= i32::from((neighbour - z).abs() > limit);
        }
        smooth[x] = core[x] & (i32::from(z > 0.0) & !jumps).wrapping_neg() as u8;
    }
}
