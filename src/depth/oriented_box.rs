//! Boxes around objects: robust extents along axes, and the yaw of the smallest box.

use multiversion::multiversion;
use nalgebra::{Isometry3, Point3, Rotation3, UnitQuaternion, Vector3};

use super::surface::Points;

/// Most points from which the tails of extents and the yaw are determined.
const SAMPLE: usize = 1024;
/// Part of the points in a tail that is trimmed, and the part that gives the tail its scale.
const TAIL: f64 = 0.02;
const TAIL_SCALE: f64 = 0.10;
/// Standard deviations of the noise by which the outermost points lie too far outside.
const NOISE_TAIL: f64 = 2.5;
/// Angles of the first search for the yaw, one degree apart: a box repeats itself after a quarter turn.
const COARSE: u32 = 90;
/// Angles of the second search on each side of the best coarse angle, to one sixteenth of a degree.
const FINE: i32 = 16;
/// Values of a vector register.
const LANES: usize = 8;

/// A box in the target frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrientedBox {
    /// Centre of the box, in metres.
    pub centre: Point3<f64>,
    /// `target_from_box`: rotation of the box's axes.
    pub orientation: UnitQuaternion<f64>,
    /// Full sides along the axes of the box, in metres.
    pub size: Vector3<f64>,
}

impl OrientedBox {
    /// Returns the eight corners.
    pub fn corners(&self) -> [Point3<f64>; 8] {
        std::array::from_fn(|i| {
            let sign = |bit: usize| if i >> bit & 1 == 1 { 0.5 } else { -0.5 };
            let corner = self.size.component_mul(&Vector3::new(sign(0), sign(1), sign(2)));
            self.centre + self.orientation * corner
        })
    }

    /// Returns the same box in another frame.
    #[must_use]
    pub fn transformed(&self, other_from_target: &Isometry3<f64>) -> OrientedBox {
        OrientedBox {
            centre: other_from_target * self.centre,
            orientation: other_from_target.rotation * self.orientation,
            size: self.size,
        }
    }
}

/// Points of an object from which a box is made, in the optical frame.
pub(super) struct BoxPoints<'a> {
    /// Measured points.
    pub surface: &'a Points,
    /// Points at the border of the mask.
    pub outline: &'a Points,
    /// Noise of the points, in metres, along the ray to their middle.
    pub noise: Vector3<f64>,
}

impl BoxPoints<'_> {
    /// Returns the box whose axes are those of the frame `target`.
    pub fn aligned(&self, target_from_optical: &Isometry3<f64>) -> OrientedBox {
        self.around(target_from_optical, &UnitQuaternion::identity(), &self.sample())
    }

    /// Returns the upright box in a frame with z up: of all yaw angles the one with the least sum of width and length. Its
    /// x axis is the longer horizontal side, its yaw lies in -90 (exclusive) to 90 degrees.
    ///
    /// The sum is least at the sides of a rectangle, of a visible front, and of two visible fronts at a corner. (The area
    /// of a corner's box is the same along the diagonal.)
    pub fn upright(&self, target_from_optical: &Isometry3<f64>) -> OrientedBox {
        let sample = self.sample();
        let mut shape = sample.clone();
        shape.extend(self.outline);
        let yaw = yaw_of_smallest_box(&shape, target_from_optical);
        let turned = |yaw: f64| UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw);
        let mut upright = self.around(target_from_optical, &turned(yaw), &sample);
        if upright.size.y > upright.size.x {
            let quarter = std::f64::consts::FRAC_PI_2;
            upright.size.swap_rows(0, 1);
            upright.orientation = turned(if yaw > 0.0 { yaw - quarter } else { yaw + quarter });
        }
        upright
    }

    fn sample(&self) -> Points {
        self.surface.every(self.surface.len().div_ceil(SAMPLE).max(1))
    }

    fn around(
        &self,
        target_from_optical: &Isometry3<f64>,
        target_from_box: &UnitQuaternion<f64>,
        sample: &Points,
    ) -> OrientedBox {
        let box_from_optical = Rotation3::from(target_from_box.inverse() * target_from_optical.rotation);
        let (mut size, mut centre) = (Vector3::zeros(), Vector3::zeros());
        for axis in 0..3 {
            // The axis of the box in the optical frame.
            let direction = box_from_optical.matrix().row(axis).transpose();
            let (low, high) = self.extent(&direction.cast::<f32>().into(), sample);
            let spread = 2.0 * NOISE_TAIL * direction.dot(&self.noise).abs();
            size[axis] = (f64::from(high) - f64::from(low) - spread).max(0.0);
            centre += direction * (f64::from(low) + f64::from(high)) / 2.0;
        }
        OrientedBox { centre: target_from_optical * Point3::from(centre), orientation: *target_from_box, size }
    }

    /// Returns the robust extent along a direction of the optical frame, in metres from the camera.
    ///
    /// The 2 % of the points in each tail are trimmed. They are replaced by the outermost point that lies beyond the trimmed
    /// range by at most the distance between the 2 % and the 10 % points.
    fn extent(&self, direction: &[f32; 3], sample: &Points) -> (f32, f32) {
        let mut values: Vec<f32> = (0..sample.len()).map(|i| dot(direction, sample.at(i))).collect();
        let mut quantile = |part: f64| {
            let rank = (part * (values.len() - 1) as f64 + 0.5) as usize;
            *values.select_nth_unstable_by(rank, f32::total_cmp).1
        };
        let (low_scale, high_scale) = (quantile(TAIL_SCALE), quantile(1.0 - TAIL_SCALE));
        let (low, high) = (quantile(TAIL), quantile(1.0 - TAIL));
        let fence = (low - (low_scale - low), high + (high - high_scale));
        let (surface, outline) = (range(self.surface, direction, fence), range(self.outline, direction, fence));
        (surface.0.min(outline.0).min(low), surface.1.max(outline.1).max(high))
    }
}

