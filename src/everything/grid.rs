//! The grid of clicks: `build_point_grid` of segment_anything/utils/amg.py.

use crate::prompt::Prompt;

/// The prompt of one point of the grid.
pub(super) fn click(point: [f64; 2]) -> Prompt {
    Prompt::point(point[0] as f32, point[1] as f32)
}

/// `per_side` by `per_side` points in a picture of `width` by `height` pixels, x fastest, in pixels.
pub fn points(per_side: u32, width: u32, height: u32) -> Vec<[f64; 2]> {
    let axis = positions(per_side);
    let (width, height) = (f64::from(width), f64::from(height));
    axis.iter().flat_map(|y| axis.iter().map(move |x| [x * width, y * height])).collect()
}

/// Positions along one axis, from 0 to 1: the middles of `count` equal parts, computed as `numpy.linspace` does.
fn positions(count: u32) -> Vec<f64> {
    let offset = 1.0 / (2.0 * f64::from(count));
    let (first, last) = (offset, 1.0 - offset);
    let step = (last - first) / f64::from(count.max(2) - 1);
    let position = |k: u32| if k > 0 && k + 1 == count { last } else { f64::from(k) * step + first };
    (0..count).map(position).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_the_middles_of_equal_parts() {
        assert_eq!(points(2, 8, 4), [[2.0, 1.0], [6.0, 1.0], [2.0, 3.0], [6.0, 3.0]]);
        assert_eq!(points(1, 10, 20), [[5.0, 10.0]]);
        let grid = points(32, 640, 480);
        assert_eq!((grid.len(), grid[0], grid[1023]), (1024, [10.0, 7.5], [630.0, 472.5]));
    }
}
