//! Projection into the published image: pinhole, distortion, rectification, region of interest, binning.

use nalgebra::{Matrix3, Matrix3x4, Point3, Vector3};

use super::distortion::Distortion;
use super::{CameraInfo, ProjectError};

/// Largest angle off the axis, in radians, of a ray that is intersected with a plane. The intersections of wider rays
/// are too far away to be of use.
const WIDEST_RAY: f64 = 85.0 * std::f64::consts::PI / 180.0;

/// A camera with the range in which its distortion is valid. Build the model once per calibration, not once per point:
/// the search for that range takes time.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraModel {
    lens: Lens,
    /// Left and top border of the region of interest, in pixels of the full image.
    offset: (f64, f64),
    /// Pixels of the full image per pixel of the published image, along x and y.
    binning: (f64, f64),
    /// Width and height of the published image, in pixels.
    size: (u32, u32),
}

/// Projection from the optical frame to pixels of the full image.
#[derive(Debug, Clone, PartialEq)]
enum Lens {
    /// OpenCV's pinhole: focal lengths and principal point in pixels. Skew is ignored, as in OpenCV.
    /// `optical_from_sensor` is R.
    Raw { optical_from_sensor: Matrix3<f64>, focal: (f64, f64), centre: (f64, f64), distortion: Distortion },
    /// `P [X; 1]`, as sensor_msgs/CameraInfo defines it. `image_from_optical` is P.
    Rectified { image_from_optical: Matrix3x4<f64> },
}

impl CameraModel {
    /// Makes the model of a rectified image (`image_rect`, projected by P), or of an image of the sensor (`image_raw`,
    /// projected by R, K and D).
    ///
    /// K, D, R and P are for the full image (REP-104), so that a pixel of the published image is `(full - roi offset) /
    /// binning`, as in image_geometry. The optical frame of a stereo camera is that of its rectified image, also as in
    /// image_geometry; the inverse of R leads from there to the sensor. An R of zeros counts as identity.
    ///
    /// # Errors
    /// * [`ProjectError::NoSize`] if the image has no pixels.
    /// * [`ProjectError::Uncalibrated`] if K (or P) is all zero, [`ProjectError::BadCalibration`] for impossible
    ///   values.
    /// * [`ProjectError::UnknownDistortion`], [`ProjectError::CoefficientCount`] for the distortion of a raw image.
    pub fn new(info: &CameraInfo, rectified: bool) -> Result<CameraModel, ProjectError> {
        let binning = (info.binning_x.max(1), info.binning_y.max(1));
        let or_full = |part: u32, full: u32| if part == 0 { full } else { part };
        let width = or_full(info.roi.width, info.width) / binning.0;
        let height = or_full(info.roi.height, info.height) / binning.1;
        if width == 0 || height == 0 {
            return Err(ProjectError::NoSize { width, height });
        }
        Ok(CameraModel {
            lens: if rectified { Lens::rectified(info)? } else { Lens::raw(info)? },
            offset: (f64::from(info.roi.x_offset), f64::from(info.roi.y_offset)),
            binning: (f64::from(binning.0), f64::from(binning.1)),
            size: (width, height),
        })
    }

    /// Returns width and height of the published image, in pixels.
    pub fn image_size(&self) -> (u32, u32) {
        self.size
    }

    /// Projects a point of the optical frame, in metres, to a pixel `(x, y)` of the published image. Whole numbers are
    /// the centres of pixels, so that the image reaches from -0.5 to its size - 0.5.
    ///
    /// # Errors
    /// [`ProjectError::NotFinite`], [`ProjectError::BehindCamera`], [`ProjectError::BeyondDistortion`], or
    /// [`ProjectError::OutsideImage`] if the camera does not see the point.
    pub fn project(&self, point: &Point3<f64>) -> Result<(f64, f64), ProjectError> {
        let (x, y) = self.project_unbounded(point)?;
        let (width, height) = self.size;
        let inside = |v: f64, side: u32| v >= -0.5 && v < f64::from(side) - 0.5;
        if !inside(x, width) || !inside(y, height) {
            return Err(ProjectError::OutsideImage { x, y, width, height });
        }
        Ok((x, y))
    }

    /// Projects a point as [`project`](CameraModel::project) does, whether or not the pixel is inside the image.
    ///
    /// # Errors
    /// As [`project`](CameraModel::project), except [`ProjectError::OutsideImage`].
    pub(super) fn project_unbounded(&self, point: &Point3<f64>) -> Result<(f64, f64), ProjectError> {
        let Point3 { coords } = point;
        let (x, y, z) = (coords.x, coords.y, coords.z);
        if ![x, y, z].iter().all(|v| v.is_finite()) {
            return Err(ProjectError::NotFinite { x, y, z });
        }
        if z <= 0.0 {
            return Err(ProjectError::BehindCamera { x, y, z });
        }
        let (u, v) = self.lens.project(point)?;
        Ok(((u - self.offset.0) / self.binning.0, (v - self.offset.1) / self.binning.1))
    }

