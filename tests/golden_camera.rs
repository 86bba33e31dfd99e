//! Projection against OpenCV, transforms against NumPy. `export/golden_camera.py` writes the golden files.
//! `cargo test --test golden_camera -- --nocapture` prints the differences.

use std::path::PathBuf;

use nalgebra::{Matrix3x4, Point3};
use promptseg::camera::{CameraInfo, CameraModel, ImagePlane, ProjectError, RegionOfInterest};
use promptseg::camera::{StampedTransform, TransformError, Transforms};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Largest difference in pixels.
const PIXEL_TOLERANCE: f64 = 1e-3;
/// Largest difference in metres, and in the entries of rotation matrices. The files hold ten digits.
const TRANSFORM_TOLERANCE: f64 = 1e-8;

#[derive(Deserialize)]
struct Golden<T> {
    cases: Vec<T>,
}

#[derive(Deserialize)]
struct Camera {
    model: String,
    width: u32,
    height: u32,
    k: [f64; 9],
    d: Vec<f64>,
    r: [f64; 9],
    p: [f64; 12],
    binning: u32,
    roi: [u32; 4],
    points: Vec<f64>,
    folded: Vec<u8>,
    raw: Vec<f64>,
    rectified: Vec<f64>,
}

#[derive(Deserialize)]
struct Tree {
    edges: Vec<TreeEdge>,
    lookups: Vec<Lookup>,
}

#[derive(Deserialize)]
struct TreeEdge {
    child: usize,
    parent: usize,
    #[serde(rename = "static")]
    is_static: bool,
    samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    stamp: i64,
    translation: [f64; 3],
    rotation: [f64; 4],
}

#[derive(Deserialize)]
struct Lookup {
    target: usize,
    source: usize,
    time: Option<i64>,
    latest: Option<i64>,
    outside: Option<Vec<String>>,
    matrix: Option<[f64; 12]>,
}

fn golden<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/camera").join(name);
    serde_json::from_slice::<Golden<T>>(&std::fs::read(path).unwrap()).unwrap().cases
}

impl Camera {
    fn info(&self) -> CameraInfo {
        let [x_offset, y_offset, width, height] = self.roi;
        CameraInfo {
            width: self.width,
            height: self.height,
            distortion_model: self.model.clone(),
            d: self.d.clone(),
            k: self.k,
            r: self.r,
            p: self.p,
            binning_x: self.binning,
            binning_y: self.binning,
            roi: RegionOfInterest { x_offset, y_offset, width, height, do_rectify: width != 0 },
        }
    }

    fn points(&self) -> impl Iterator<Item = Point3<f64>> {
        self.points.chunks_exact(3).map(|p| Point3::new(p[0], p[1], p[2]))
    }
}

/// Returns the largest difference in pixels, over points inside the image and points outside, whose pixel is in the
/// error.
fn difference(model: &CameraModel, points: &[Point3<f64>], expected: &[f64], inside: &mut usize) -> f64 {
    let (width, height) = model.image_size();
    let mut worst: f64 = 0.0;
    for (point, pixel) in points.iter().zip(expected.chunks_exact(2)) {
        let (x, y) = match model.project(point) {
            Ok((x, y)) => {
                *inside += 1;
                assert!(x < f64::from(width) && y < f64::from(height), "{x} {y}");
                (x, y)
            }
            Err(ProjectError::OutsideImage { x, y, .. }) => (x, y),
            Err(e) => panic!("{point}: {e}"),
        };
        // Far outside the image the file has a relative precision only.
        let scale = (pixel[0].abs().max(pixel[1].abs()) / 1e4).max(1.0);
        worst = worst.max((x - pixel[0]).hypot(y - pixel[1]) / scale);
    }
    worst
}

#[test]
fn raw_pixels_equal_opencv() {
    let (mut inside, mut folded) = (0, 0);
    for camera in golden::<Camera>("cameras.json") {
        let model = CameraModel::new(&camera.info(), false).unwrap();
        let (mut points, mut expected) = (Vec::new(), Vec::new());
        for ((point, pixel), fold) in camera.points().zip(camera.raw.chunks_exact(2)).zip(&camera.folded) {
            if *fold == 1 {
                folded += 1;
                let result = model.project(&point);
                assert!(matches!(result, Err(ProjectError::BeyondDistortion { .. })), "{point}: {result:?}");
            } else {
                points.push(point);
                expected.extend_from_slice(pixel);
            }
        }
        let worst = difference(&model, &points, &expected, &mut inside);
        println!("{:20} {:2} coefficients {:3} points {worst:.1e} px", camera.model, camera.d.len(), points.len());
        assert!(worst < PIXEL_TOLERANCE, "{} {:?}: {worst} px", camera.model, camera.d);
    }
    println!("{inside} points inside the image, {folded} beyond the valid range of the distortion");
    assert!(inside > 200 && folded > 20, "{inside} {folded}");
}

