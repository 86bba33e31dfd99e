//! Lens distortion: from the ideal image plane at z = 1 to the plane of the sensor. Coordinates are metres per metre,
//! without a unit.
//!
//! The formulas are those of OpenCV's `projectPoints` (modules/calib3d/src/calibration.cpp and distortion_model.hpp)
//! and `fisheye::projectPoints` (fisheye.cpp). The names of the models are those of sensor_msgs/distortion_models.hpp.

use nalgebra::{Matrix2, Matrix3, Vector2, Vector3};

use super::ProjectError;

const SUPPORTED_MODELS: &str = "plumb_bob, rational_polynomial, equidistant, or none (empty)";
const POLYNOMIAL_COUNTS: &str = "0, 4, 5, 8, 12 or 14";
/// Step of the search for the valid range, in radians; bisection refines the result.
const RANGE_STEP: f64 = 1e-3;
/// Number of halvings after which an interval is as small as rounding errors.
const HALVINGS: u32 = 60;
/// Largest error of a ray that Newton's method accepts, in metres per metre on the sensor: a millionth of a pixel for a
/// focal length of 1000.
const RAY_TOLERANCE: f64 = 1e-9;
/// Most steps of Newton's method.
const RAY_STEPS: usize = 20;
/// Step of the finite differences that approximate the derivative.
const DIFFERENCE: f64 = 1e-6;

/// Distortion model of a lens.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Distortion {
    None,
    Polynomial(Box<Polynomial>),
    Equidistant(Equidistant),
}

/// The models plumb_bob and rational_polynomial, with OpenCV's thin prism and tilted sensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Polynomial {
    k: [f64; 6],
    p: [f64; 2],
    s: [f64; 4],
    tilt: Option<Matrix3<f64>>,
    /// Largest radius on the plane at which the image still moves outwards with the ray.
    limit: f64,
}

/// OpenCV's fisheye model (Kannala-Brandt).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Equidistant {
    k: [f64; 4],
    /// Largest angle off the axis, in radians, at which the image still moves outwards with the ray.
    limit: f64,
}

impl Distortion {
    /// Makes the distortion of a `CameraInfo` from the name of its model and its coefficients. An unknown model is
    /// accepted if all coefficients are 0, as simulators publish it.
    ///
    /// # Errors
    /// * [`ProjectError::BadCalibration`] for a coefficient that is not finite.
    /// * [`ProjectError::UnknownDistortion`], [`ProjectError::CoefficientCount`].
    pub(super) fn new(model: &str, d: &[f64]) -> Result<Distortion, ProjectError> {
        if let Some(value) = d.iter().find(|v| !v.is_finite()) {
            return Err(ProjectError::BadCalibration { field: "D", value: *value });
        }
        let zero = d.iter().all(|v| *v == 0.0);
        match model {
            "equidistant" | "fisheye" => Ok(Distortion::Equidistant(Equidistant::new(model, d)?)),
            _ if zero => Ok(Distortion::None),
            "plumb_bob" | "rational_polynomial" => Ok(Distortion::Polynomial(Box::new(Polynomial::new(model, d)?))),
            _ => Err(ProjectError::UnknownDistortion { model: model.to_owned(), expected: SUPPORTED_MODELS }),
        }
    }

    /// Returns the position on the sensor of the ray through `(x, y, 1)`.
    ///
    /// # Errors
    /// [`ProjectError::BeyondDistortion`] where the polynomial folds back: the pixel there shows another ray.
    pub(super) fn distort(&self, x: f64, y: f64) -> Result<(f64, f64), ProjectError> {
        let radius = x.hypot(y);
        let beyond = |limit: f64| {
            Err(ProjectError::BeyondDistortion { angle: radius.atan().to_degrees(), limit: limit.to_degrees() })
        };
        match self {
            Distortion::None => Ok((x, y)),
            Distortion::Polynomial(polynomial) if radius > polynomial.limit => beyond(polynomial.limit.atan()),
            Distortion::Polynomial(polynomial) => Ok(polynomial.distort(x, y)),
            Distortion::Equidistant(fisheye) if radius.atan() > fisheye.limit => beyond(fisheye.limit),
            Distortion::Equidistant(fisheye) => Ok(fisheye.distort(x, y)),
        }
    }

