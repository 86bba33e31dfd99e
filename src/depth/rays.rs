//! The rays of a camera's pixels, from a coarse grid of the exact rays.

use crate::camera::CameraModel;

/// Pixels between two rays of the grid.
const STEP: usize = 8;

/// The rays of the pixels of an image. The point of a pixel at a depth `z` is `origin + (x, y, 1) z` in the optical frame,
/// with the ray `(x, y)`. Make them once per calibration: lens distortion takes some microseconds a ray.
///
/// The rays of every eighth pixel are computed with [`CameraModel::point_at`]; rays between them are interpolated
/// linearly. Without distortion that is exact: x = (u - cx) / fx, y = (v - cy) / fy.
#[derive(Debug, Clone, PartialEq)]
pub struct Rays {
    size: (u32, u32),
    /// Start of all rays, in metres: not 0 for the second camera of a stereo pair, whose P has a baseline.
    origin: [f32; 2],
    /// Number of grid points in a row of the grid.
    columns: usize,
    /// Rays of the grid, row by row; NaN beyond the valid range of the lens.
    grid: Vec<[f32; 2]>,
    /// Whether every ray is finite.
    complete: bool,
}

impl Rays {
    /// Computes the rays of the pixels of a camera's published image.
    pub fn new(camera: &CameraModel) -> Rays {
        let (width, height) = camera.image_size();
        let points = |side: u32| (side as usize).div_ceil(STEP) + 1;
        let (columns, rows) = (points(width), points(height));
        let mut grid = Vec::with_capacity(columns * rows);
        let mut origin = None;
        for row in 0..rows {
            for column in 0..columns {
                let (u, v) = ((column * STEP) as f64, (row * STEP) as f64);
                // Two points of the ray: their difference is its direction.
                let ray = camera.point_at(u, v, 1.0).zip(camera.point_at(u, v, 2.0));
                grid.push(ray.map_or([f32::NAN; 2], |(near, far)| {
                    let direction = far - near;
                    origin.get_or_insert([near.x - direction.x, near.y - direction.y]);
                    [direction.x as f32, direction.y as f32]
                }));
            }
        }
        let complete = grid.iter().flatten().all(|v| v.is_finite());
        let origin = origin.unwrap_or([0.0; 2]).map(|v| v as f32);
        Rays { size: (width, height), origin, columns, grid, complete }
    }

    /// Returns width and height of the image, in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Returns whether every pixel has a ray.
    pub(super) fn complete(&self) -> bool {
        self.complete
    }

    /// Returns the distance between the rays of neighbouring pixels of a row at the middle of the image, at a depth of 1 m.
    pub(super) fn pixel(&self) -> f32 {
        let (u, v) = (self.size.0 as f32 / 2.0, self.size.1 as f32 / 2.0);
        let pixel = (self.at(u + 0.5, v)[0] - self.at(u - 0.5, v)[0]).abs();
        if pixel.is_finite() { pixel } else { 0.0 }
    }

    /// Returns the start of all rays: x and y in metres, in the optical frame.
    pub fn origin(&self) -> [f32; 2] {
        self.origin
    }

    /// Returns the ray of a position in pixels, between pixels and half a pixel outside the image too. NaN beyond the valid
    /// range of the lens.
    pub fn at(&self, u: f32, v: f32) -> [f32; 2] {
        let (row, down) = self.cell(v, self.grid.len() / self.columns);
        let (column, along) = self.cell(u, self.columns);
        let node = |column: usize| {
            let (a, b) = (self.grid[row * self.columns + column], self.grid[(row + 1) * self.columns + column]);
            [a[0] + (b[0] - a[0]) * down, a[1] + (b[1] - a[1]) * down]
        };
        let (a, b) = (node(column), node(column + 1));
        [a[0] + (b[0] - a[0]) * along, a[1] + (b[1] - a[1]) * along]
    }

    /// Returns the cell of a position and the position in the cell, 0 to 1.
    fn cell(&self, position: f32, points: usize) -> (usize, f32) {
        let cell = (position.max(0.0) as usize / STEP).min(points - 2);
        (cell, (position - (cell * STEP) as f32) / STEP as f32)
    }

    /// Writes the rays of the pixels from `start` on of row `v` into `row`, whole cells of the grid. Returns the index of the
    /// pixel `start` in `row`.
    pub(super) fn row(&self, v: usize, start: usize, pixels: usize, row: &mut RayRow) -> usize {
        let (grid_row, down) = self.cell(v as f32, self.grid.len() / self.columns);
        let (above, below) = self.grid[grid_row * self.columns..][..2 * self.columns].split_at(self.columns);
        let first = start / STEP;
        let nodes = first..(start + pixels).div_ceil(STEP).max(first + 1) + 1;
        let between = |a: &[f32; 2], b: &[f32; 2]| [a[0] + (b[0] - a[0]) * down, a[1] + (b[1] - a[1]) * down];
        let mut nodes = above[nodes.clone()].iter().zip(&below[nodes]).map(|(a, b)| between(a, b));
        row.x.clear();
        row.y.clear();
        let Some(mut last) = nodes.next() else { return 0 };
        for next in nodes {
            let slope = [(next[0] - last[0]) / STEP as f32, (next[1] - last[1]) / STEP as f32];
            row.x.extend_from_slice(&std::array::from_fn::<f32, STEP, _>(|i| last[0] + slope[0] * i as f32));
            row.y.extend_from_slice(&std::array::from_fn::<f32, STEP, _>(|i| last[1] + slope[1] * i as f32));
            last = next;
        }
        start - first * STEP
    }
}

/// Rays of the pixels of a part of a row: x and y.
#[derive(Debug, Default)]
pub(super) struct RayRow {
    pub x: Vec<f32>,
    pub y: Vec<f32>,
}
