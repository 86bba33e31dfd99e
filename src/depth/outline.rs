//! The outline of an object in 3-D: where its surface meets the border of its mask.
//!
//! The pixels along the border of a mask are not measured: the mask is uncertain there, and depth cameras return depths
//! between foreground and background. An object would be measured too small by these pixels. Along each row and each
//! column of the mask, the measured surface is therefore continued to the border.

use super::edge_fit::EdgeFit;
use super::parts;
use super::rays::Rays;
use super::surface::Points;
use super::window::{Tolerance, Window};

/// Distance of the border from the centres of the outermost pixels, in pixels. The outermost pixel of a slanted border
/// reaches up to the border, that of a border along a row or a column ends up to one pixel before it.
const BORDER: f32 = 0.25;
/// Pixels beyond the uncertain band across which a surface is continued: flying pixels and their neighbours.
const REACH: usize = 2;
/// Fewest measured pixels from which a surface is continued; as many as lie between them and the border if these are more.
const FIT: usize = 5;
/// Pixels of two rows that are compared at once.
const BLOCK: usize = 16;

/// The measured pixels of an object in its mask.
pub(super) struct Outline<'a> {
    pub window: &'a Window<'a>,
    /// Pixels of the mask without the uncertain band along its border, row by row: not 0.
    pub core: &'a [u8],
    /// Measured pixels, row by row: not 0.
    pub measured: &'a [u8],
    pub tolerance: Tolerance,
    /// Standard deviation of the depth: noise and the step of the encoding, in metres.
    pub deviation: f32,
    /// Widest band between the border of the mask and the core across which the surface is continued, in pixels.
    pub widest_band: u32,
}

impl Outline<'_> {
    /// Returns the points where the surface meets the border of the mask, [`BORDER`] pixels outside the centres of the
    /// outermost pixels.
    pub fn points(&self, rays: &Rays) -> Points {
        let window = self.window;
        let (width, height) = (window.width, window.height);
        let (left, top) = (window.rect.x as f32, window.rect.y as f32);
        let mut points = Points::with_capacity(2 * (width + height));
        for (y, inside) in window.inside.chunks_exact(width).enumerate() {
            let mut line = |x: usize, along: bool| {
                let pixel = |i: usize| if along { Some(x + i).filter(|x| *x < width) } else { x.checked_sub(i) };
                if let Some(z) = self.depth_at_border(|i| pixel(i).map(|x| (y, x))) {
                    points.push(rays, left + x as f32 + if along { -BORDER } else { BORDER }, top + y as f32, z);
                }
            };
            for columns in parts::inside(inside) {
                line(columns.start, true);
                line(columns.end - 1, false);
            }
        }
        let outside = vec![0; width];
        let row = |y: usize| window.inside.get(y * width..(y + 1) * width).unwrap_or(&outside);
        for y in 0..height {
            let above = if y == 0 { &outside[..] } else { row(y - 1) };
            for_each_border(row(y), above, |x| {
                if let Some(z) = self.depth_at_border(|i| Some((y + i, x)).filter(|(y, _)| *y < height)) {
                    points.push(rays, left + x as f32, top + y as f32 - BORDER, z);
                }
            });
            for_each_border(row(y), row(y + 1), |x| {
                if let Some(z) = self.depth_at_border(|i| y.checked_sub(i).map(|y| (y, x))) {
                    points.push(rays, left + x as f32, top + y as f32 + BORDER, z);
                }
            });
        }
        points
    }

    /// Returns the depth at the border of the mask of the surface that is measured near it. `at` returns row and column of
    /// the pixels along a line from the border inwards.
    ///
    /// The [`FIT`] measured pixels nearest to the border continue the surface ([`EdgeFit`]); with fewer pixels the nearest
    /// depth is taken as it is. `None` if more than [`REACH`] pixels lie between the band and the measured surface.
    fn depth_at_border(&self, at: impl Fn(usize) -> Option<(usize, usize)>) -> Option<f32> {
        let width = self.window.width;
        let pixel = |i: usize| at(i).map(|(y, x)| y * width + x);
        let inside = |i: usize| pixel(i).filter(|pixel| self.window.inside[*pixel] != 0);
        let widest = self.widest_band as usize;
        let band = (0..widest).map_while(inside).position(|pixel| self.core[pixel] != 0).unwrap_or(widest);
        let first = band + (band..=band + REACH).map_while(inside).position(|pixel| self.measured[pixel] != 0)?;
        let depth = |i: usize| {
            let (y, x) = at(i)?;
            (self.measured[y * width + x] != 0).then(|| self.window.row(y)[x])
        };
        let nearest = depth(first)?;
        let mut fit = EdgeFit::new(nearest, first as f32 + BORDER);
        for i in first..first + FIT.max(first) {
            match depth(i) {
                Some(z) => fit.add(z),
                None => return Some(nearest),
            }
        }
        let limit = self.tolerance.at(nearest) * (first as f32 + 1.0);
        Some(fit.depth_at_border(self.deviation).clamp(nearest - limit, nearest + limit))
    }
}

/// Calls `visit` with each column that is inside in a row and outside in a row next to it. Blocks in which the rows are equal
/// are skipped.
fn for_each_border(row: &[u8], neighbour: &[u8], mut visit: impl FnMut(usize)) {
    for (block, (own, other)) in row.chunks(BLOCK).zip(neighbour.chunks(BLOCK)).enumerate() {
        if own != other {
            let columns = own.iter().zip(other).enumerate().filter(|(_, (own, other))| **own != 0 && **other == 0);
            columns.for_each(|(x, _)| visit(block * BLOCK + x));
        }
    }
}
