//! Centroid, size and yaw of objects against analytic scenes.

use nalgebra::{Isometry3, Point3, Vector3};
use promptseg::depth::{DepthSettings, DepthView, Object3d, Rays, TargetFrame};
use promptseg::pixels::Mask;

use crate::scene::{Camera, Rendering, Scene, Sensor, Solid};

/// Accuracy of one object.
#[derive(Debug, Clone, Copy)]
pub struct Errors {
    /// Distance of the centroid, in metres, and the allowed distance.
    centroid: f64,
    allowed: f64,
    /// Difference of each side of the box, as a fraction of the side, and the sides in metres.
    size: [f64; 3],
    sides: [f64; 3],
    /// Degrees; none for round objects.
    yaw: Option<f64>,
}

impl std::fmt::Display for Errors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [x, y, z] = self.size.map(|e| e * 100.0);
        let (centroid, allowed) = (self.centroid * 1e3, self.allowed * 1e3);
        write!(f, "centroid {centroid:5.2} mm (allowed {allowed:4.1})  size {x:+5.1} {y:+5.1} {z:+5.1} %")?;
        self.yaw.map_or(Ok(()), |yaw| write!(f, "  yaw {yaw:.2}"))
    }
}

fn pose(x: f64, y: f64, z: f64, yaw_degrees: f64) -> Isometry3<f64> {
    Isometry3::new(Vector3::new(x, y, z), Vector3::z() * yaw_degrees.to_radians())
}

fn cuboid(x: f64, y: f64, yaw_degrees: f64, size: [f64; 3]) -> Solid {
    Solid::Cuboid { world_from_box: pose(x, y, size[2] / 2.0, yaw_degrees), size: Vector3::from(size) }
}

fn table() -> Solid {
    Solid::Plane { world_from_plane: Isometry3::identity() }
}

fn cylinder(x: f64, y: f64, radius: f64, height: f64) -> Solid {
    Solid::Cylinder { world_from_cylinder: pose(x, y, height / 2.0, 0.0), radius, height }
}

/// Cameras of both sizes at the same place.
fn cameras(position: [f64; 3], target: [f64; 3]) -> [Camera; 2] {
    [Camera::looking_at(640, 480, 525.0, position, target), Camera::looking_at(1280, 720, 920.0, position, target)]
}

/// Scenes with the measured solid first: name, scene, and the yaw of the solid.
fn scenes() -> Vec<(String, Scene, Option<f64>)> {
    let mut scenes = Vec::new();
    for camera in cameras([-0.9, 0.0, 0.7], [0.0, 0.0, 0.05]) {
        let mut add = |name: &str, yaw: Option<f64>, solids: Vec<Solid>| {
            scenes.push((
                format!("{name} {}x{}", camera.width, camera.height),
                Scene { camera: camera.clone(), solids },
                yaw,
            ));
        };
        for yaw in [-50.0, -20.0, 10.0, 90.0] {
            let solids = vec![cuboid(0.0, 0.05, yaw, [0.30, 0.18, 0.20]), table()];
            add(&format!("box at {yaw}"), Some(yaw), solids);
        }
        add("flat box", Some(25.0), vec![cuboid(0.1, -0.1, 25.0, [0.35, 0.25, 0.05]), table()]);
        add("sphere", None, vec![Solid::Sphere { centre: Point3::new(0.0, 0.0, 0.12), radius: 0.12 }, table()]);
        add("cylinder", None, vec![cylinder(0.0, 0.0, 0.09, 0.22), table()]);
        add(
            "cylinder behind a box",
            None,
            vec![cylinder(0.25, 0.0, 0.09, 0.30), cuboid(-0.1, 0.0, 0.0, [0.10, 0.30, 0.12]), table()],
        );
    }
    scenes
}

/// A rendered scene whose first solid is measured, with the true points of its visible surface.
struct Stage {
    name: String,
    camera: Camera,
    rays: Rays,
    rendering: Rendering,
    mask: Mask,
    visible: Vec<Point3<f64>>,
    yaw: Option<f64>,
    /// Width at which a side is seen that is too steep to be measured, in metres.
    steep: f64,
}