    /// Returns the `(x, y)` of the ray `(x, y, 1)` that meets the sensor at a position: the inverse of
    /// [`Distortion::distort`]. None if no ray within the valid range and `max_radius` meets the position.
    pub(super) fn undistort(&self, x: f64, y: f64, max_radius: f64) -> Option<(f64, f64)> {
        match self {
            Distortion::None => Some((x, y)).filter(|_| x.hypot(y) <= max_radius),
            Distortion::Polynomial(polynomial) => polynomial.undistort(x, y, max_radius),
            Distortion::Equidistant(fisheye) => fisheye.undistort(x, y, max_radius),
        }
    }
}

impl Polynomial {
    fn new(model: &str, d: &[f64]) -> Result<Polynomial, ProjectError> {
        if !matches!(d.len(), 4 | 5 | 8 | 12 | 14) {
            let (model, found) = (model.to_owned(), d.len());
            return Err(ProjectError::CoefficientCount { model, found, expected: POLYNOMIAL_COUNTS });
        }
        let c = |i: usize| d.get(i).copied().unwrap_or(0.0);
        let tilt = (c(12) != 0.0 || c(13) != 0.0).then(|| tilt(c(12), c(13)));
        let mut polynomial = Polynomial {
            k: [c(0), c(1), c(4), c(5), c(6), c(7)],
            p: [c(2), c(3)],
            s: [c(8), c(9), c(10), c(11)],
            tilt,
            limit: f64::INFINITY,
        };
        let limit = first_failure(|angle| polynomial.grows(angle.tan()));
        polynomial.limit = limit.map_or(f64::INFINITY, f64::tan);
        Ok(polynomial)
    }

    /// Returns whether the image at a radius moves outwards with the ray: the derivative of
    /// `r (1 + k1 r2 + k2 r4 + k3 r6) / (1 + k4 r2 + k5 r4 + k6 r6)` is positive, and no pole comes before the radius.
    fn grows(&self, radius: f64) -> bool {
        let [k1, k2, k3, k4, k5, k6] = self.k;
        let s = radius * radius;
        let above = 1.0 + s * (k1 + s * (k2 + s * k3));
        let below = 1.0 + s * (k4 + s * (k5 + s * k6));
        let above_slope = 1.0 + s * (3.0 * k1 + s * (5.0 * k2 + s * 7.0 * k3));
        let below_slope = s * (2.0 * k4 + s * (4.0 * k5 + s * 6.0 * k6));
        below > 0.0 && above_slope * below - above * below_slope > 0.0
    }

    fn distort(&self, x: f64, y: f64) -> (f64, f64) {
        let ([p1, p2], [s1, s2, s3, s4]) = (self.p, self.s);
        let r2 = x * x + y * y;
        let radial = self.radial(r2.sqrt());
        let (xy, xx, yy) = (2.0 * x * y, r2 + 2.0 * x * x, r2 + 2.0 * y * y);
        let dx = x * radial + p1 * xy + p2 * xx + r2 * (s1 + r2 * s2);
        let dy = y * radial + p1 * yy + p2 * xy + r2 * (s3 + r2 * s4);
        match &self.tilt {
            Some(tilt) => project(tilt, dx, dy),
            None => (dx, dy),
        }
    }

    /// Inverts the whole model with Newton's method, starting at the inverse of the radial part.
    fn undistort(&self, x: f64, y: f64, max_radius: f64) -> Option<(f64, f64)> {
        let limit = self.limit.min(max_radius);
        let (level_x, level_y) = match &self.tilt {
            Some(tilt) => project(&tilt.try_inverse()?, x, y),
            None => (x, y),
        };
        let distorted = level_x.hypot(level_y);
        let radius = bisect(limit, |r| self.radial(r) * r < distorted);
        let scale = if distorted > 0.0 { radius / distorted } else { 0.0 };
        let mut ray = Vector2::new(level_x * scale, level_y * scale);
        let at = |ray: &Vector2<f64>| {
            let (x, y) = self.distort(ray.x, ray.y);
            Vector2::new(x, y)
        };
        for _ in 0..RAY_STEPS {
            let missed = at(&ray) - Vector2::new(x, y);
            if missed.norm() < RAY_TOLERANCE {
                return Some((ray.x, ray.y)).filter(|_| ray.norm() <= limit);
            }
            let slope = |step: Vector2<f64>| (at(&(ray + step)) - at(&(ray - step))) / (2.0 * DIFFERENCE);
            let slopes =
                Matrix2::from_columns(&[slope(Vector2::new(DIFFERENCE, 0.0)), slope(Vector2::new(0.0, DIFFERENCE))]);
            ray -= slopes.try_inverse()? * missed;
        }
        None
    }

