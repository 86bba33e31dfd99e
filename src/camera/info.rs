//! Calibration of a camera: the fields of `sensor_msgs/CameraInfo`.

/// The fields of `sensor_msgs/CameraInfo` under the same names. K, D, R and P are for the full resolution, whatever the
/// binning and the region of interest (REP-104).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CameraInfo {
    /// Width of the full image, before binning and region of interest, in pixels.
    pub width: u32,
    /// Height of the full image, before binning and region of interest, in pixels.
    pub height: u32,
    /// `plumb_bob`, `rational_polynomial`, `equidistant`, or empty for a camera without distortion.
    pub distortion_model: String,
    /// Coefficients in OpenCV's order: `k1 k2 p1 p2 [k3 [k4 k5 k6 [s1 s2 s3 s4 [tau_x tau_y]]]]`, for `equidistant`
    /// `k1 k2 k3 k4`.
    pub d: Vec<f64>,
    /// Camera matrix of the raw image, row by row: `fx 0 cx, 0 fy cy, 0 0 1`, in pixels. All zero if the
    /// camera is not calibrated.
    pub k: [f64; 9],
    /// `optical_from_sensor`: rotation from the axes of the sensor to the optical frame, whose axes are those of the
    /// rectified image, row by row.
    pub r: [f64; 9],
    /// Projection of the rectified image, row by row: `fx' 0 cx' tx, 0 fy' cy' ty, 0 0 1 0`, in pixels, `tx` in
    /// pixels times metres.
    pub p: [f64; 12],
    /// Pixels of the sensor per pixel of the image along x; 0 means 1.
    pub binning_x: u32,
    /// Pixels of the sensor per pixel of the image along y; 0 means 1.
    pub binning_y: u32,
    pub roi: RegionOfInterest,
}

/// The published part of the full image, in pixels of the full image. A size of 0 means the full size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RegionOfInterest {
    pub x_offset: u32,
    pub y_offset: u32,
    pub width: u32,
    pub height: u32,
    /// Whether rectifiers compute a region of their own. The flag moves no pixels: projection does not depend on it.
    pub do_rectify: bool,
}