impl Stage {
    fn new((name, scene, yaw): (String, Scene, Option<f64>)) -> Stage {
        let rendering = scene.render();
        let mask = rendering.mask(0);
        let visible = scene.visible_points(0, &mask);
        let (rays, steep) = (Rays::new(&scene.camera.model()), steep_width(&scene.camera, &scene.solids[0]));
        Stage { name, rays, rendering, mask, visible, yaw, steep, camera: scene.camera }
    }

    /// Returns the frame of the world, whose z points up.
    fn world(&self) -> TargetFrame {
        TargetFrame::upright(self.camera.world_from_optical)
    }

    /// Measures the solid. Returns the point at which to grasp it too.
    fn measure(&self, sensor: Sensor, target: TargetFrame) -> (Object3d, Point3<f64>) {
        let depth = self.rendering.sensed(sensor);
        let view = DepthView::new(&depth, &self.rays, target, DepthSettings::default()).unwrap();
        let object = view.measure(&self.mask, None).unwrap();
        let top = view.top_point(&object);
        (object, top)
    }

    /// Returns the exact mask without a band along its border.
    fn certain(&self, band: i64) -> Mask {
        let (width, height) = (i64::from(self.mask.width), i64::from(self.mask.height));
        let inside = |x: i64, y: i64| x >= 0 && y >= 0 && self.mask.contains(x as u32, y as u32);
        let corners =
            [(-band, -band), (band, -band), (-band, band), (band, band), (0, -band), (0, band), (-band, 0), (band, 0)];
        let is_certain = |x: i64, y: i64| inside(x, y) && corners.iter().all(|(dx, dy)| inside(x + dx, y + dy));
        let data: Vec<u8> = (0..width * height).map(|i| u8::from(is_certain(i % width, i / width))).collect();
        Mask::from_data(self.mask.width, self.mask.height, &data).unwrap()
    }

    fn errors(&self, sensor: Sensor) -> Errors {
        self.errors_of(&self.measure(sensor, self.world()).0)
    }

    fn errors_of(&self, object: &Object3d) -> Errors {
        let mean = self.visible.iter().map(|p| p.coords).sum::<Vector3<f64>>() / self.visible.len() as f64;
        let distance = (object.centroid.coords - self.camera.world_from_optical.translation.vector).norm();
        let (mut size, mut sides) = ([0.0; 3], [0.0; 3]);
        for axis in 0..3 {
            let direction = object.bbox.orientation * Vector3::ith(axis, 1.0);
            let along = self.visible.iter().map(|p| p.coords.dot(&direction));
            let (low, high) = along.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
            sides[axis] = high - low;
            size[axis] = (object.bbox.size[axis] - sides[axis]) / sides[axis];
        }
        let measured_yaw = object.bbox.orientation.euler_angles().2.to_degrees();
        let yaw = self.yaw.map(|yaw| ((measured_yaw - yaw + 270.0).rem_euclid(180.0) - 90.0).abs());
        Errors { centroid: (object.centroid.coords - mean).norm(), allowed: 0.002 + 0.005 * distance, size, sides, yaw }
    }
}

/// Returns the width at which a camera sees the sides of a box that turn away by more than 80 degrees, in metres.
fn steep_width(camera: &Camera, solid: &Solid) -> f64 {
    let Solid::Cuboid { world_from_box, size } = solid else { return 0.0 };
    let eye = camera.world_from_optical.translation.vector;
    let width = |(axis, sign): (usize, f64)| {
        let normal = world_from_box.rotation * Vector3::ith(axis, sign);
        let ray = eye - world_from_box.translation.vector - normal * size[axis] / 2.0;
        let cosine = normal.dot(&ray) / ray.norm();
        if cosine > 0.0 && cosine < 80_f64.to_radians().cos() { size[1 - axis] * cosine } else { 0.0 }
    };
    [(0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0)].into_iter().map(width).sum()
}