    fn radial(&self, radius: f64) -> f64 {
        let [k1, k2, k3, k4, k5, k6] = self.k;
        let s = radius * radius;
        (1.0 + s * (k1 + s * (k2 + s * k3))) / (1.0 + s * (k4 + s * (k5 + s * k6)))
    }
}

fn project(matrix: &Matrix3<f64>, x: f64, y: f64) -> (f64, f64) {
    let v = matrix * Vector3::new(x, y, 1.0);
    if v.z == 0.0 { (v.x, v.y) } else { (v.x / v.z, v.y / v.z) }
}

/// Returns the projection onto a sensor that is tilted about x and y, in radians: `computeTiltProjectionMatrix`.
fn tilt(about_x: f64, about_y: f64) -> Matrix3<f64> {
    let ((sx, cx), (sy, cy)) = (about_x.sin_cos(), about_y.sin_cos());
    let rotation =
        Matrix3::new(cy, 0.0, -sy, 0.0, 1.0, 0.0, sy, 0.0, cy) * Matrix3::new(1.0, 0.0, 0.0, 0.0, cx, sx, 0.0, -sx, cx);
    let (r02, r12, r22) = (rotation[(0, 2)], rotation[(1, 2)], rotation[(2, 2)]);
    Matrix3::new(r22, 0.0, -r02, 0.0, r22, -r12, 0.0, 0.0, 1.0) * rotation
}

impl Equidistant {
    fn new(model: &str, d: &[f64]) -> Result<Equidistant, ProjectError> {
        let (k, rest) = d.split_at(d.len().min(4));
        let complete = k.len() == 4 || k.is_empty();
        if !complete || rest.iter().any(|v| *v != 0.0) {
            let (model, found) = (model.to_owned(), d.len());
            return Err(ProjectError::CoefficientCount { model, found, expected: "4 (or none)" });
        }
        let c = |i: usize| k.get(i).copied().unwrap_or(0.0);
        let mut fisheye = Equidistant { k: [c(0), c(1), c(2), c(3)], limit: f64::INFINITY };
        fisheye.limit = first_failure(|angle| fisheye.grows(angle)).unwrap_or(f64::INFINITY);
        Ok(fisheye)
    }

    /// Returns whether the image at an angle moves outwards with the ray.
    fn grows(&self, angle: f64) -> bool {
        let [k1, k2, k3, k4] = self.k;
        let s = angle * angle;
        1.0 + s * (3.0 * k1 + s * (5.0 * k2 + s * (7.0 * k3 + s * 9.0 * k4))) > 0.0
    }

    fn distort(&self, x: f64, y: f64) -> (f64, f64) {
        let radius = x.hypot(y);
        if radius <= 1e-8 {
            return (x, y);
        }
        let scale = self.distance(radius.atan()) / radius;
        (x * scale, y * scale)
    }

    /// Returns the distance from the centre at which a ray of this angle meets the sensor.
    fn distance(&self, angle: f64) -> f64 {
        let [k1, k2, k3, k4] = self.k;
        let s = angle * angle;
        angle * (1.0 + s * (k1 + s * (k2 + s * (k3 + s * k4))))
    }

    fn undistort(&self, x: f64, y: f64, max_radius: f64) -> Option<(f64, f64)> {
        let distance = x.hypot(y);
        if distance <= 1e-8 {
            return Some((x, y));
        }
        let limit = self.limit.min(max_radius.atan());
        if self.distance(limit) < distance {
            return None;
        }
        let scale = bisect(limit, |angle| self.distance(angle) < distance).tan() / distance;
        Some((x * scale, y * scale))
    }
}

/// Returns the value between 0 and `limit` up to which `is_below` is true.
fn bisect(limit: f64, is_below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, limit);
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if is_below(middle) { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// Returns the first angle off the axis, in radians below a right angle, at which `holds` is false.
fn first_failure(holds: impl Fn(f64) -> bool) -> Option<f64> {
    let steps = (std::f64::consts::FRAC_PI_2 / RANGE_STEP) as u32;
    let failed = (0..=steps).map(|i| f64::from(i) * RANGE_STEP).find(|angle| !holds(*angle))?;
    let (mut good, mut bad) = ((failed - RANGE_STEP).max(0.0), failed);
    for _ in 0..30 {
        let middle = (good + bad) / 2.0;
        if holds(middle) { good = middle } else { bad = middle }
    }
    Some(good)
}
