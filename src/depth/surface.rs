//! Measured points of an object.

use super::parts::Run;
use super::rays::{RayRow, Rays};
use super::window::Window;

/// Points in the optical frame, in metres, one list for each coordinate.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Points {
    pub x: Vec<f32>,
    pub y: Vec<f32>,
    pub z: Vec<f32>,
}

impl Points {
    pub fn with_capacity(points: usize) -> Points {
        Points { x: Vec::with_capacity(points), y: Vec::with_capacity(points), z: Vec::with_capacity(points) }
    }

    pub fn len(&self) -> usize {
        self.z.len()
    }

    /// Adds the point of a position in pixels at a depth. A position without a ray is left out.
    pub fn push(&mut self, rays: &Rays, u: f32, v: f32, z: f32) {
        let ([a, b], [x, y]) = (rays.at(u, v), rays.origin());
        if !a.is_nan() && !b.is_nan() {
            self.x.push(x + a * z);
            self.y.push(y + b * z);
            self.z.push(z);
        }
    }

    pub fn at(&self, index: usize) -> [f32; 3] {
        [self.x[index], self.y[index], self.z[index]]
    }

    /// Returns at most `most` points, evenly over the list. Multiples of the golden ratio select them, because equal steps
    /// would fall on the same columns in each row of a rectangle.
    pub fn sample(&self, most: usize) -> Points {
        const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_9;
        if self.len() <= most {
            return self.clone();
        }
        let points = self.len() as f64;
        let indices: Vec<usize> = (0..most).map(|i| ((i as f64 * GOLDEN_RATIO).fract() * points) as usize).collect();
        let sample = |values: &[f32]| indices.iter().map(|i| values[*i]).collect();
        Points { x: sample(&self.x), y: sample(&self.y), z: sample(&self.z) }
    }

    pub fn extend(&mut self, others: &Points) {
        self.x.extend_from_slice(&others.x);
        self.y.extend_from_slice(&others.y);
        self.z.extend_from_slice(&others.z);
    }
}

/// The visible surface of an object: its measured pixels and their points.
#[derive(Debug, Clone, PartialEq)]
pub struct Surface {
    /// Measured pixels of the image: row, first column, column after the last.
    rows: Vec<(u32, u32, u32)>,
    pub(super) points: Points,
}

impl Surface {
    /// Computes the points of the pixels in `runs`.
    pub(super) fn new(window: &Window, rays: &Rays, runs: &[Run]) -> Surface {
        let mut points = Points::with_capacity(runs.iter().map(|run| run.end - run.start).sum());
        let (left, top) = (window.rect.x as usize, window.rect.y as usize);
        let origin = rays.origin();
        let mut rays_of_row = RayRow::default();
        for runs in runs.chunk_by(|a, b| a.row == b.row) {
            let (row, start, end) = (runs[0].row, runs[0].start, runs[runs.len() - 1].end);
            let first = rays.row(top + row, left + start, end - start, &mut rays_of_row);
            for run in runs {
                let z = &window.row(row)[run.start..run.end];
                let pixels = first + run.start - start..first + run.end - start;
                points.x.extend(rays_of_row.x[pixels.clone()].iter().zip(z).map(|(a, z)| origin[0] + a * z));
                points.y.extend(rays_of_row.y[pixels].iter().zip(z).map(|(b, z)| origin[1] + b * z));
                points.z.extend_from_slice(z);
            }
        }
        let in_image = |run: &Run| ((top + run.row) as u32, (left + run.start) as u32, (left + run.end) as u32);
        Surface { rows: runs.iter().map(in_image).collect(), points }
    }

    /// Returns the number of points.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Returns whether the surface has no points.
    pub fn is_empty(&self) -> bool {
        self.points.len() == 0
    }

    /// Returns the pixels `(x, y)` of the points, row by row.
    pub fn pixels(&self) -> impl Iterator<Item = (u32, u32)> {
        self.rows.iter().flat_map(|(row, start, end)| (*start..*end).map(|x| (x, *row)))
    }

    /// Returns the points in the optical frame, in metres, in the order of the pixels.
    pub fn points(&self) -> impl Iterator<Item = [f32; 3]> {
        (0..self.points.len()).map(|i| self.points.at(i))
    }
}
