//! Centroid, size and yaw of objects against analytic scenes.

use nalgebra::{Isometry3, Point3, Vector3};
use promptseg::depth::{DepthImage, DepthSettings, DepthView, Object3d, Rays, TargetFrame};

use crate::scene::{Camera, Scene, Sensor, Solid};

/// Accuracy of one object.
#[derive(Debug, Clone, Copy)]
pub struct Errors {
    /// Distance of the centroid, in metres, and the allowed distance.
    centroid: f64,
    allowed: f64,
    /// Largest difference of a side, as a fraction of the side.
    size: [f64; 3],
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

pub fn measure(scene: &Scene, sensor: Sensor, target: TargetFrame) -> Object3d {
    let camera = &scene.camera;
    let rendering = scene.render(sensor);
    let depth = DepthImage::from_metres(camera.width, camera.height, &rendering.metres).unwrap();
    let rays = Rays::new(&camera.model());
    let view = DepthView::new(&depth, &rays, target, DepthSettings::default()).unwrap();
    view.measure(&rendering.mask(camera, 0), None).unwrap()
}

fn errors(scene: &Scene, sensor: Sensor, yaw: Option<f64>) -> Errors {
    let object = measure(scene, sensor, TargetFrame::upright(scene.camera.world_from_optical));
    let visible = scene.visible_points(0, &scene.render(Sensor::default()).mask(&scene.camera, 0));
    let mean = visible.iter().map(|p| p.coords).sum::<Vector3<f64>>() / visible.len() as f64;
    let distance = (object.centroid.coords - scene.camera.world_from_optical.translation.vector).norm();
    let mut size = [0.0; 3];
    for (axis, error) in size.iter_mut().enumerate() {
        let direction = object.bbox.orientation * Vector3::ith(axis, 1.0);
        let along = visible.iter().map(|p| p.coords.dot(&direction));
        let (low, high) = along.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        *error = (object.bbox.size[axis] - (high - low)) / (high - low);
    }
    let measured_yaw = object.bbox.orientation.euler_angles().2.to_degrees();
    let yaw = yaw.map(|yaw| ((measured_yaw - yaw + 270.0).rem_euclid(180.0) - 90.0).abs());
    Errors { centroid: (object.centroid.coords - mean).norm(), allowed: 0.002 + 0.005 * distance, size, yaw }
}

#[test]
fn objects_are_measured_in_metres() {
    for (name, scene, yaw) in scenes() {
        for (sensor_name, sensor) in [
            ("exact", Sensor::default()),
            ("millimetres", Sensor { step: 0.001, ..Sensor::default() }),
            ("flying pixels", Sensor { flying: true, seed: 1, ..Sensor::default() }),
            ("holes", Sensor { holes: 0.1, seed: 3, ..Sensor::default() }),
        ] {
            let errors = errors(&scene, sensor, yaw);
            println!("{name:32} {sensor_name:14} {errors}");
            assert!(errors.centroid < errors.allowed, "{name}, {sensor_name}: {errors}");
            assert!(errors.yaw.is_none_or(|yaw| yaw < 1.0), "{name}, {sensor_name}: {errors}");
            let is_round = name.starts_with("sphere");
            assert!(is_round || errors.size.iter().all(|e| e.abs() < 0.04), "{name}, {sensor_name}: {errors}");
        }
    }
}
