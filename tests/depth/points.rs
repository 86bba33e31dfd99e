//! Points against the formula of depth_image_proc, and clouds made of them.

use image::{Rgb, RgbImage};
use nalgebra::{Isometry3, Point3, Vector3};
use promptseg::camera::{CameraInfo, CameraModel};
use promptseg::depth::{
    Cloud, CloudLayout, DepthImage, DepthSettings, DepthView, LabelledSurface, NoSurface, Object3d, OrientedBox, Rays,
    TargetFrame,
};
use promptseg::pixels::Mask;

const SIZE: (u32, u32) = (161, 90);

fn info() -> CameraInfo {
    CameraInfo {
        width: SIZE.0,
        height: SIZE.1,
        distortion_model: "plumb_bob".into(),
        k: [151.3, 0.0, 83.4, 0.0, 149.2, 41.7, 0.0, 0.0, 1.0],
        p: [150.0, 0.0, 81.25, 0.0, 0.0, 148.5, 43.5, 0.0, 0.0, 0.0, 1.0, 0.0],
        ..CameraInfo::default()
    }
}

fn mask(inside: impl Fn(u32, u32) -> bool) -> Mask {
    let data: Vec<u8> = (0..SIZE.0 * SIZE.1).map(|i| u8::from(inside(i % SIZE.0, i / SIZE.0))).collect();
    Mask::from_data(SIZE.0, SIZE.1, &data).unwrap()
}

/// Millimetres of a wavy surface.
fn millimetres(x: u32, y: u32) -> u16 {
    (900.0 + 60.0 * (f64::from(x) * 0.05).sin() + 2.0 * f64::from(y)) as u16
}

fn depth() -> DepthImage {
    let values: Vec<u16> = (0..SIZE.0 * SIZE.1).map(|i| millimetres(i % SIZE.0, i / SIZE.0)).collect();
    DepthImage::from_millimetres(SIZE.0, SIZE.1, &values).unwrap()
}

fn measure(camera: &CameraModel, depth: &DepthImage, mask: &Mask) -> Result<Object3d, NoSurface> {
    let rays = Rays::new(camera);
    DepthView::new(depth, &rays, TargetFrame::optical(), DepthSettings::default()).unwrap().measure(mask, None)
}

#[test]
fn points_equal_depth_image_proc() {
    let object =
        measure(&CameraModel::new(&info(), true).unwrap(), &depth(), &mask(|x, y| x > 2 && y > 3 && x + y < 220))
            .unwrap();
    let p = info().p;
    // depth_image_proc/conversions.hpp, `convertDepth`, for uint16.
    let (center_x, center_y) = (p[2] as f32, p[6] as f32);
    let (constant_x, constant_y) = ((0.001 / p[0]) as f32, (0.001 / p[5]) as f32);
    let mut count = 0;
    for ((u, v), [x, y, z]) in object.surface.pixels().zip(object.surface.points()) {
        let depth = f32::from(millimetres(u, v));
        let expected =
            [(u as f32 - center_x) * depth * constant_x, (v as f32 - center_y) * depth * constant_y, depth * 0.001];
        let difference = expected.iter().zip([x, y, z]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-6, "pixel ({u}, {v}): ({x}, {y}, {z}), expected {expected:?}");
        count += 1;
    }
    assert!(count > 10_000);
}

#[test]
fn points_of_a_lens_with_distortion_project_to_their_pixels() {
    let info = CameraInfo { d: vec![-0.3, 0.08, 0.001, -0.002, 0.0], ..info() };
    let camera = CameraModel::new(&info, false).unwrap();
    let object = measure(&camera, &depth(), &mask(|_, _| true)).unwrap();
    let mut worst: f64 = 0.0;
    for ((u, v), point) in object.surface.pixels().zip(object.surface.points()) {
        let (x, y) = camera.project(&Point3::from(point).cast()).unwrap_or_else(|e| panic!("({u}, {v}): {e}"));
        worst = worst.max((x - f64::from(u)).hypot(y - f64::from(v)));
    }
    println!("lens with distortion: {worst:.3} px");
    // Rays are interpolated across eight pixels, a large angle at this focal length of 151 pixels: the error falls with its
    // inverse.
    assert!(worst < 0.15 && object.surface.len() > 14_000, "{worst} px, {} points", object.surface.len());
}

