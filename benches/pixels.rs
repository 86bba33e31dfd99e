//! Time of preprocessing and of masks at 1280x720: `cargo bench --no-default-features --bench pixels`. `./dev bench
//! --peers` measures the same cases beside the reference implementations; `peers.py` then drives this program with
//! `--serve`.

use std::hint::black_box;
use std::io::BufRead;
use std::time::Instant;

use criterion::Criterion;
use image::{Rgb, RgbImage};
use promptseg::pixels::{
    Geometry, InputSpec, Mask, MaskUpscaler, Preprocessor, Resize, decode_compressed, encode_jpeg,
};

/// A measured case.
trait Case {
    fn run(&mut self);
    /// Returns the result of the last run, for the comparison with another implementation.
    fn result(&self) -> Vec<u8>;
}

struct Input {
    image: RgbImage,
    preprocessor: Preprocessor,
    out: Vec<f32>,
}

impl Input {
    fn new(resize: Resize, side: u32) -> Self {
        let image = RgbImage::from_fn(1280, 720, |x, y| Rgb([(x * y / 7) as u8, (x ^ y) as u8, (x / 3 + y / 2) as u8]));
        let spec = InputSpec { side, resize, mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375] };
        Input { image, preprocessor: Preprocessor::new(spec), out: vec![0.0; 3 * (side * side) as usize] }
    }
}

impl Case for Input {
    fn run(&mut self) {
        self.preprocessor.run(black_box(&self.image), &mut self.out).expect("an image");
    }

    fn result(&self) -> Vec<u8> {
        self.out.iter().flat_map(|v| v.to_le_bytes()).collect()
    }
}

/// The picture of an encoder that takes levels in 8 bits.
struct Levels {
    input: Input,
    out: Vec<u8>,
}

impl Levels {
    fn new(side: u32) -> Self {
        Levels { input: Input::new(Resize::Letterbox, side), out: vec![0; 3 * (side * side) as usize] }
    }
}

impl Case for Levels {
    fn run(&mut self) {
        let Input { image, preprocessor, .. } = &mut self.input;
        preprocessor.levels(black_box(image), &mut self.out).expect("an image");
    }

    fn result(&self) -> Vec<u8> {
        self.out.clone()
    }
}

/// A JPEG file of a camera.
struct Jpeg {
    file: Vec<u8>,
    image: RgbImage,
}

impl Jpeg {
    fn new() -> Self {
        let smooth = |v: f32| (127.5 + 127.5 * v.sin()) as u8;
        let image = RgbImage::from_fn(1280, 720, |x, y| {
            let (x, y) = (x as f32 / 40.0, y as f32 / 30.0);
            Rgb([smooth(x + y.cos()), smooth(y * 1.3), smooth((x * y).sqrt() * 4.0)])
        });
        Jpeg { file: encode_jpeg(&image, 90).expect("an image"), image }
    }
}

impl Case for Jpeg {
    fn run(&mut self) {
        self.image = decode_compressed(black_box(&self.file), "jpeg").expect("a file");
    }

    fn result(&self) -> Vec<u8> {
        self.image.as_raw().clone()
    }
}

/// Three candidates of one object, from the decoder's logits to masks. Each run prepares the up-sampling again.
struct Masks {
    side: usize,
    geometry: Geometry,
    low: [Vec<f32>; 3],
    masks: Vec<Mask>,
}

impl Masks {
    fn new(resize: Resize, side: u32, low_side: usize, low: fn(usize, usize, usize) -> f32) -> Self {
        let geometry = Geometry::new(1280, 720, side, resize);
        let candidate = |n: usize| (0..low_side * low_side).map(|i| low(n, i, low_side)).collect();
        Masks { side: low_side, geometry, low: [0, 1, 2].map(candidate), masks: Vec::new() }
    }
}

impl Case for Masks {
    fn run(&mut self) {
        let upscaler = MaskUpscaler::new(self.side, &self.geometry);
        self.masks = self.low.iter().map(|low| upscaler.mask(black_box(low), 0.0, 1.0)).collect();
    }

    fn result(&self) -> Vec<u8> {
        self.masks.iter().flat_map(Mask::full).collect()
    }
}

/// Logits of an object in three sizes, like those of a decoder.
fn object(n: usize, i: usize, side: usize) -> f32 {
    let (x, y) = ((i % side) as f32 / side as f32 - 0.4, (i / side) as f32 / side as f32 - 0.3);
    let radius = [0.08, 0.16, 0.24][n] * (1.0 + 0.15 * (9.0 * y.atan2(x)).sin());
    ((radius - x.hypot(y)) * 80.0).clamp(-18.0, 14.0)
}

/// The worst case: each cell is at a border.
fn noise(n: usize, i: usize, _: usize) -> f32 {
    ((i + n).wrapping_mul(2_654_435_761) as u32 >> 16) as f32 / 6553.6 - 5.0
}

fn cases() -> Vec<(&'static str, Box<dyn Case>)> {
    use Resize::{Letterbox, Stretch};
    vec![
        ("jpeg/decode", Box::new(Jpeg::new())),
        ("preprocess/letterbox/1024", Box::new(Input::new(Letterbox, 1024))),
        ("preprocess/letterbox/256", Box::new(Input::new(Letterbox, 256))),
        ("preprocess/levels/1024", Box::new(Levels::new(1024))),
        ("preprocess/stretch/1024", Box::new(Input::new(Stretch, 1024))),
        ("masks/letterbox/3x256", Box::new(Masks::new(Letterbox, 1024, 256, object))),
        ("masks/letterbox/3x128", Box::new(Masks::new(Letterbox, 256, 128, object))),
        ("masks/stretch/3x256", Box::new(Masks::new(Stretch, 1024, 256, object))),
        ("masks/noise/3x256", Box::new(Masks::new(Letterbox, 1024, 256, noise))),
    ]
}

/// Answers each line of the standard input: `CASE RUNS` with the milliseconds of each run, `CASE save FILE` with
/// `saved`.
fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let mut cases = cases();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let case = words.first().and_then(|name| cases.iter_mut().find(|(case, _)| case == name));
        match (case, words.get(1..)) {
            (Some((_, case)), Some(["save", file])) => {
                case.run();
                std::fs::write(file, case.result())?;
                println!("saved");
            }
            (Some((_, case)), Some([runs])) => {
                let mut time = |_| {
                    let start = Instant::now();
                    case.run();
                    format!("{:.5}", start.elapsed().as_secs_f64() * 1e3)
                };
                println!("{}", (0..runs.parse()?).map(&mut time).collect::<Vec<_>>().join(" "));
            }
            _ => return Err(format!("`{line}` is neither `CASE RUNS` nor `CASE save FILE`").into()),
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().any(|arg| arg == "--serve") {
        return serve();
    }
    let mut criterion = Criterion::default().configure_from_args();
    for (name, mut case) in cases() {
        criterion.bench_function(name, |b| b.iter(|| case.run()));
    }
    criterion.final_summary();
    Ok(())
}
