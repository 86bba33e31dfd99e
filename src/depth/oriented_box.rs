//! Boxes around objects: robust extents along axes, and the yaw of the smallest box.

use multiversion::multiversion;
use nalgebra::{Isometry3, Point3, Rotation3, UnitQuaternion, Vector3};

use super::surface::Points;

/// Most points from which the tails of extents and the yaw are determined.
const SAMPLE: usize = 1024;
/// Part of the points in a tail that is trimmed, and the part that gives the tail its scale.
const TAIL: f64 = 0.02;
const TAIL_SCALE: f64 = 0.10;
/// Reach of points beyond the trimmed range, in distances between the trimmed part and [`TAIL_SCALE`]. A quarter is enough for the
/// end of a flat face, where points are evenly spread. Towards the limb of a sphere their density falls to 0, and the border of
/// the mask is not measured.
const FENCE: f32 = 2.0;
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
        self.surface.sample(SAMPLE)
    }

    fn around(
        &self,
        target_from_optical: &Isometry3<f64>,
        target_from_box: &UnitQuaternion<f64>,
        sample: &Points,
    ) -> OrientedBox {
        let box_from_optical = Rotation3::from(target_from_box.inverse() * target_from_optical.rotation);
        // The axes of the box in the optical frame.
        let axes: [Vector3<f64>; 3] = std::array::from_fn(|i| box_from_optical.matrix().row(i).transpose());
        let extents = self.extents(&axes.map(|axis| axis.cast::<f32>().into()), sample);
        let (mut size, mut centre) = (Vector3::zeros(), Vector3::zeros());
        for (i, (axis, (low, high))) in axes.iter().zip(extents).enumerate() {
            let spread = 2.0 * NOISE_TAIL * axis.dot(&self.noise).abs();
            size[i] = (f64::from(high) - f64::from(low) - spread).max(0.0);
            centre += axis * (f64::from(low) + f64::from(high)) / 2.0;
        }
        OrientedBox { centre: target_from_optical * Point3::from(centre), orientation: *target_from_box, size }
    }

    /// Returns the robust extents along directions of the optical frame, in metres from the camera.
    ///
    /// The 2 % of the points in each tail are trimmed. They are replaced by the outermost point that lies beyond the trimmed
    /// range by at most [`FENCE`] times the distance between the 2 % and the 10 % points. The outermost 2 % of the outline do not
    /// count.
    fn extents(&self, directions: &[[f32; 3]; 3], sample: &Points) -> [(f32, f32); 3] {
        let tails = directions.map(|direction| {
            let mut values = along(sample, &direction);
            let rank = |part: f64| (part * (values.len() - 1) as f64 + 0.5) as usize;
            let (outer, inner) = ([TAIL, 1.0 - TAIL].map(rank), [TAIL_SCALE, 1.0 - TAIL_SCALE].map(rank));
            let ([low_scale, high_scale], [low, high]) = ranked(&mut values, inner, outer);
            (low, high, low_scale, high_scale)
        });
        let beyond = |tail: f32, scale: f32| tail + FENCE * (tail - scale);
        let fences = tails.map(|(low, high, low_scale, high_scale)| (beyond(low, low_scale), beyond(high, high_scale)));
        let outline_fences = std::array::from_fn(|i| self.outline_fence(&directions[i], fences[i]));
        let surface = ranges(self.surface, directions, &fences);
        let outline = ranges(self.outline, directions, &outline_fences);
        std::array::from_fn(|i| {
            let (low, high, ..) = tails[i];
            (surface[i].0.min(outline[i].0).min(low), surface[i].1.max(outline[i].1).max(high))
        })
    }

    /// Returns a fence without the outermost points of the outline. They are continued and not measured: a few of them may lie
    /// anywhere.
    fn outline_fence(&self, direction: &[f32; 3], fence: (f32, f32)) -> (f32, f32) {
        let mut values = along(self.outline, direction);
        let trimmed = (TAIL * values.len() as f64) as usize;
        let Some(last) = values.len().checked_sub(1 + trimmed) else { return fence };
        let (_, [low, high]) = ranked(&mut values, [trimmed, last], [trimmed, last]);
        (fence.0.max(low), fence.1.min(high))
    }
}

/// Returns the values of two ascending ranks, and those of two ranks that are not between them. Only the parts of the values that
/// hold a rank are searched.
fn ranked(values: &mut [f32], inner: [usize; 2], outer: [usize; 2]) -> ([f32; 2], [f32; 2]) {
    let select = |values: &mut [f32], rank: usize| {
        values.select_nth_unstable_by(rank, f32::total_cmp);
    };
    select(values, inner[0]);
    if outer[0] < inner[0] {
        select(&mut values[..inner[0]], outer[0]);
    }
    let first = inner[0] + 1;
    if inner[1] >= first {
        select(&mut values[first..], inner[1] - first);
    }
    let first = inner[1] + 1;
    if outer[1] >= first {
        select(&mut values[first..], outer[1] - first);
    }
    (inner.map(|rank| values[rank]), outer.map(|rank| values[rank]))
}

