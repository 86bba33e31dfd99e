//! The outline of an object in 3-D: where its surface meets the border of its mask.
//!
//! The pixels along the border of a mask are not measured: the mask is uncertain there, and depth cameras return depths
//! between foreground and background. An object would be measured too small by these pixels. Along each row and each
//! column of the mask, the measured surface is therefore continued to the border.

use super::parts;
use super::rays::Rays;
use super::surface::Points;
use super::window::{Tolerance, Window};

/// Distance of the border from the centres of the outermost pixels, in pixels. The outermost pixel of a slanted border
/// reaches up to the border, that of a border along a row or a column ends up to one pixel before it.
const BORDER: f32 = 0.25;
/// Pixels beyond the unmeasured border of a mask across which a surface is continued: flying pixels and their neighbours.
const REACH: usize = 2;
/// Measured pixels from which a surface is continued.
const FIT: usize = 5;
/// Pixels of two rows that are compared at once.
const BLOCK: usize = 16;

/// Returns the points where the surface meets the border of the mask. `measured`: 255 for each measured pixel of the
/// window. `border`: width of the band along the border of the mask that is not measured, in pixels. The border lies [`BORDER`] pixels outside the centres of the outermost pixels.
pub(super) fn outline(window: &Window, rays: &Rays, measured: &[u8], tolerance: Tolerance, border: u32) -> Points {
    let reach = border as usize + REACH;
    let (width, height) = (window.width, window.height);
    let (left, top) = (window.rect.x as f32, window.rect.y as f32);
    let mut points = Points::with_capacity(2 * (width + height));
    for (y, inside) in window.inside.chunks_exact(width).enumerate() {
        let mut line = |x: usize, along: bool| {
            let pixel = |i: usize| if along { Some(x + i).filter(|x| *x < width) } else { x.checked_sub(i) };
            let at = |i: usize| pixel(i).map(|x| (y, x));
            if let Some(z) = depth_at_border(window, measured, tolerance, reach, at) {
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
            let at = |i: usize| Some((y + i, x)).filter(|(y, _)| *y < height);
            if let Some(z) = depth_at_border(window, measured, tolerance, reach, at) {
                points.push(rays, left + x as f32, top + y as f32 - BORDER, z);
            }
        });
        for_each_border(row(y), row(y + 1), |x| {
            let at = |i: usize| y.checked_sub(i).map(|y| (y, x));
            if let Some(z) = depth_at_border(window, measured, tolerance, reach, at) {
                points.push(rays, left + x as f32, top + y as f32 + BORDER, z);
            }
        });
    }
    points
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

/// Returns the depth at the border of the mask of the surface that is measured near it. `at` returns row and column of
/// the pixels along a line from the border inwards.
///
/// The inverse of the depth is linear in pixels on a plane. A line through the inverse depths of the [`FIT`] measured
/// pixels nearest to the border continues it; with fewer pixels the nearest depth is taken as it is. `None` if more than
/// `reach` pixels lie between the border and the measured surface.
fn depth_at_border(
    window: &Window,
    measured: &[u8],
    tolerance: Tolerance,
    reach: usize,
    at: impl Fn(usize) -> Option<(usize, usize)>,
) -> Option<f32> {
    let depth = |i: usize| {
        let (y, x) = at(i)?;
        (measured[y * window.width + x] != 0).then(|| window.row(y)[x])
    };
    let inside = |i: &usize| at(*i).is_some_and(|(y, x)| window.inside[y * window.width + x] != 0);
    let first = (0..=reach).take_while(inside).find(|i| depth(*i).is_some())?;
    let nearest = depth(first)?;
    let mut inverse = [0.0; FIT];
    for (i, inverse) in inverse.iter_mut().enumerate() {
        match depth(first + i) {
            Some(z) => *inverse = 1.0 / z,
            None => return Some(nearest),
        }
    }
    let mean = inverse.iter().sum::<f32>() / FIT as f32;
    let slope = (2.0 * (inverse[4] - inverse[0]) + inverse[3] - inverse[1]) / 10.0;
    let continued = mean - slope * (first as f32 + 2.0 + BORDER);
    let limit = tolerance.at(nearest) * (first as f32 + 1.0);
    let far = if continued > 0.0 { 1.0 / continued } else { f32::INFINITY };
    Some(far.clamp(nearest - limit, nearest + limit))
}
