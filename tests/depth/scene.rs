//! Analytic scenes: planes, spheres, boxes and cylinders at known poses, seen by a depth camera.

use nalgebra::{Isometry3, Point3, Vector3};
use promptseg::camera::{CameraInfo, CameraModel};
use promptseg::depth::DepthImage;
use promptseg::pixels::Mask;

/// A solid with its pose in the world, whose z points up. Lengths are in metres.
pub enum Solid {
    Plane {
        world_from_plane: Isometry3<f64>,
    },
    Sphere {
        centre: Point3<f64>,
        radius: f64,
    },
    /// Full sides along the axes of the pose.
    Cuboid {
        world_from_box: Isometry3<f64>,
        size: Vector3<f64>,
    },
    /// Upright around z of the pose, centred on it.
    Cylinder {
        world_from_cylinder: Isometry3<f64>,
        radius: f64,
        height: f64,
    },
}

impl Solid {
    /// Returns the distance along a ray, in lengths of its direction, at which the ray meets the solid.
    fn hit(&self, start: &Point3<f64>, direction: &Vector3<f64>) -> Option<f64> {
        let nearest = |candidates: &[f64]| candidates.iter().copied().filter(|t| *t > 1e-9).reduce(f64::min);
        match self {
            Solid::Plane { world_from_plane } => {
                let (o, d) = (world_from_plane.inverse() * start, world_from_plane.inverse() * direction);
                nearest(&[-o.z / d.z])
            }
            Solid::Sphere { centre, radius } => {
                let o = start - centre;
                let (a, b, c) = (direction.norm_squared(), o.dot(direction), o.norm_squared() - radius * radius);
                let root = (b * b - a * c).sqrt();
                nearest(&[(-b - root) / a, (-b + root) / a])
            }
            Solid::Cuboid { world_from_box, size } => {
                let (o, d) = (world_from_box.inverse() * start, world_from_box.inverse() * direction);
                let (mut enter, mut leave) = (f64::NEG_INFINITY, f64::INFINITY);
                for axis in 0..3 {
                    let at = |side: f64| (side * size[axis] / 2.0 - o[axis]) / d[axis];
                    let (a, b) = (at(-1.0), at(1.0));
                    (enter, leave) = (enter.max(a.min(b)), leave.min(a.max(b)));
                }
                (enter <= leave && enter > 0.0).then_some(enter)
            }
            Solid::Cylinder { world_from_cylinder, radius, height } => {
                let (o, d) = (world_from_cylinder.inverse() * start, world_from_cylinder.inverse() * direction);
                let (a, b) = (d.x * d.x + d.y * d.y, o.x * d.x + o.y * d.y);
                let root = (b * b - a * (o.x * o.x + o.y * o.y - radius * radius)).sqrt();
                let on_side = |t: &f64| (o.z + t * d.z).abs() <= height / 2.0;
                let on_cap = |t: &f64| (o.x + t * d.x).hypot(o.y + t * d.y) <= *radius;
                let side = [(-b - root) / a, (-b + root) / a].into_iter().filter(on_side);
                let caps = [(height / 2.0 - o.z) / d.z, (-height / 2.0 - o.z) / d.z].into_iter().filter(on_cap);
                nearest(&side.chain(caps).collect::<Vec<_>>())
            }
        }
    }
}

/// A pinhole camera in the world.
#[derive(Clone)]
pub struct Camera {
    pub width: u32,
    pub height: u32,
    pub focal: f64,
    pub world_from_optical: Isometry3<f64>,
}

impl Camera {
    /// Makes a camera at `position` in the world that looks at `target`, with its image upright.
    pub fn looking_at(width: u32, height: u32, focal: f64, position: [f64; 3], target: [f64; 3]) -> Camera {
        let (position, target) = (Point3::from(position), Point3::from(target));
        let optical_from_world = Isometry3::look_at_rh(&position, &target, &Vector3::z());
        // `look_at_rh` looks along -z with y up; an optical frame looks along z with y down.
        let turn = Isometry3::rotation(Vector3::x() * std::f64::consts::PI);
        Camera { width, height, focal, world_from_optical: (turn * optical_from_world).inverse() }
    }

    /// Returns column and row of the optical axis.
    pub fn centre(&self) -> (f64, f64) {
        (f64::from(self.width) / 2.0 - 0.5, f64::from(self.height) / 2.0 - 0.5)
    }