/// Largest difference of a side: 2 %, and 2 mm for small sides. A side that turns away by more than 80 degrees is not measured;
/// its pixels count as a continuation of the face in front of it.
fn allowed_size(stage: &Stage, side: f64) -> f64 {
    (0.02 * side).max(0.002) + stage.steep
}

/// Largest difference of a side of a sphere with errors of the sensor at its limb, where a pixel spans up to a fifth of the
/// radius in depth.
fn allowed_at_limb(sensor: &str, side: f64) -> f64 {
    match sensor {
        "millimetres" | "flying pixels" => 0.08 * side,
        _ => 0.0,
    }
}

#[test]
fn noise_free_objects_are_where_they_are() {
    for stage in scenes().into_iter().map(Stage::new) {
        let name = &stage.name;
        for (sensor_name, sensor) in [
            ("exact", Sensor::default()),
            ("millimetres", Sensor { step: 0.001, ..Sensor::default() }),
            ("flying pixels", Sensor { flying: true, seed: 1, ..Sensor::default() }),
            ("holes", Sensor { holes: 0.1, seed: 3, ..Sensor::default() }),
        ] {
            let errors = stage.errors(sensor);
            println!("{name:32} {sensor_name:14} {errors}");
            assert!(errors.centroid < errors.allowed, "{name}, {sensor_name}: {errors}");
            assert!(errors.yaw.is_none_or(|yaw| yaw < 1.0), "{name}, {sensor_name}: {errors}");
            let at_limb = |side| if name.starts_with("sphere") { allowed_at_limb(sensor_name, side) } else { 0.0 };
            let allowed = |side| allowed_size(&stage, side).max(at_limb(side));
            let fits = |(error, side): (&f64, &f64)| error.abs() * side <= allowed(*side);
            assert!(errors.size.iter().zip(&errors.sides).all(fits), "{name}, {sensor_name}: {errors}");
        }
    }
}

#[test]
fn an_uncertain_band_does_not_shorten_an_object() {
    // The front of the flat box is 14 pixels high, and a sphere bends too much within five pixels.
    let is_wide = |stage: &Stage| !["sphere", "flat"].iter().any(|name| stage.name.starts_with(name));
    for stage in scenes().into_iter().map(Stage::new).filter(is_wide) {
        let depth = stage.rendering.sensed(Sensor::default());
        let view = DepthView::new(&depth, &stage.rays, stage.world(), DepthSettings::default()).unwrap();
        let object = view.measure(&stage.mask, Some(&stage.certain(5))).unwrap();
        let errors = stage.errors_of(&object);
        println!("{:32} {errors}", stage.name);
        let fits = |(error, side): (&f64, &f64)| error.abs() * side <= allowed_size(&stage, *side) + 0.01 * side;
        assert!(errors.size.iter().zip(&errors.sides).all(fits), "{}: {errors}", stage.name);
        assert!(errors.yaw.is_none_or(|yaw| yaw < 2.0), "{}: {errors}", stage.name);
    }
}

/// Prints the table of docs/depth.md.
#[test]
fn errors_grow_slowly_with_noise() {
    let boxes = scenes().into_iter().filter(|(name, _, yaw)| name.ends_with("640x480") && yaw.is_some());
    let stages: Vec<Stage> = boxes.map(Stage::new).collect();
    for noise in [0.0, 0.001, 0.002, 0.005, 0.010] {
        let (mut centroid, mut size, mut yaw): (f64, f64, f64) = (0.0, 0.0, 0.0);
        let (mut squares, mut count) = (0.0, 0.0);
        for stage in &stages {
            let name = &stage.name;
            for seed in 0..3 {
                let sensor = Sensor { noise, seed, step: 0.001, holes: 0.05, flying: true };
                let errors = stage.errors(sensor);
                assert!(errors.centroid < errors.allowed + noise, "{name} at {noise}: {errors}");
                centroid = centroid.max(errors.centroid);
                for (error, side) in errors.size.iter().zip(errors.sides) {
                    // Steps, holes and flying pixels at the same time.
                    let bound = allowed_size(stage, side) + 0.003 + 3.0 * noise;
                    assert!(error.abs() * side < bound, "{name} at {noise}: {errors}");
                    size = size.max(error.abs() * side);
                    (squares, count) = (squares + (error * side).powi(2), count + 1.0);
                }
                yaw = yaw.max(errors.yaw.unwrap_or(0.0));
            }
        }
        let rms = f64::sqrt(squares / count) * 1e3;
        let (noise, centroid, size) = (noise * 1e3, centroid * 1e3, size * 1e3);
        println!("| {noise:.0} mm | {centroid:.1} mm | {rms:.1} mm | {size:.1} mm | {yaw:.1} |");
        assert!(yaw < 1.0 + noise, "yaw {yaw} at {noise} mm");
    }
}

