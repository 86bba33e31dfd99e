//! `promptseg segment --depth`: objects in metres at the terminal.

mod scratch;

use std::path::Path;
use std::process::{Command, Output};

use image::{DynamicImage, ImageBuffer, Luma};
use scratch::{Scratch, assert_says, golden, refused, succeeded};
use serde_json::Value;

const INFO: &str = "image_width: 320
image_height: 213
distortion_model: plumb_bob
camera_matrix: {rows: 3, cols: 3, data: [300.0, 0, 160, 0, 310.0, 106, 0, 0, 1]}
distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [300.0, 0, 160, 0, 0, 310.0, 106, 0, 0, 0, 1, 0]}
";

const BOXES: [&str; 4] = ["--box", "60,20,280,200", "--box", "10,10,100,90"];
const DEPTH: [&str; 4] = ["--depth", "depth.png", "--camera-info", "camera.yaml"];

/// Runs `promptseg segment cat.png` with the built-in model.
fn segment(folder: &Path, arguments: &[&[&str]]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promptseg"));
    command.current_dir(folder).args(["segment", "cat.png", "--threads", "1"]);
    command.args(arguments.concat()).output().unwrap()
}

/// Creates a folder with a picture, a calibration, and the depth of a wall, in millimetres.
fn with_wall(name: &str, size: (u32, u32), depth: impl Fn(u32, u32) -> u16) -> Scratch {
    let scratch = Scratch::new(name);
    std::fs::copy(golden("pixels/chelsea_320x213.png"), scratch.file("cat.png")).unwrap();
    scratch.write("camera.yaml", INFO);
    let image = ImageBuffer::from_fn(size.0, size.1, |x, y| Luma([depth(x, y)]));
    DynamicImage::ImageLuma16(image).save(scratch.file("depth.png")).unwrap();
    scratch
}

fn json3d(scratch: &Scratch, boxes: &[&str]) -> Value {
    let stdout = succeeded(&segment(&scratch.0, &[boxes, &DEPTH, &["--format", "json3d"]]));
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    serde_json::from_str(&stdout).unwrap()
}

/// Points of a PLY file: position, colour, label.
fn vertices(file: &[u8]) -> Vec<([f32; 3], [u8; 3], u16)> {
    let end = file.windows(11).position(|w| w == b"end_header\n").unwrap() + 11;
    let header = std::str::from_utf8(&file[..end]).unwrap();
    let count: usize =
        header.lines().find_map(|l| l.strip_prefix("element vertex ")).and_then(|n| n.parse().ok()).unwrap();
    let properties: Vec<&str> = header.lines().filter_map(|l| l.strip_prefix("property ")).collect();
    let expected = ["float x", "float y", "float z", "uchar red", "uchar green", "uchar blue", "ushort label"];
    assert_eq!(properties, expected);
    assert_eq!(file.len() - end, count * 17);
    let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    let vertices = file[end..].chunks_exact(17).map(|v| {
        let position = [float(&v[..4]), float(&v[4..8]), float(&v[8..12])];
        (position, [v[12], v[13], v[14]], u16::from_le_bytes([v[15], v[16]]))
    });
    vertices.collect()
}

#[test]
fn objects_on_a_wall_are_described_in_metres_and_as_points() {
    let scratch = with_wall("wall", (320, 213), |_, _| 1500);
    let json = json3d(&scratch, &BOXES);
    let points: Vec<u64> = (0..2).map(|i| json["masks"][i]["metres"]["points"].as_u64().unwrap()).collect();
    for mask in json["masks"].as_array().unwrap() {
        let metres = &mask["metres"];
        let number = |field: &str, i: usize| metres[field][i].as_f64().unwrap();
        assert_eq!((metres["coverage"].as_f64(), metres["noise"].as_f64()), (Some(1.0), Some(0.0)));
        assert!((metres["median_depth"].as_f64().unwrap() - 1.5).abs() < 1e-6, "{metres}");
        assert!((number("centroid", 2) - 1.5).abs() < 1e-6 && number("size", 2).abs() < 1e-5, "{metres}");
        assert_eq!(metres["orientation"], serde_json::json!([0.0, 0.0, 0.0, 1.0]));
        // The box in metres is that in pixels, except thin parts, which are trimmed.
        let [_, _, width, height] = [0, 1, 2, 3].map(|i| mask["box"][i].as_f64().unwrap());
        assert!(number("size", 0) < width * 1.5 / 300.0 + 1e-3 && number("size", 0) > 0.5 * width * 1.5 / 300.0);
        assert!(number("size", 1) < height * 1.5 / 310.0 + 1e-3 && number("size", 1) > 0.5 * height * 1.5 / 310.0);
    }

    let message = succeeded(&segment(&scratch.0, &[&BOXES, &DEPTH, &["--format", "ply"]]));
    assert_eq!(message, "cat_cloud.ply\n");
    let vertices = vertices(&std::fs::read(scratch.file("cat_cloud.ply")).unwrap());
    let of = |label: u16| vertices.iter().filter(|v| v.2 == label).count() as u64;
    assert_eq!(vec![of(1), of(2)], points);
    let picture = image::open(scratch.file("cat.png")).unwrap().into_rgb8();
    for ([x, y, z], rgb, _) in &vertices {
        let (u, v) = (x / z * 300.0 + 160.0, y / z * 310.0 + 106.0);
        assert!((u - u.round()).abs() < 1e-3 && (v - v.round()).abs() < 1e-3 && (z - 1.5).abs() < 1e-6, "{x} {y} {z}");
        assert_eq!(picture.get_pixel(u.round() as u32, v.round() as u32).0, *rgb);
    }
}

