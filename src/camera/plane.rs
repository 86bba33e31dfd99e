//! The image as a plane of points in front of the camera: each point lies on the ray of its pixel.

use nalgebra::Point3;

use super::CameraModel;

/// A grid of points at `z = distance` in the optical frame, row by row from the top-left corner of the image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagePlane {
    columns: u32,
    rows: u32,
    /// Pixels of the image from a point to the next, along x and y.
    step: (f64, f64),
    points: Vec<[f32; 3]>,
}

impl ImagePlane {
    /// Makes a grid of `columns` columns, at most one for each column of the image, at `distance` metres. The number of
    /// rows follows from the aspect ratio of the image.
    ///
    /// The search for the ray of a point takes some microseconds. Make the plane once per calibration.
    pub fn new(camera: &CameraModel, columns: u32, distance: f64) -> ImagePlane {
        let (width, height) = camera.image_size();
        let columns = columns.clamp(1, width);
        let rows =
            (f64::from(height) * f64::from(columns) / f64::from(width)).round().clamp(1.0, f64::from(height)) as u32;
        let mut plane = ImagePlane {
            columns,
            rows,
            step: (f64::from(width) / f64::from(columns), f64::from(height) / f64::from(rows)),
            points: Vec::with_capacity(columns as usize * rows as usize),
        };
        for row in 0..rows {
            for column in 0..columns {
                let (x, y) = plane.pixel(column, row);
                let point = camera.point_at(x, y, distance).map(|Point3 { coords }| coords.map(|v| v as f32).into());
                // An absurd calibration may overflow f32: such a point counts as a point without a ray.
                let point = point.filter(|p: &[f32; 3]| p.iter().all(|v| v.is_finite()));
                plane.points.push(point.unwrap_or([f32::NAN; 3]));
            }
        }
        plane
    }

    /// Returns the number of columns.
    pub fn columns(&self) -> u32 {
        self.columns
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Returns the distance between neighbouring points in the middle of the plane, in metres.
    pub fn spacing(&self) -> f64 {
        let middle = (self.rows / 2 * self.columns + self.columns / 2) as usize;
        let neighbours = self.points.get(middle.saturating_sub(1)..=middle);
        match neighbours {
            Some([[x0, y0, _], [x1, y1, _]]) if x0.is_finite() && x1.is_finite() => f64::from((x1 - x0).hypot(y1 - y0)),
            _ => 0.0,
        }
    }

    /// Returns the pixel of a point: the centre of the part of the image that the point represents.
    pub fn pixel(&self, column: u32, row: u32) -> (f64, f64) {
        ((f64::from(column) + 0.5) * self.step.0 - 0.5, (f64::from(row) + 0.5) * self.step.1 - 0.5)
    }

    /// Returns the points in the optical frame, in metres; NaN if no ray meets the pixel.
    pub fn points(&self) -> &[[f32; 3]] {
        &self.points
    }
}