    pub fn info(&self) -> CameraInfo {
        let (f, (cx, cy)) = (self.focal, self.centre());
        CameraInfo {
            width: self.width,
            height: self.height,
            k: [f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0],
            p: [f, 0.0, cx, 0.0, 0.0, f, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
            ..CameraInfo::default()
        }
    }

    pub fn model(&self) -> CameraModel {
        CameraModel::new(&self.info(), true).unwrap()
    }
}

/// Errors of a depth sensor.
#[derive(Clone, Copy, Default)]
pub struct Sensor {
    /// Standard deviation of the depth at 1 m, in metres; it grows with the square of the depth, as for stereo.
    pub noise: f64,
    /// Step of the returned depths, in metres; 0 for none.
    pub step: f64,
    /// Part of the pixels without a depth.
    pub holes: f64,
    /// Whether pixels at edges have a depth between foreground and background, in a band of two pixels.
    pub flying: bool,
    pub seed: u64,
}

pub struct Scene {
    pub camera: Camera,
    pub solids: Vec<Solid>,
}

/// Exact depth of a scene, and the number of the solid on each pixel.
pub struct Rendering {
    width: usize,
    height: usize,
    hits: Vec<Option<(f64, usize)>>,
}

impl Scene {
    /// Returns the depth and the solid at a position in pixels.
    fn at(&self, u: f64, v: f64) -> Option<(f64, usize)> {
        let (cx, cy) = self.camera.centre();
        let ray = Vector3::new((u - cx) / self.camera.focal, (v - cy) / self.camera.focal, 1.0);
        let start = Point3::from(self.camera.world_from_optical.translation.vector);
        let direction = self.camera.world_from_optical * ray;
        let hits = self.solids.iter().enumerate();
        let hits = hits.filter_map(|(i, solid)| solid.hit(&start, &direction).map(|depth| (depth, i)));
        hits.min_by(|a, b| a.0.total_cmp(&b.0))
    }

    pub fn render(&self) -> Rendering {
        let (width, height) = (self.camera.width as usize, self.camera.height as usize);
        let hits = (0..width * height).map(|i| self.at((i % width) as f64, (i / width) as f64)).collect();
        Rendering { width, height, hits }
    }

    /// Returns the points of the visible surface of a solid in the world, 3 x 3 for each pixel.
    pub fn visible_points(&self, solid: usize, bounds: &Mask) -> Vec<Point3<f64>> {
        let (cx, cy) = self.camera.centre();
        let rect = bounds.bbox.unwrap();
        let mut points = Vec::new();
        for row in 0..(rect.height + 2) * 3 {
            for column in 0..(rect.width + 2) * 3 {
                let (u, v) = (
                    f64::from(rect.x) - 4.0 / 3.0 + f64::from(column) / 3.0,
                    f64::from(rect.y) - 4.0 / 3.0 + f64::from(row) / 3.0,
                );
                if let Some((z, hit)) = self.at(u, v)
                    && hit == solid
                {
                    let point = Point3::new((u - cx) / self.camera.focal * z, (v - cy) / self.camera.focal * z, z);
                    points.push(self.camera.world_from_optical * point);
                }
            }
        }
        points
    }
}

impl Rendering {
    pub fn mask(&self, solid: usize) -> Mask {
        let data: Vec<u8> = self.hits.iter().map(|hit| u8::from(hit.is_some_and(|hit| hit.1 == solid))).collect();
        Mask::from_data(self.width as u32, self.height as u32, &data).unwrap()
    }

    /// Returns the depth as a sensor returns it, in metres.
    pub fn sensed(&self, sensor: Sensor) -> DepthImage {
        let mut random = Random(sensor.seed.wrapping_mul(2) | 1);
        let metres = self.hits.iter().enumerate().map(|(i, hit)| {
            let mut z = hit.map_or(f64::NAN, |hit| hit.0);
            if sensor.flying {
                let (near, far) = self.depths_around(i % self.width, i / self.width);
                if far - near > 0.03 * near {
                    z = near + random.uniform() * (far - near);
                }
            }
            if sensor.noise > 0.0 {
                z += random.normal() * sensor.noise * z * z;
            }
            if sensor.step > 0.0 {
                z = (z / sensor.step).round() * sensor.step;
            }
            if sensor.holes > 0.0 && random.uniform() < sensor.holes {
                z = f64::NAN;
            }
            z as f32
        });
        let metres: Vec<f32> = metres.collect();
        DepthImage::from_metres(self.width as u32, self.height as u32, &metres).unwrap()
    }

    /// Returns the least and the largest depth of a pixel and its eight neighbours.
    fn depths_around(&self, x: usize, y: usize) -> (f64, f64) {
        let (mut near, mut far) = (f64::INFINITY, 0.0_f64);
        for y in y.saturating_sub(1)..=(y + 1).min(self.height - 1) {
            let row = &self.hits[y * self.width..][..self.width];
            for (z, _) in row[x.saturating_sub(1)..=(x + 1).min(self.width - 1)].iter().flatten() {
                (near, far) = (near.min(*z), far.max(*z));
            }
        }
        (near, far)
    }
}

/// A generator of random numbers (xorshift64*), for the same scenes on every machine.
pub struct Random(pub u64);

impl Random {
    /// Returns a number in 0..1.
    pub fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a number of the normal distribution.
    pub fn normal(&mut self) -> f64 {
        let (a, b) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}
