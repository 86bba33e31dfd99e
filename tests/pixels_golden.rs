//! Pixels against the reference implementations: Pillow, torchvision, SAM, OpenCV. `export/golden_pixels.py` writes the
//! golden files. `cargo test --test pixels_golden -- --nocapture` prints the differences.

use std::path::{Path, PathBuf};

use promptseg::pixels::{
    Geometry, InputSpec, Mask, Preprocessor, RawImage, Resize, coco_counts, coco_string, decode_compressed, decode_raw,
    mask_from_low_res, upscale_logits,
};
use safetensors::SafeTensors;
use serde::Deserialize;

const SAM_MEAN: [f32; 3] = [123.675, 116.28, 103.53];
const SAM_STD: [f32; 3] = [58.395, 57.12, 57.375];

#[derive(Deserialize)]
struct Cases {
    samples: usize,
    stride: usize,
    inputs: Vec<InputCase>,
    masks: Vec<MaskCase>,
    coordinates: Vec<CoordinateCase>,
    encodings: Vec<EncodingCase>,
}

#[derive(Deserialize)]
struct InputCase {
    image: String,
    resize: Resize,
    side: u32,
    key: String,
}

#[derive(Deserialize)]
struct MaskCase {
    key: String,
    low: String,
    low_side: usize,
    side: u32,
    resize: Resize,
    width: u32,
    height: u32,
    picture: String,
    area: u32,
    r#box: [u32; 4],
    stability: f32,
}

#[derive(Deserialize)]
struct CoordinateCase {
    image: [u32; 2],
    side: u32,
    point: [f32; 2],
    model: [f64; 2],
}

#[derive(Deserialize)]
struct EncodingCase {
    encoding: String,
    width: u32,
    height: u32,
    /// Width of the border that is not compared, in pixels.
    border: u32,
}

struct Golden {
    cases: Cases,
    values: Vec<u8>,
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pixels").join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

impl Golden {
    fn load() -> Self {
        Golden { cases: serde_json::from_slice(&read("cases.json")).unwrap(), values: read("values.safetensors") }
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        SafeTensors::deserialize(&self.values).unwrap().tensor(key).unwrap().data().to_vec()
    }

