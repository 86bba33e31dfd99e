//! The pixel code gives the same bits on every processor: SHA-256 of its outputs, stored in tests/golden/pixels/bits.json.
//! Written on x86-64 with AVX2; `./dev test --aarch64` compares them with NEON.
//! `PROMPTSEG_WRITE_BITS=1 cargo test --test pixels_bits` writes the file again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use promptseg::pixels::{
    Geometry, InputSpec, MaskUpscaler, OverlayObject, Preprocessor, RawImage, Resize, decode_compressed, decode_raw,
    draw_overlay, encode_jpeg,
};
use promptseg::prompt::Point;
use sha2::{Digest, Sha256};

const MEAN: [f32; 3] = [123.675, 116.28, 103.53];
const STD: [f32; 3] = [58.395, 57.12, 57.375];
/// Encodings of the raw images, with the rows of memory for each row of pixels in halves.
const ENCODINGS: [(&str, u32, u32); 10] = [
    ("rgb8", 3, 2),
    ("bgra8", 4, 2),
    ("mono16", 2, 2),
    ("rgb16", 6, 2),
    ("yuv422", 2, 2),
    ("yuv422_yuy2", 2, 2),
    ("nv12", 1, 3),
    ("nv24", 1, 6),
    ("bayer_rggb8", 1, 2),
    ("bayer_grbg16", 2, 2),
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Returns the files of a folder with an extension, in the order of their names.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(golden(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

/// Digests by the name of the output.
#[derive(Default)]
struct Digests(BTreeMap<String, String>);

impl Digests {
    fn add(&mut self, name: String, bytes: &[u8]) {
        let digest = Sha256::digest(bytes).iter().take(8).map(|b| format!("{b:02x}")).collect();
        assert!(self.0.insert(name.clone(), digest).is_none(), "{name} twice");
    }

    fn add_floats(&mut self, name: String, values: &[f32]) {
        self.add(name, &values.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect::<Vec<u8>>());
    }
}

/// Returns pseudo-random bytes: a linear congruential generator.
fn noise(count: usize, mut seed: u32) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn pixels_have_the_same_bits_on_every_processor() {
    let mut digests = Digests::default();
    inputs(&mut digests);
    masks(&mut digests);
    encodings(&mut digests);
    jpeg_files(&mut digests);
    overlay(&mut digests);
    let (path, count) = (golden("pixels/bits.json"), digests.0.len());
    if std::env::var_os("PROMPTSEG_WRITE_BITS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&digests.0).unwrap() + "\n").unwrap();
    }
    let stored: BTreeMap<String, String> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let differ: Vec<_> = digests.0.iter().filter(|(name, digest)| stored.get(*name) != Some(digest)).collect();
    assert!(differ.is_empty(), "{} of {count} outputs differ: {differ:?}", differ.len());
    assert!(count == stored.len() && count > 180, "{count} outputs, {} in the file", stored.len());
    println!("{count} outputs are equal to the bit on {}", std::env::consts::ARCH);
}

/// Encoder inputs: every golden picture, both ways of resizing, small and large sides.
fn inputs(digests: &mut Digests) {
    for path in files("pixels", "png") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name.starts_with("mask_") {
            continue;
        }
        let image = decode_compressed(&std::fs::read(&path).unwrap(), "png").unwrap();
        for (resize, side) in
            [Resize::Letterbox, Resize::Stretch].into_iter().flat_map(|r| [(r, 64), (r, 257), (r, 1024)])
        {
            let mut out = vec![f32::NAN; 3 * (side * side) as usize];
            Preprocessor::new(InputSpec { side, resize, mean: MEAN, std: STD }).run(&image, &mut out).unwrap();
            digests.add_floats(format!("input {name} {resize:?} {side}"), &out);
        }
    }
}

/// Logits and masks at the image's size, from smooth low-resolution logits.
fn masks(digests: &mut Digests) {
    for (low_side, resize) in [(64, Resize::Letterbox), (256, Resize::Letterbox), (128, Resize::Stretch)] {
        let noise = noise(low_side * low_side, 7);
        let low: Vec<f32> = noise
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let (x, y) = ((i % low_side) as f32 - 30.5, (i / low_side) as f32 - 25.25);
                f32::from(*v) / 64.0 + 12.0 - (x * x + y * y) / 64.0
            })
            .collect();
        for (width, height) in [(97, 31), (640, 480), (1280, 720)] {
            let upscaler = MaskUpscaler::new(low_side, &Geometry::new(width, height, 4 * low_side as u32, resize));
            let name = format!("{low_side} {resize:?} {width}x{height}");
            digests.add_floats(format!("logits {name}"), &upscaler.logits(&low));
            let mask = upscaler.mask(&low, 0.0, 1.0);
            digests.add(format!("mask {name}"), &mask.full());
            digests.add_floats(format!("stability {name}"), &[mask.stability]);
        }
    }
}

/// Raw images of each encoding.
fn encodings(digests: &mut Digests) {
    let (width, height) = (50, 34);
    for (encoding, bytes, halves) in ENCODINGS {
        let data = noise((width * height * bytes * halves / 2) as usize, 11);
        let raw = RawImage { width, height, step: width * bytes, encoding, big_endian: false, data: &data };
        digests.add(format!("encoding {encoding}"), decode_raw(&raw).unwrap().as_raw());
    }
}

/// JPEG files of every layout, and a picture that is written as JPEG.
fn jpeg_files(digests: &mut Digests) {
    for path in files("jpeg", "jpg") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let image = decode_compressed(&std::fs::read(&path).unwrap(), "jpeg").unwrap();
        digests.add(format!("jpeg {name}"), image.as_raw());
    }
    let photo = decode_compressed(&std::fs::read(golden("pixels/china_400x225.png")).unwrap(), "png").unwrap();
    digests.add("jpeg written".to_owned(), &encode_jpeg(&photo, 85).unwrap());
}

fn overlay(digests: &mut Digests) {
    let photo = decode_compressed(&std::fs::read(golden("pixels/china_400x225.png")).unwrap(), "png").unwrap();
    let (width, height) = photo.dimensions();
    let geometry = Geometry::new(width, height, 256, Resize::Letterbox);
    let low: Vec<f32> =
        (0..64 * 64).map(|i| 300.0 - ((i % 64 - 30) * (i % 64 - 30) + (i / 64 - 20) * (i / 64 - 20)) as f32).collect();
    let mask = MaskUpscaler::new(64, &geometry).mask(&low, 0.0, 1.0);
    let points = [Point::foreground(180.0, 110.0), Point::background(20.0, 20.0)];
    let object = OverlayObject { mask: &mask, id: 3, iou: 0.87, class_id: "temple", points: &points, bbox: None };
    digests.add("overlay".to_owned(), draw_overlay(&photo, &[object]).as_raw());
}
