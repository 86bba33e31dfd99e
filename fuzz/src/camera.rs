//! `CameraInfo`, projection of points in metres, and `/tf`.

use arbitrary::{Result, Unstructured};
use nalgebra::Point3;
use promptseg::camera::{CameraInfo, CameraModel, ImagePlane, RegionOfInterest, StampedTransform, Transforms};

use super::number;

pub fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let _ = if u.arbitrary().unwrap_or(false) { projection(u) } else { transforms(u) };
}

fn numbers<const N: usize>(u: &mut Unstructured) -> Result<[f64; N]> {
    let mut all = [0.0; N];
    for v in &mut all {
        *v = number(u)?;
    }
    Ok(all)
}

fn projection(mut u: Unstructured) -> Result<()> {
    let side = |u: &mut Unstructured| if u.ratio(15, 16)? { u.int_in_range(0..=64) } else { u.arbitrary() };
    let coefficients = u.int_in_range(0..=15)?;
    let (fx, fy) = (number(&mut u)?, number(&mut u)?);
    let mut info = CameraInfo {
        width: side(&mut u)?,
        height: side(&mut u)?,
        distortion_model: (*u.choose(&["", "plumb_bob", "rational_polynomial", "equidistant", "fisheye", "x"])?).into(),
        d: (0..coefficients).map(|_| number(&mut u)).collect::<Result<_>>()?,
        k: [fx, 0.0, 20.0, 0.0, fy, 20.0, 0.0, 0.0, 1.0],
        r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p: [fx, 0.0, 20.0, 0.0, 0.0, fy, 20.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        binning_x: u.int_in_range(0..=3)?,
        binning_y: u.int_in_range(0..=3)?,
        roi: RegionOfInterest {
            x_offset: side(&mut u)?,
            y_offset: side(&mut u)?,
            width: side(&mut u)?,
            height: side(&mut u)?,
            do_rectify: false,
        },
    };
    if u.ratio(1, 4)? {
        (info.k, info.r, info.p) = (numbers(&mut u)?, numbers(&mut u)?, numbers(&mut u)?);
    }
    for rectified in [false, true] {
        let Ok(camera) = CameraModel::new(&info, rectified) else { continue };
        let (width, height) = camera.image_size();
        let point = Point3::from(numbers::<3>(&mut u)?);
        if let Ok((x, y)) = camera.project(&point) {
            assert!(x >= -0.5 && x < f64::from(width), "{x} of {width}");
            assert!(y >= -0.5 && y < f64::from(height), "{y} of {height}");
        }
        if let Some(p) = camera.point_at(number(&mut u)?, number(&mut u)?, 1.0) {
            assert!(p.z.is_finite(), "{p:?}");
        }
        if width <= 64 && height <= 64 {
            let plane = ImagePlane::new(&camera, 8, 1.0);
            assert_eq!(plane.points().len(), plane.columns() as usize * plane.rows() as usize);
            assert!(!plane.spacing().is_nan());
        }
    }
    Ok(())
}

fn transforms(mut u: Unstructured) -> Result<()> {
    const NAMES: &[&str] = &["map", "/map", "odom", "base", "camera", "", "/", "\u{fffd}"];
    const TURNS: &[[f64; 4]] = &[[0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5]];
    let name = |u: &mut Unstructured| if u.ratio(31, 32)? { Ok((*u.choose(NAMES)?).into()) } else { u.arbitrary() };
    let stamp = |u: &mut Unstructured| match u.int_in_range(0..=7)? {
        0 => u.arbitrary::<i64>(),
        _ => Ok(u.int_in_range(0..=20)? * 1_000_000_000),
    };
    let mut tree = Transforms::new();
    while !u.is_empty() {
        if u.ratio(2, 3)? {
            let transform = StampedTransform {
                parent: name(&mut u)?,
                child: name(&mut u)?,
                stamp: stamp(&mut u)?,
                translation: numbers(&mut u)?,
                rotation: if u.ratio(7, 8)? { *u.choose(TURNS)? } else { numbers(&mut u)? },
            };
            let _ = tree.insert(&transform, u.arbitrary()?);
        } else {
            let (to, from): (String, String) = (name(&mut u)?, name(&mut u)?);
            let time = if u.arbitrary()? { Some(stamp(&mut u)?) } else { None };
            match tree.lookup(&to, &from, time) {
                // Huge translations may add up to infinity; a rotation stays normalised.
                Ok(pose) => assert!((pose.rotation.norm() - 1.0).abs() < 1e-6, "{pose:?}"),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
            let _ = tree.latest_common_time(&to, &from);
        }
        if u.ratio(1, 64)? {
            tree.clear();
        }
    }
    Ok(())
}