#[test]
fn a_rectified_picture_is_projected_with_p() {
    let scratch = with_wall("rectified", (320, 213), |_, _| 1500);
    // A lens with distortion, and a projection that differs from the camera matrix.
    let info = INFO.replace("cols: 5, data: [0, 0,", "cols: 5, data: [-0.2, 0.05,");
    let p = "[250.0, 0, 150, 0, 0, 240.0, 100, 0, 0, 0, 1, 0]";
    scratch.write("camera.yaml", info.replace("[300.0, 0, 160, 0, 0, 310.0, 106, 0, 0, 0, 1, 0]", p));
    let points = |arguments: &[&str]| {
        let ply = ["--format", "ply", "--overwrite"];
        succeeded(&segment(&scratch.0, &[&BOXES, &DEPTH, &ply, arguments]));
        vertices(&std::fs::read(scratch.file("cat_cloud.ply")).unwrap())
    };
    let picture = image::open(scratch.file("cat.png")).unwrap().into_rgb8();
    // Returns the pixel of a point by P, and its distance from the middle of the pixel.
    let pixel = |[x, y, z]: [f32; 3]| {
        let (u, v) = (x / z * 250.0 + 150.0, y / z * 240.0 + 100.0);
        (u.round() as u32, v.round() as u32, (u - u.round()).abs().max((v - v.round()).abs()))
    };
    let rectified = points(&["--rectified"]);
    for (position, rgb, _) in &rectified {
        let (u, v, distance) = pixel(*position);
        assert!(distance < 1e-3, "{position:?}");
        assert_eq!(picture.get_pixel(u, v).0, *rgb);
    }
    let raw = points(&[]);
    assert_eq!(raw.len(), rectified.len());
    assert!(raw.iter().any(|(position, ..)| pixel(*position).2 > 0.1), "K and D give the same points as P");
}

#[test]
fn a_smaller_depth_image_gives_the_same_positions() {
    let full = json3d(&with_wall("full", (320, 213), |_, _| 2000), &BOXES[..2]);
    let small = with_wall("small", (160, 106), |_, _| 2000);
    let message = refused(&segment(&small.0, &[&BOXES, &DEPTH, &["--format", "json3d"]]), 1);
    assert_says(&message, &["depth of 160x106 pixels for an image of 320x213", "RegisterNode"]);
    let large = json3d(&with_wall("large", (640, 426), |_, _| 2000), &BOXES[..2]);
    assert_eq!(full["masks"][0]["metres"], large["masks"][0]["metres"]);
}

#[test]
fn an_object_without_depth_is_described_in_2d_with_the_reason() {
    let scratch = with_wall("holes", (320, 213), |_, _| 0);
    let json = json3d(&scratch, &BOXES[..2]);
    assert!(json["masks"][0]["area"].as_u64().unwrap() > 100);
    let reason = json["masks"][0]["metres"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("no pixel of the"), "{reason}");
    let message = refused(&segment(&scratch.0, &[&BOXES, &DEPTH, &["--format", "ply"]]), 1);
    assert_says(&message, &["cat.png: no object has a surface", "no pixel of the"]);
    assert!(!scratch.file("cat_cloud.ply").exists());
}

#[test]
fn arguments_and_files_that_do_not_fit_are_refused() {
    let scratch = with_wall("refused", (320, 213), |_, _| 1000);
    std::fs::copy(scratch.file("cat.png"), scratch.file("other.png")).unwrap();
    let ply = ["--format", "ply"];
    for (arguments, code, expected) in [
        (vec![&BOXES[..], &ply], 2, "give --depth and --camera-info"),
        (vec![&BOXES, &DEPTH], 2, "give --format ply or json3d"),
        (vec![&BOXES, &DEPTH[..2], &ply], 2, "--camera-info"),
        (vec![&BOXES, &["--rectified"]], 2, "--depth"),
        (vec![&BOXES, &DEPTH, &ply, &["--all"]], 2, "leave out --all"),
        (vec![&BOXES, &DEPTH, &ply, &["other.png"]], 2, "give one picture"),
        (vec![&BOXES, &DEPTH[2..], &ply, &["--depth", "cat.png"]], 1, "one channel of 16 bits"),
        (vec![&BOXES, &DEPTH[2..], &ply, &["--depth", "gone.png"]], 1, "gone.png: No such file"),
        (vec![&BOXES, &DEPTH[..2], &ply, &["--camera-info", "cat.png"]], 1, "cat.png: "),
        (vec![&BOXES, &DEPTH, &ply, &["--out", "depth.ply", "--overwrite"]], 0, ""),
    ] {
        let output = segment(&scratch.0, &arguments);
        if code == 0 {
            assert_eq!(succeeded(&output), "depth.ply\n");
        } else {
            assert_says(&refused(&output, code), &[expected]);
        }
    }
    scratch.write("other.yaml", INFO.replace("image_width: 320", "image_width: 640"));
    let arguments = [&BOXES[..], &DEPTH[..2], &["--camera-info", "other.yaml"], &["--format", "json3d"]];
    let message = refused(&segment(&scratch.0, &arguments), 1);
    assert_says(&message, &["the calibration is for 640x213 pixels, the picture has 320x213"]);
}