#[test]
fn a_plate_that_faces_the_camera_is_flat_in_the_optical_frame() {
    for camera in cameras([-1.2, 0.0, 0.3], [0.0, 0.0, 0.3]) {
        let solids =
            vec![Solid::Cuboid { world_from_box: pose(0.0, 0.03, 0.25, 0.0), size: Vector3::new(0.01, 0.31, 0.23) }];
        let stage = Stage::new(("plate".into(), Scene { camera, solids }, None));
        let (object, _) = stage.measure(Sensor::default(), TargetFrame::optical());
        let size = object.bbox.size;
        assert!((size.x / 0.31 - 1.0).abs() < 0.02 && (size.y / 0.23 - 1.0).abs() < 0.02 && size.z < 1e-4, "{size}");
        let expected = Point3::new(-0.03, 0.05, 1.195);
        assert!((object.bbox.centre - expected).norm() < 0.003, "{}", object.bbox.centre);
        assert!((object.centroid - expected).norm() < 0.003 && (object.median_depth - 1.195).abs() < 1e-5);
        assert!(object.bbox.orientation.angle() < 1e-9);
    }
}

#[test]
fn an_object_stays_where_it_is_when_the_camera_moves() {
    let solid = || cuboid(0.2, -0.1, 30.0, [0.30, 0.18, 0.20]);
    for position in [[-0.8, 0.0, 0.7], [-0.7, -0.6, 0.9], [0.0, 1.0, 0.8], [1.1, 0.4, 0.7]] {
        let camera = Camera::looking_at(640, 480, 525.0, position, [0.1, 0.0, 0.1]);
        let stage = Stage::new(("box".into(), Scene { camera, solids: vec![solid(), table()] }, None));
        let (object, top) = stage.measure(Sensor::default(), stage.world());
        let centre = object.bbox.centre - Point3::new(0.2, -0.1, 0.1);
        assert!(centre.norm() < 0.004, "{position:?}: {}", object.bbox.centre);
        assert!((top.z - 0.2).abs() < 0.002, "{position:?}: {top}");
        assert!((top - Point3::new(0.2, -0.1, 0.2)).norm() < 0.04, "{position:?}: {top}");
    }
}

/// The covariance must not be smaller than the errors are: a filter that trusts it would diverge.
#[test]
fn the_covariance_covers_the_errors() {
    let camera = Camera::looking_at(640, 480, 525.0, [-0.9, 0.0, 0.7], [0.0, 0.0, 0.05]);
    let solids = vec![cuboid(0.0, 0.05, 35.0, [0.30, 0.18, 0.20]), table()];
    let stage = Stage::new(("box".into(), Scene { camera, solids }, None));
    let measured = |sensor: Sensor| stage.measure(sensor, stage.world()).0;
    for noise in [0.0, 0.002, 0.010] {
        let truth = measured(Sensor::default()).centroid;
        let objects = (1..9).map(|seed| measured(Sensor { noise, seed, flying: true, ..Sensor::default() }));
        let distances = objects.map(|object| {
            let error = object.centroid - truth;
            assert!(object.covariance.symmetric_eigenvalues().min() > 0.0);
            error.dot(&(object.covariance.try_inverse().unwrap() * error))
        });
        let mean = distances.sum::<f64>() / 8.0;
        println!("noise {noise}: mean squared Mahalanobis distance {mean:.2}");
        assert!(mean < 3.0, "{mean}");
    }
}