fn dot(direction: &[f32; 3], [x, y, z]: [f32; 3]) -> f32 {
    direction[0] * x + direction[1] * y + direction[2] * z
}

/// Returns the least and the largest coordinate along a direction of the points within the fence. Without such points the
/// result is an empty range: (infinity, -infinity).
#[multiversion(targets("x86_64+avx2"))]
fn range(points: &Points, direction: &[f32; 3], fence: (f32, f32)) -> (f32, f32) {
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    let mut add = |lane: usize, x: f32, y: f32, z: f32| {
        let value = direction[0] * x + direction[1] * y + direction[2] * z;
        let below = if value >= fence.0 { value } else { f32::INFINITY };
        let above = if value <= fence.1 { value } else { f32::NEG_INFINITY };
        low[lane] = if below < low[lane] { below } else { low[lane] };
        high[lane] = if above > high[lane] { above } else { high[lane] };
    };
    let (xs, ys, zs) = (points.x.as_chunks::<LANES>(), points.y.as_chunks::<LANES>(), points.z.as_chunks::<LANES>());
    for ((x, y), z) in xs.0.iter().zip(ys.0).zip(zs.0) {
        for lane in 0..LANES {
            add(lane, x[lane], y[lane], z[lane]);
        }
    }
    for ((x, y), z) in xs.1.iter().zip(ys.1).zip(zs.1) {
        add(0, *x, *y, *z);
    }
    let least = low.into_iter().fold(f32::INFINITY, |a, b| if b < a { b } else { a });
    let largest = high.into_iter().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
    (least, largest)
}

/// Returns the yaw of the smallest upright box around the points, 0 to 90 degrees, in radians.
fn yaw_of_smallest_box(points: &Points, target_from_optical: &Isometry3<f64>) -> f64 {
    let rotation = target_from_optical.rotation.to_rotation_matrix();
    let horizontal = |row: usize| -> [f32; 3] { rotation.matrix().row(row).transpose().cast::<f32>().into() };
    let (x, y) = (horizontal(0), horizontal(1));
    let sides = |degrees: f64| {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let width = |a: f64, b: f64| {
            let direction = std::array::from_fn(|i| (a * f64::from(x[i]) + b * f64::from(y[i])) as f32);
            let (low, high) = range(points, &direction, (f32::NEG_INFINITY, f32::INFINITY));
            high - low
        };
        width(cos, sin) + width(-sin, cos)
    };
    let smallest = |angles: &mut dyn Iterator<Item = f64>| {
        let least = angles.map(|angle| (angle, sides(angle))).reduce(|a, b| if b.1 < a.1 { b } else { a });
        least.map_or(0.0, |(angle, _)| angle)
    };
    let coarse = smallest(&mut (0..COARSE).map(f64::from));
    let fine = smallest(&mut (-FINE..=FINE).map(|i| coarse + f64::from(i) / f64::from(FINE)));
    fine.to_radians()
}
