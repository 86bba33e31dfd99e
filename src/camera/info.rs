//! A calibration, as `sensor_msgs/CameraInfo` carries it.

/// The fields of `sensor_msgs/CameraInfo`, by the same names. All of the calibration is for the full resolution, whatever
/// the binning and the region of interest (REP-104).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CameraInfo {
    /// Size of the full image, before binning and region of interest, in pixels.
    pub width: u32,
    pub height: u32,
    /// `plumb_bob`, `rational_polynomial`, `equidistant`, or empty for a camera without distortion.
    pub distortion_model: String,
    /// Coefficients in OpenCV's order: `k1 k2 p1 p2 [k3 [k4 k5 k6 [s1 s2 s3 s4 [tau_x tau_y]]]]`, for `equidistant`
    /// `k1 k2 k3 k4`.
    pub d: Vec<f64>,
    /// Camera matrix of the raw image, row by row: `fx 0 cx, 0 fy cy, 0 0 1`, in pixels. All zero: not calibrated.
    pub k: [f64; 9],
    /// Rotation from the axes of the sensor to those of the optical frame, which are the rectified image's, row by row.
    pub r: [f64; 9],
    /// Projection of the rectified image, row by row: `fx' 0 cx' tx, 0 fy' cy' ty, 0 0 1 0`, in pixels, `tx` in
    /// pixels times metres.
    pub p: [f64; 12],
    /// Pixels of the sensor per pixel of the image; 0 means 1.
    pub binning_x: u32,
    pub binning_y: u32,
    pub roi: RegionOfInterest,
}

/// The part of the full image that is published, in pixels of the full image. A size of 0 means all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RegionOfInterest {
    pub x_offset: u32,
    pub y_offset: u32,
    pub width: u32,
    pub height: u32,
    /// Asks rectifiers for a region of their own; it does not move pixels, so that projection does not depend on it.
    pub do_rectify: bool,
}
