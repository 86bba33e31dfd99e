//! Errors of projection: each names what was found and what to do.

use thiserror::Error;

/// Reason why a calibration or a point was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ProjectError {
    #[error(
        "the camera is not calibrated: {matrix} of camera_info is all zero; calibrate it (camera_calibration) or give \
         its driver a camera_info_url"
    )]
    Uncalibrated { matrix: &'static str },
    #[error(
        "{field} of camera_info holds {value}; expected finite values and positive focal lengths; calibrate the camera again"
    )]
    BadCalibration { field: &'static str, value: f64 },
    #[error("camera_info has an image size of {width}x{height} pixels; its publisher must fill in width and height")]
    NoSize { width: u32, height: u32 },
    #[error("unknown distortion model \"{model}\"; expected {expected}; use the rectified image otherwise")]
    UnknownDistortion { model: String, expected: &'static str },
    #[error("distortion model \"{model}\" with {found} coefficients; expected {expected}")]
    CoefficientCount { model: String, found: usize, expected: &'static str },
    #[error("point ({x}, {y}, {z}) is not finite; expected metres")]
    NotFinite { x: f64, y: f64, z: f64 },
    #[error(
        "point ({x:.3}, {y:.3}, {z:.3}) m in the optical frame is not in front of the camera; its z must be positive"
    )]
    BehindCamera { x: f64, y: f64, z: f64 },
    #[error(
        "point is {angle:.1} degrees off the optical axis, but the distortion model is valid up to {limit:.1}; click nearer \
         to the centre of the image"
    )]
    BeyondDistortion { angle: f64, limit: f64 },
    #[error(
        "point falls on pixel ({x:.1}, {y:.1}), outside the image of {width}x{height} pixels; the camera does not see it"
    )]
    OutsideImage { x: f64, y: f64, width: u32, height: u32 },
}