#[test]
fn an_object_without_a_surface_has_a_reason() {
    let camera = CameraModel::new(&info(), true).unwrap();
    let reason = |depth: &DepthImage, mask: &Mask| measure(&camera, depth, mask).unwrap_err();
    let none = DepthImage::from_metres(SIZE.0, SIZE.1, &vec![f32::NAN; (SIZE.0 * SIZE.1) as usize]).unwrap();
    let block = mask(|x, y| (40..60).contains(&x) && (40..60).contains(&y));
    assert_eq!(reason(&depth(), &Mask::empty(SIZE.0, SIZE.1)), NoSurface::EmptyMask);
    assert_eq!(reason(&none, &block), NoSurface::NoDepth { pixels: 400 });
    let small = mask(|x, y| (40..44).contains(&x) && (40..44).contains(&y));
    let expected = NoSurface::TooFewPoints { found: 4, valid: 16, pixels: 16, expected: 16 };
    assert_eq!(reason(&depth(), &small), expected);
    assert!(expected.to_string().starts_with("4 pixels are left of the 16 in the mask"), "{expected}");
    assert!(matches!(reason(&depth(), &Mask::empty(9, 9)), NoSurface::MaskSize { width: 9, depth_width: 161, .. }));
}

#[test]
fn the_certain_part_of_a_mask_is_measured_and_a_part_that_is_too_small_is_not() {
    let rays = Rays::new(&CameraModel::new(&info(), true).unwrap());
    let (depth, whole) = (depth(), mask(|x, y| (20..120).contains(&x) && (10..80).contains(&y)));
    let view = DepthView::new(&depth, &rays, TargetFrame::optical(), DepthSettings::default()).unwrap();
    let certain = mask(|x, y| (23..130).contains(&x) && (5..77).contains(&y));
    let object = view.measure(&whole, Some(&certain)).unwrap();
    let pixels: Vec<(u32, u32)> = object.surface.pixels().collect();
    assert_eq!((pixels.len(), pixels[0], pixels[pixels.len() - 1]), (97 * 67, (23, 10), (119, 76)));
    // The box reaches to the border of the whole mask nevertheless.
    let eroded = view.measure(&whole, None).unwrap();
    assert!((object.bbox.size - eroded.bbox.size).abs().max() < 0.01, "{} {}", object.bbox.size, eroded.bbox.size);
    assert_eq!(eroded.surface.len(), 98 * 68);
    for useless in [Mask::empty(SIZE.0, SIZE.1), Mask::empty(3, 3), mask(|x, y| x < 3 && y < 3)] {
        assert_eq!(view.measure(&whole, Some(&useless)).unwrap(), eroded);
    }
}

#[test]
fn a_wider_border_changes_the_points_and_not_the_box() {
    let rays = Rays::new(&CameraModel::new(&info(), true).unwrap());
    let depth = DepthImage::from_metres(SIZE.0, SIZE.1, &vec![1.0; (SIZE.0 * SIZE.1) as usize]).unwrap();
    let block = mask(|x, y| (20..120).contains(&x) && (10..80).contains(&y));
    let boxes = [0, 1, 3].map(|border| {
        let settings = DepthSettings { border, ..DepthSettings::default() };
        let view = DepthView::new(&depth, &rays, TargetFrame::optical(), settings).unwrap();
        let object = view.measure(&block, None).unwrap();
        assert_eq!(object.surface.len() as u32, (100 - 2 * border) * (70 - 2 * border));
        object.bbox
    });
    for other in &boxes[1..] {
        assert!((other.size - boxes[0].size).abs().max() < 1e-5, "{} {}", other.size, boxes[0].size);
        assert!((other.centre - boxes[0].centre).norm() < 1e-5);
    }
    // A quarter of a pixel beyond the outermost centres on each side.
    assert!((boxes[0].size.x - 99.5 / 150.0).abs() < 1e-5 && (boxes[0].size.y - 69.5 / 148.5).abs() < 1e-5);
}

#[test]
fn the_border_of_the_image_is_no_border_of_the_object() {
    let camera = CameraModel::new(&info(), true).unwrap();
    let object = measure(&camera, &depth(), &mask(|x, _| x < 50)).unwrap();
    assert_eq!(object.surface.len() as u32, 49 * SIZE.1);
    assert_eq!(object.coverage, 1.0);
}