    /// Returns the point of the optical frame at `z = distance` metres that projects to a pixel of the published image:
    /// the inverse of [`project`](CameraModel::project). `None` if no ray meets the pixel.
    pub fn point_at(&self, x: f64, y: f64, distance: f64) -> Option<Point3<f64>> {
        let (u, v) = (x * self.binning.0 + self.offset.0, y * self.binning.1 + self.offset.1);
        let (start, ray) = self.lens.ray(u, v)?;
        let along = (distance - start.z) / ray.z;
        let in_front = ray.z > 0.0 && along > 0.0 && along.is_finite();
        in_front.then(|| Point3::from(start + ray * along))
    }
}

impl Lens {
    fn raw(info: &CameraInfo) -> Result<Lens, ProjectError> {
        check_matrix("K", &info.k, 0, 4)?;
        let distortion = Distortion::new(&info.distortion_model, &info.d)?;
        if let Some(value) = info.r.iter().find(|v| !v.is_finite()) {
            return Err(ProjectError::BadCalibration { field: "R", value: *value });
        }
        let given = info.r.iter().any(|v| *v != 0.0);
        let optical_from_sensor = if given { Matrix3::from_row_slice(&info.r) } else { Matrix3::identity() };
        let k = &info.k;
        Ok(Lens::Raw { optical_from_sensor, focal: (k[0], k[4]), centre: (k[2], k[5]), distortion })
    }

    fn rectified(info: &CameraInfo) -> Result<Lens, ProjectError> {
        check_matrix("P", &info.p, 0, 5)?;
        Ok(Lens::Rectified { image_from_optical: Matrix3x4::from_row_slice(&info.p) })
    }

    fn project(&self, point: &Point3<f64>) -> Result<(f64, f64), ProjectError> {
        match self {
            Lens::Raw { optical_from_sensor, focal, centre, distortion } => {
                let Point3 { coords } = optical_from_sensor.transpose() * point;
                let (x, y, z) = (coords.x, coords.y, coords.z);
                if z <= 0.0 {
                    return Err(ProjectError::BehindCamera { x, y, z });
                }
                let (x, y) = distortion.distort(x / z, y / z)?;
                Ok((focal.0 * x + centre.0, focal.1 * y + centre.1))
            }
            Lens::Rectified { image_from_optical } => {
                let image = image_from_optical * point.to_homogeneous();
                if image.z <= 0.0 {
                    return Err(ProjectError::BehindCamera { x: point.x, y: point.y, z: point.z });
                }
                Ok((image.x / image.z, image.y / image.z))
            }
        }
    }
}

impl Lens {
    /// Returns the ray of a pixel of the full image, in the optical frame: its start, in metres, and its direction.
    fn ray(&self, u: f64, v: f64) -> Option<(Vector3<f64>, Vector3<f64>)> {
        match self {
            Lens::Raw { optical_from_sensor, focal, centre, distortion } => {
                let (x, y) = ((u - centre.0) / focal.0, (v - centre.1) / focal.1);
                let (x, y) = distortion.undistort(x, y, WIDEST_RAY.tan())?;
                Some((Vector3::zeros(), optical_from_sensor * Vector3::new(x, y, 1.0)))
            }
            Lens::Rectified { image_from_optical } => {
                let inverse = image_from_optical.fixed_view::<3, 3>(0, 0).try_inverse()?;
                Some((inverse * -image_from_optical.column(3), inverse * Vector3::new(u, v, 1.0)))
            }
        }
    }
}

/// Checks that a matrix is finite, and that both focal lengths, at the indices `fx` and `fy`, are positive. `field` is
/// the name of the matrix in `CameraInfo`.
fn check_matrix(field: &'static str, matrix: &[f64], fx: usize, fy: usize) -> Result<(), ProjectError> {
    if matrix.iter().all(|v| *v == 0.0) {
        return Err(ProjectError::Uncalibrated { matrix: field });
    }
    if let Some(value) = matrix.iter().find(|v| !v.is_finite()) {
        return Err(ProjectError::BadCalibration { field, value: *value });
    }
    match [matrix[fx], matrix[fy]].iter().find(|v| **v <= 0.0) {
        Some(value) => Err(ProjectError::BadCalibration { field, value: *value }),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