#[test]
fn rectified_pixels_equal_opencv() {
    let (mut inside, mut overall): (usize, f64) = (0, 0.0);
    for camera in golden::<Camera>("cameras.json") {
        let model = CameraModel::new(&camera.info(), true).unwrap();
        let points: Vec<_> = camera.points().collect();
        let worst = difference(&model, &points, &camera.rectified, &mut inside);
        overall = overall.max(worst);
        assert!(worst < PIXEL_TOLERANCE, "{worst} px");
    }
    println!("rectified: {inside} points inside the image, {overall:.1e} px");
    assert!(inside > 150, "{inside}");
}

/// From OpenCV's pixels to rays, and from the rays to pixels.
#[test]
fn pixels_of_opencv_lead_back_to_their_rays() {
    let (mut rays, mut worst_pixel, mut worst_angle): (usize, f64, f64) = (0, 0.0, 0.0);
    for camera in golden::<Camera>("cameras.json") {
        for (rectified, pixels) in [(false, &camera.raw), (true, &camera.rectified)] {
            let model = CameraModel::new(&camera.info(), rectified).unwrap();
            for (point, pixel) in camera.points().zip(pixels.chunks_exact(2)) {
                if model.project(&point).is_err() {
                    continue;
                }
                // The point differs if the ray does not start in the optical centre (a baseline in P).
                let back = model.point_at(pixel[0], pixel[1], point.z).expect("a pixel that was projected has a ray");
                let (x, y) = model.project(&back).unwrap();
                worst_pixel = worst_pixel.max((x - pixel[0]).hypot(y - pixel[1]));
                worst_angle = worst_angle.max(back.coords.angle(&point.coords));
                rays += 1;
            }
        }
    }
    println!("{rays} rays: {worst_pixel:.1e} px, {worst_angle:.1e} rad");
    assert!(worst_pixel < PIXEL_TOLERANCE && worst_angle < 1e-6 && rays > 350, "{rays} {worst_pixel} {worst_angle}");
}

#[test]
fn every_point_of_the_image_plane_falls_on_its_pixel() {
    let (mut points, mut beyond, mut worst): (usize, usize, f64) = (0, 0, 0.0);
    for camera in golden::<Camera>("cameras.json") {
        for rectified in [false, true] {
            let model = CameraModel::new(&camera.info(), rectified).unwrap();
            let plane = ImagePlane::new(&model, 40, 1.5);
            let (width, height) = model.image_size();
            assert_eq!(plane.points().len(), 40 * plane.rows() as usize);
            assert!(
                (f64::from(plane.rows()) * f64::from(width) / 40.0 - f64::from(height)).abs() < f64::from(width) / 40.0
            );
            for (i, [x, y, z]) in plane.points().iter().map(|p| p.map(f64::from)).enumerate() {
                if x.is_nan() {
                    beyond += 1;
                    continue;
                }
                let pixel = plane.pixel(i as u32 % 40, i as u32 / 40);
                let (u, v) = model.project(&Point3::new(x, y, z)).unwrap();
                worst = worst.max((u - pixel.0).hypot(v - pixel.1));
                points += 1;
                assert!((z - 1.5).abs() < 1e-6);
            }
        }
    }
    println!("image plane: {points} points, {worst:.1e} px; {beyond} beyond the range of the lens");
    assert!(worst < PIXEL_TOLERANCE && beyond < points / 10, "{worst} {beyond} {points}");
}

fn name(frame: usize) -> String {
    format!("frame_{frame}")
}