#[test]
fn clouds_are_organised_or_dense_and_carry_labels_and_colours() {
    let camera = CameraModel::new(&info(), true).unwrap();
    let large = measure(&camera, &depth(), &mask(|x, y| (10..110).contains(&x) && (10..80).contains(&y))).unwrap();
    let small = measure(&camera, &depth(), &mask(|x, y| (30..60).contains(&x) && (30..60).contains(&y))).unwrap();
    let image = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([x as u8, y as u8, 7]));
    let surface = |label: u16, object: &'static Object3d| LabelledSurface { label, surface: &object.surface };
    let (large, small): (&'static Object3d, &'static Object3d) =
        (Box::leak(Box::new(large)), Box::leak(Box::new(small)));
    let objects = [surface(3, large), surface(9, small)];
    let shift = Isometry3::translation(1.0, 2.0, 3.0);

    let cloud = Cloud::new(&objects, &image, &shift, CloudLayout::Organised);
    assert_eq!((cloud.width, cloud.height, cloud.is_dense, cloud.points.len()), (SIZE.0, SIZE.1, false, 161 * 90));
    let count = |cloud: &Cloud, label: u16| cloud.points.iter().filter(|p| p.label == label).count();
    // The smaller object covers the larger one.
    assert_eq!((count(&cloud, 9), count(&cloud, 3)), (28 * 28, 98 * 68 - 28 * 28));
    assert!(cloud.points[0].position[0].is_nan());
    for ((u, v), point) in small.surface.pixels().zip(small.surface.points()) {
        let in_cloud = cloud.points[(v * SIZE.0 + u) as usize];
        assert_eq!(in_cloud.rgb, [u as u8, v as u8, 7]);
        for (axis, shift) in [1.0, 2.0, 3.0].into_iter().enumerate() {
            assert!((in_cloud.position[axis] - point[axis] - shift).abs() < 1e-6);
        }
    }

    let dense = Cloud::new(&objects, &image, &shift, CloudLayout::Dense { voxel: 0.0 });
    assert_eq!((dense.width, dense.height, dense.is_dense), ((98 * 68 + 28 * 28) as u32, 1, true));
    let bytes = dense.to_bytes();
    assert_eq!(bytes.len(), dense.points.len() * Cloud::point_step() as usize);
    let float = |at: usize| f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!([float(20), float(24), float(28)], dense.points[1].position);
    // rgb is 0x00RRGGBB, label follows.
    let [r, g, b] = dense.points[1].rgb;
    assert_eq!(bytes[32..40], [b, g, r, 0, 3, 0, 0, 0]);

    let voxels = Cloud::new(&objects, &image, &shift, CloudLayout::Dense { voxel: 0.05 });
    assert!(voxels.points.len() < dense.points.len() / 10 && count(&voxels, 9) > 4 && voxels.width > 0);
    let cube = |p: [f32; 3]| p.map(|v| (v / 0.05).floor() as i32);
    let mut cubes: Vec<_> = voxels.points.iter().map(|p| (p.label, cube(p.position))).collect();
    cubes.sort_unstable();
    cubes.dedup();
    assert_eq!(cubes.len(), voxels.points.len(), "one point for each cube and object");
}

#[test]
fn a_measured_box_is_a_box_in_pixels() {
    let camera = CameraModel::new(&info(), true).unwrap();
    let projected = |pose: Isometry3<f64>, side: f64| {
        let bbox = OrientedBox {
            centre: Point3::origin(),
            orientation: nalgebra::UnitQuaternion::identity(),
            size: Vector3::repeat(side),
        };
        let bbox = bbox.transformed(&pose);
        camera.project_box(&Isometry3::from_parts(bbox.centre.coords.into(), bbox.orientation), &bbox.size)
    };
    // The near face of a cube of 0.2 m at 1 m, straight ahead. Whole numbers are the centres of pixels.
    let found = projected(Isometry3::translation(0.0, 0.0, 1.1), 0.2).unwrap();
    let expected = [81.25 - 15.0, 43.5 - 14.85, 81.25 + 15.0, 43.5 + 14.85];
    for (found, expected) in [found.x_min, found.y_min, found.x_max, found.y_max].into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }
    // A box that leads behind the camera fills the image; boxes beside and behind the camera are refused.
    let around = projected(Isometry3::translation(0.0, 0.0, 0.4), 1.0).unwrap();
    assert_eq!([around.x_min, around.y_min, around.x_max, around.y_max], [-0.5, -0.5, 160.5, 89.5]);
    let refused = |x, z| projected(Isometry3::translation(x, 0.0, z), 0.2).unwrap_err().to_string();
    assert!(refused(5.0, 1.0).contains("the camera does not see it"), "{}", refused(5.0, 1.0));
    assert!(refused(0.0, -2.0).contains("not in front of the camera"), "{}", refused(0.0, -2.0));
}