/// Returns the coordinates of points along a direction.
fn along(points: &Points, direction: &[f32; 3]) -> Vec<f32> {
    let points = points.x.iter().zip(&points.y).zip(&points.z);
    points.map(|((x, y), z)| direction[0] * x + direction[1] * y + direction[2] * z).collect()
}

type Lanes = [f32; LANES];

/// Returns the least and the largest coordinate along each direction of the points within its fence. Without such points
/// the result is an empty range: (infinity, -infinity).
fn ranges(points: &Points, directions: &[[f32; 3]; 3], fences: &[(f32, f32); 3]) -> [(f32, f32); 3] {
    std::array::from_fn(|axis| {
        let (direction, (low, high)) = (directions[axis], fences[axis]);
        (least_along(points, direction, low), -least_along(points, direction.map(|x| -x), -high))
    })
}

/// Returns the least coordinate along a direction of the points from `fence` on; infinity without such points.
///
/// A loop that finds the largest coordinate too is slower: compilers do not turn it into vector instructions.
#[multiversion(targets("x86_64+avx2"))]
fn least_along(points: &Points, [a, b, c]: [f32; 3], fence: f32) -> f32 {
    let (xs, x_rest) = points.x.as_chunks::<LANES>();
    let (ys, y_rest) = points.y.as_chunks::<LANES>();
    let (zs, z_rest) = points.z.as_chunks::<LANES>();
    let mut low = [f32::INFINITY; LANES];
    for ((x, y), z) in xs.iter().zip(ys).zip(zs) {
        for i in 0..LANES {
            let value = a * x[i] + b * y[i] + c * z[i];
            let value = if value >= fence { value } else { f32::INFINITY };
            low[i] = if value < low[i] { value } else { low[i] };
        }
    }
    let rest = x_rest.iter().zip(y_rest).zip(z_rest).map(|((x, y), z)| a * x + b * y + c * z);
    rest.filter(|value| *value >= fence).fold(least(&low), f32::min)
}

fn least(lanes: &Lanes) -> f32 {
    lanes.iter().fold(f32::INFINITY, |a, b| if *b < a { *b } else { a })
}

fn largest(lanes: &Lanes) -> f32 {
    lanes.iter().fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a })
}

/// Points on the ground: x and y of the target frame without its origin, in metres.
struct Ground {
    x: Vec<Lanes>,
    y: Vec<Lanes>,
}

impl Ground {
    /// Projects points of the optical frame. The last lanes are filled with the last point.
    fn new(points: &Points, target_from_optical: &Isometry3<f64>) -> Ground {
        let rotation = target_from_optical.rotation.to_rotation_matrix();
        let project = |row: usize| -> Vec<Lanes> {
            let values = along(points, &rotation.matrix().row(row).transpose().cast::<f32>().into());
            let last = values.last().copied().unwrap_or_default();
            let lanes = |values: &[f32]| std::array::from_fn(|i| values.get(i).copied().unwrap_or(last));
            values.chunks(LANES).map(lanes).collect()
        };
        Ground { x: project(0), y: project(1) }
    }
}

/// Returns the sum of width and length of the box around points on the ground, turned by an angle of this cosine and sine.
#[multiversion(targets("x86_64+avx2"))]
fn sides(ground: &Ground, cos: f32, sin: f32) -> f32 {
    let mut low = [[f32::INFINITY; LANES]; 2];
    let mut high = [[f32::NEG_INFINITY; LANES]; 2];
    for (x, y) in ground.x.iter().zip(&ground.y) {
        for i in 0..LANES {
            let (along, across) = (cos * x[i] + sin * y[i], cos * y[i] - sin * x[i]);
            low[0][i] = if along < low[0][i] { along } else { low[0][i] };
            high[0][i] = if along > high[0][i] { along } else { high[0][i] };
            low[1][i] = if across < low[1][i] { across } else { low[1][i] };
            high[1][i] = if across > high[1][i] { across } else { high[1][i] };
        }
    }
    largest(&high[0]) - least(&low[0]) + largest(&high[1]) - least(&low[1])
}

/// Returns the yaw of the smallest upright box around the points, 0 to 90 degrees, in radians.
fn yaw_of_smallest_box(points: &Points, target_from_optical: &Isometry3<f64>) -> f64 {
    let ground = Ground::new(points, target_from_optical);
    let sides = |degrees: f64| {
        let (sin, cos) = degrees.to_radians().sin_cos();
        sides(&ground, cos as f32, sin as f32)
    };
    let smallest = |angles: &mut dyn Iterator<Item = f64>| {
        let least = angles.map(|angle| (angle, sides(angle))).reduce(|a, b| if b.1 < a.1 { b } else { a });
        least.map_or(0.0, |(angle, _)| angle)
    };
    let coarse = smallest(&mut (0..COARSE).map(f64::from));
    let fine = smallest(&mut (-FINE..=FINE).map(|i| coarse + f64::from(i) / f64::from(FINE)));
    fine.to_radians()
}
