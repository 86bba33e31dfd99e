//! Objects against NumPy. `export/golden_depth.py` writes the golden files.

use std::path::PathBuf;

use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, Translation3, UnitQuaternion, Vector3};
use promptseg::camera::{CameraInfo, CameraModel};
use promptseg::depth::{DepthImage, DepthSettings, DepthView, Object3d, Rays, TargetFrame};
use promptseg::pixels::Mask;
use serde::Deserialize;

/// Largest difference in metres.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    width: u32,
    height: u32,
    focal: f64,
    centre: [f64; 2],
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    rotation: [f64; 9],
    optical: Expected,
    upright: Option<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    points: usize,
    coverage: f64,
    noise: f64,
    median_depth: f64,
    centroid: [f64; 3],
    centre: [f64; 3],
    size: [f64; 3],
    yaw: f64,
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/depth").join(name)).unwrap()
}

/// Returns the largest difference, in metres.
fn difference(object: &Object3d, expected: &Expected) -> f64 {
    assert_eq!(object.surface.len(), expected.points);
    assert!((object.coverage - expected.coverage).abs() < 1e-9);
    let yaw = object.bbox.orientation.euler_angles().2;
    assert!((yaw - expected.yaw).abs() < 1e-6, "yaw {yaw}, expected {}", expected.yaw);
    let centroid = object.centroid - Point3::from(expected.centroid);
    let centre = object.bbox.centre - Point3::from(expected.centre);
    let size = object.bbox.size - Vector3::from(expected.size);
    let scalars = [object.noise - expected.noise, object.median_depth - expected.median_depth];
    let vectors = [centroid, centre, size].map(|v| v.abs().max());
    scalars.into_iter().map(f64::abs).chain(vectors).fold(0.0, f64::max)
}

#[test]
fn objects_equal_numpy() {
    let golden: Golden = serde_json::from_slice(&file("cases.json")).unwrap();
    let pixels = (golden.width * golden.height) as usize;
    let (depths, masks) = (file("depth.f32"), file("mask.u8"));
    let (f, [cx, cy]) = (golden.focal, golden.centre);
    let info = CameraInfo {
        width: golden.width,
        height: golden.height,
        k: [f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0],
        ..CameraInfo::default()
    };
    let rays = Rays::new(&CameraModel::new(&info, false).unwrap());
    let mut worst: f64 = 0.0;
    for (i, case) in golden.cases.iter().enumerate() {
        let metres = depths[i * pixels * 4..][..pixels * 4].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
        let metres: Vec<f32> = metres.collect();
        let depth = DepthImage::from_metres(golden.width, golden.height, &metres).unwrap();
        let inside = &masks[i * pixels..][..pixels];
        let mask = Mask::from_data(golden.width, golden.height, inside).unwrap();
        let certain: Vec<u8> = inside.iter().map(|v| u8::from(*v == 2)).collect();
        let certain = Mask::from_data(golden.width, golden.height, &certain).filter(|certain| certain.area > 0);
        let rotation = Rotation3::from_matrix_unchecked(Matrix3::from_row_slice(&case.rotation));
        let upright = Isometry3::from_parts(Translation3::identity(), UnitQuaternion::from_rotation_matrix(&rotation));
        let targets =
            [(TargetFrame::optical(), Some(&case.optical)), (TargetFrame::upright(upright), case.upright.as_ref())];
        for (target, expected) in targets {
            let Some(expected) = expected else { continue };
            let view = DepthView::new(&depth, &rays, target, DepthSettings::default()).unwrap();
            let difference = difference(&view.measure(&mask, certain.as_ref()).unwrap(), expected);
            println!("{:12} z up {:5}: {} points, {difference:.1e} m", case.name, target.z_up, expected.points);
            assert!(difference < TOLERANCE, "{}: {difference}", case.name);
            worst = worst.max(difference);
        }
    }
    assert!(golden.cases.len() >= 8);
    println!("largest difference {worst:.1e} m");
}