#[test]
fn transforms_equal_numpy() {
    let (mut worst, mut compared, mut refused): (f64, _, _) = (0.0, 0, 0);
    for tree in golden::<Tree>("transforms.json") {
        let mut transforms = Transforms::new();
        for edge in &tree.edges {
            // The latest sample first: the order of arrival must not matter.
            for s in edge.samples.iter().rev() {
                let (parent, child) = (name(edge.parent), name(edge.child));
                let (stamp, translation, rotation) = (s.stamp, s.translation, s.rotation);
                let transform = StampedTransform { parent, child, stamp, translation, rotation };
                transforms.insert(&transform, edge.is_static).unwrap();
            }
        }
        for lookup in &tree.lookups {
            let (target, source) = (name(lookup.target), name(lookup.source));
            assert_eq!(transforms.latest_common_time(&target, &source), Ok(lookup.latest), "{target} {source}");
            let found = transforms.lookup(&target, &source, lookup.time);
            if let Some(ways) = &lookup.outside {
                let way = match found.unwrap_err() {
                    TransformError::Future { .. } => "future",
                    TransformError::Past { .. } => "past",
                    other => panic!("{target} {source}: {other}"),
                };
                assert!(ways.iter().any(|w| w == way), "{target} {source}: {way}, expected {ways:?}");
                refused += 1;
            } else {
                let found = found.unwrap().to_homogeneous();
                let expected = Matrix3x4::from_row_slice(&lookup.matrix.unwrap());
                let difference = (found.fixed_view::<3, 4>(0, 0) - expected).abs().max();
                assert!(difference < TRANSFORM_TOLERANCE, "{target} {source}: {difference}");
                worst = worst.max(difference);
                compared += 1;
            }
        }
    }
    println!("{compared} transforms, largest difference {worst:.1e}; {refused} outside the known interval");
    assert!(compared > 100 && refused > 20);
}

#[derive(Deserialize)]
struct Tf2Case {
    #[serde(rename = "what")]
    name: String,
    inserts: Vec<Tf2Insert>,
    lookups: Vec<Tf2Lookup>,
}

#[derive(Deserialize)]
struct Tf2Insert {
    parent: String,
    child: String,
    stamp: i64,
    #[serde(rename = "static")]
    is_static: bool,
    /// Translation and quaternion (x, y, z, w); null stands for NaN.
    values: [Option<f64>; 7],
    taken: bool,
}

#[derive(Deserialize)]
struct Tf2Lookup {
    target: String,
    source: String,
    time: i64,
    values: Option<[f64; 7]>,
    error: Option<String>,
}

/// Returns whether an error is of the kind that `export/golden_tf2.cpp` names. For a frame with a single transform, tf2
/// does not tell past from future.
fn same_error(error: &TransformError, expected: &str) -> bool {
    use TransformError::{Disconnected, Future, Loop, NothingYet, Past, UnknownFrame};
    match expected {
        "future" => matches!(error, Future { .. }),
        "past" => matches!(error, Past { .. }),
        "one" => matches!(error, Future { .. } | Past { .. }),
        "disconnected" => matches!(error, Disconnected { .. }),
        "loop" => matches!(error, Loop { .. }),
        "unknown" => matches!(error, UnknownFrame { .. } | NothingYet { .. }),
        other => panic!("{other}"),
    }
}

#[test]
fn transforms_and_errors_equal_tf2() {
    let (mut worst, mut compared, mut refused): (f64, _, _) = (0.0, 0, 0);
    for case in golden::<Tf2Case>("tf2.json") {
        let mut transforms = Transforms::new();
        for i in case.inserts {
            let [x, y, z, qx, qy, qz, qw] = i.values.map(|v| v.unwrap_or(f64::NAN));
            let (translation, rotation) = ([x, y, z], [qx, qy, qz, qw]);
            let transform =
                StampedTransform { parent: i.parent, child: i.child, stamp: i.stamp, translation, rotation };
            let taken = transforms.insert(&transform, i.is_static);
            assert_eq!(taken.is_ok(), i.taken, "{}: {transform:?}: {taken:?}", case.name);
        }
        for l in case.lookups {
            let at = format!("{}: {} in {} at {}", case.name, l.source, l.target, l.time);
            let found = transforms.lookup(&l.target, &l.source, Some(l.time));
            match (found, l.values, l.error) {
                (Ok(found), Some([x, y, z, qx, qy, qz, qw]), _) => {
                    let expected = nalgebra::Isometry3::from_parts(
                        nalgebra::Translation3::new(x, y, z),
                        nalgebra::UnitQuaternion::new_normalize(nalgebra::Quaternion::new(qw, qx, qy, qz)),
                    );
                    let difference = (found.to_homogeneous() - expected.to_homogeneous()).abs().max();
                    assert!(difference < TRANSFORM_TOLERANCE, "{at}: {difference}");
                    worst = worst.max(difference);
                    compared += 1;
                }
                (Err(error), _, Some(expected)) => {
                    assert!(same_error(&error, &expected), "{at}: {error:?}, expected {expected}");
                    refused += 1;
                }
                (found, values, error) => panic!("{at}: {found:?}, expected {values:?} {error:?}"),
            }
        }
    }
    println!("{compared} transforms of tf2, largest difference {worst:.1e}; {refused} errors");
    assert!(compared > 80 && refused > 50);
}
