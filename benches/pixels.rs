//! What pixels cost at 1280x720: `cargo bench --no-default-features --bench pixels`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use image::{Rgb, RgbImage};
use promptseg::pixels::{Geometry, InputSpec, MaskUpscaler, Preprocessor, Resize};

fn scene(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * y / 7) as u8, (x ^ y) as u8, (x / 3 + y / 2) as u8]))
}

fn preprocess(c: &mut Criterion) {
    let image = scene(1280, 720);
    for (resize, side) in [(Resize::Letterbox, 1024), (Resize::Letterbox, 256), (Resize::Stretch, 1024)] {
        let spec = InputSpec { side, resize, mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375] };
        let mut out = vec![0.0; 3 * (side * side) as usize];
        let mut preprocessor = Preprocessor::new(spec);
        c.bench_function(&format!("preprocess/{resize:?}/{side}"), |b| {
            b.iter(|| preprocessor.run(black_box(&image), &mut out).map(|_| ()))
        });
    }
}

/// Three candidates with the shape of an object each, as a decoder gives them.
fn candidates(side: usize) -> Vec<Vec<f32>> {
    let candidate = |radius: f32| {
        let value = |i: usize| {
            let (x, y) = ((i % side) as f32 / side as f32 - 0.4, (i / side) as f32 / side as f32 - 0.3);
            let wobble = 1.0 + 0.15 * (9.0 * y.atan2(x)).sin();
            ((radius * wobble - x.hypot(y)) * 80.0).clamp(-18.0, 14.0)
        };
        (0..side * side).map(value).collect()
    };
    [0.08, 0.16, 0.24].map(candidate).into()
}

fn masks(c: &mut Criterion) {
    for resize in [Resize::Letterbox, Resize::Stretch] {
        let geometry = Geometry::new(1280, 720, 1024, resize);
        let low = candidates(256);
        c.bench_function(&format!("masks/{resize:?}/3x256"), |b| {
            b.iter(|| {
                let upscaler = MaskUpscaler::new(256, &geometry);
                low.iter().map(|l| upscaler.mask(black_box(l), 0.0, 1.0).area).sum::<u32>()
            })
        });
    }
}

criterion_group!(benches, preprocess, masks);
criterion_main!(benches);