    fn floats(&self, key: &str) -> Vec<f32> {
        self.bytes(key).as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    /// Reads low-resolution logits, which are stored as multiples of 1/1024.
    fn logits(&self, key: &str) -> Vec<f32> {
        let read = |b: &[u8; 2]| f32::from(i16::from_le_bytes(*b)) / 1024.0;
        self.bytes(key).as_chunks::<2>().0.iter().map(read).collect()
    }

    /// Returns our values at the sampled positions, each with its position.
    fn sampled(&self, ours: &[f32]) -> Vec<(usize, f32)> {
        (0..self.cases.samples).map(|i| i * self.cases.stride % ours.len()).map(|at| (at, ours[at])).collect()
    }
}

#[test]
fn letterbox_equals_sam_within_a_thousandth_of_a_level() {
    let golden = Golden::load();
    let (mut all, mut worst) = (0, 0.0f32);
    for case in golden.cases.inputs.iter().filter(|c| c.resize == Resize::Letterbox) {
        let ours = preprocess(case, SAM_MEAN, SAM_STD);
        let plane = (case.side * case.side) as usize;
        for ((at, value), expected) in golden.sampled(&ours).into_iter().zip(golden.floats(&case.key)) {
            let levels = (value - expected).abs() * SAM_STD[at / plane];
            assert!(levels < 1e-3, "{}: {value} against {expected} at {at}", case.key);
            all += 1;
            worst = worst.max(levels);
        }
    }
    println!("letterbox: {all} values, worst {worst:.4} levels");
    assert!(all > 20_000, "only {all} values");
}

#[test]
fn stretch_equals_sam_2() {
    let golden = Golden::load();
    let (mean, std) = ([0.485, 0.456, 0.406f32].map(|v| v * 255.0), [0.229, 0.224, 0.225f32].map(|v| v * 255.0));
    let (mut all, mut worst) = (0, 0.0f32);
    for case in golden.cases.inputs.iter().filter(|c| c.resize == Resize::Stretch) {
        let ours = preprocess(case, mean, std);
        for ((at, value), expected) in golden.sampled(&ours).into_iter().zip(golden.floats(&case.key)) {
            let difference = (value - expected).abs();
            assert!(difference < 1e-4, "{}: {value} against {expected} at {at}", case.key);
            all += 1;
            worst = worst.max(difference);
        }
    }
    println!("stretch: {all} values, worst difference {worst:e}");
    assert!(all > 20_000);
}

fn preprocess(case: &InputCase, mean: [f32; 3], std: [f32; 3]) -> Vec<f32> {
    let image = decode_compressed(&read(&case.image), "png").unwrap();
    let mut out = vec![f32::NAN; 3 * (case.side * case.side) as usize];
    let spec = InputSpec { side: case.side, resize: case.resize, mean, std };
    Preprocessor::new(spec).run(&image, &mut out).unwrap();
    out
}

#[test]
fn masks_equal_the_reference() {
    let golden = Golden::load();
    let (mut worst, mut agreement, mut stability) = (0.0f32, 1.0f64, 0.0f32);
    for case in &golden.cases.masks {
        let low = golden.logits(&case.low);
        let geometry = Geometry::new(case.width, case.height, case.side, case.resize);
        let full = upscale_logits(&low, case.low_side, &geometry);
        for ((at, value), expected) in golden.sampled(&full).into_iter().zip(golden.floats(&case.key)) {
            assert!((value - expected).abs() < 1e-4, "{}: {value} against {expected} at {at}", case.key);
            worst = worst.max((value - expected).abs());
        }
        let mask = mask_from_low_res(&low, case.low_side, &geometry, 0.0, 1.0);
        let picture = image::load_from_memory(&read(&case.picture)).unwrap().into_luma8();
        let expected = Mask::from_data(case.width, case.height, &picture.into_raw()).unwrap();
        let pixels = full.len() as f64;
        let same = mask.full().iter().zip(expected.full()).filter(|(a, b)| **a == *b).count();
        let share = same as f64 / pixels;
        assert!(share >= 0.9999, "{}: {share} of the pixels agree", case.key);
        assert!(mask.area.abs_diff(case.area) as f64 <= 1e-4 * pixels);
        let b = mask.bbox.unwrap();
        assert_eq!([b.x, b.y, b.x + b.width, b.y + b.height], case.r#box, "{}", case.key);
        assert!((mask.stability - case.stability).abs() < 1e-4, "{}: stability {}", case.key, mask.stability);
        agreement = agreement.min(share);
        stability = stability.max((mask.stability - case.stability).abs());
    }
    println!(
        "masks: logits within {worst:e}, at least {agreement} of the pixels agree, stability within {stability:e}"
    );
}

#[test]
fn coordinates_equal_apply_coords() {
    for case in &Golden::load().cases.coordinates {
        let geometry = Geometry::new(case.image[0], case.image[1], case.side, Resize::Letterbox);
        let (x, y) = geometry.model_from_image(case.point[0], case.point[1]);
        for (ours, expected) in [x, y].into_iter().zip(case.model) {
            assert!((f64::from(ours) - expected).abs() < 1e-4, "{ours} against {expected}");
        }
    }
}

#[test]
fn encodings_equal_opencv() {
    let golden = Golden::load();
    for case in &golden.cases.encodings {
        let EncodingCase { encoding, width, height, border } = case;
        let data = golden.bytes(&format!("encoding/{encoding}/data"));
        let expected = golden.bytes(&format!("encoding/{encoding}/rgb"));
        let rows = if encoding.starts_with("nv") { height * 3 / 2 } else { *height };
        let step = data.len() as u32 / rows;
        let raw = RawImage { width: *width, height: *height, step, encoding, big_endian: false, data: &data };
        let ours = decode_raw(&raw).unwrap();
        let mut worst = 0;
        for (x, y, pixel) in ours.enumerate_pixels() {
            if x < *border || y < *border || x + border >= *width || y + border >= *height {
                continue;
            }
            for (channel, value) in pixel.0.into_iter().enumerate() {
                worst = worst.max(value.abs_diff(expected[((y * width + x) * 3) as usize + channel]));
            }
        }
        println!("{encoding}: within {worst} levels");
        assert!(worst <= 1, "{encoding}: {worst} levels off");
    }
}

#[derive(Deserialize)]
struct RleCase {
    /// Height, width.
    size: [u32; 2],
    /// Pixels row by row, eight in a byte from the highest bit on, in hexadecimal.
    pixels: String,
    counts: String,
    area: u32,
}

#[test]
fn coco_run_lengths_equal_pycocotools() {
    let text = read("coco_rle.json");
    let cases: Vec<RleCase> = serde_json::from_slice(&text).unwrap();
    assert!(cases.len() >= 25);
    for case in cases {
        let [height, width] = case.size;
        let byte = |i: usize| u8::from_str_radix(&case.pixels[2 * i..2 * i + 2], 16).unwrap();
        let pixels: Vec<u8> = (0..(height * width) as usize).map(|i| byte(i / 8) >> (7 - i % 8) & 1).collect();
        let mask = Mask::from_data(width, height, &pixels).unwrap();
        assert_eq!(mask.area, case.area);
        assert_eq!(coco_string(&coco_counts(&mask)), case.counts, "{height} x {width}");
    }
}
