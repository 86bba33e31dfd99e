//! The fused, vectorised passes against the same arithmetic on one value after the other.

use image::Rgb;

use super::*;

const SPEC: InputSpec =
    InputSpec { side: 8, resize: Resize::Letterbox, mean: [100.0, 50.0, 25.0], std: [2.0, 4.0, 5.0] };

#[test]
fn a_flat_image_stays_flat_and_the_padding_is_zero_in_a_used_buffer() {
    let image = RgbImage::from_pixel(31, 15, Rgb([110, 70, 20]));
    let mut out = vec![f32::NAN; 3 * 64];
    let geometry = Preprocessor::new(SPEC).run(&image, &mut out).unwrap();
    assert_eq!(geometry.content, (8, 4));
    for (plane, value) in out.chunks_exact(64).zip([5.0, 5.0, -1.0]) {
        assert!(plane[..32].iter().all(|v| *v == value) && plane[32..].iter().all(|v| *v == 0.0), "{plane:?}");
    }
    let tall = RgbImage::from_pixel(4, 16, Rgb([110, 70, 20]));
    Preprocessor::new(SPEC).run(&tall, &mut out).unwrap();
    assert_eq!(out[..10], [5.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 5.0]);
}

#[test]
fn a_flat_image_stretches_to_the_whole_square() {
    let image = RgbImage::from_pixel(31, 15, Rgb([110, 70, 20]));
    let mut out = vec![f32::NAN; 3 * 64];
    let mut pre = Preprocessor::new(InputSpec { resize: Resize::Stretch, ..SPEC });
    assert_eq!(pre.run(&image, &mut out).unwrap().content, (8, 8));
    for (plane, value) in out.chunks_exact(64).zip([5.0, 5.0, -1.0]) {
        assert!(plane.iter().all(|v| (v - value).abs() < 1e-4), "{plane:?}");
    }
}

#[test]
fn sizes_may_change_from_frame_to_frame() {
    for resize in [Resize::Letterbox, Resize::Stretch] {
        let spec = InputSpec { side: 16, resize, ..SPEC };
        let mut kept = Preprocessor::new(spec);
        for (w, h) in [(40, 30), (5, 3), (1, 1), (16, 16), (300, 2), (2, 300), (40, 30)] {
            let image = RgbImage::from_fn(w, h, |x, y| Rgb([(x * 7) as u8, (y * 11) as u8, (x * y) as u8]));
            let (mut a, mut b) = (vec![f32::NAN; 768], vec![f32::NAN; 768]);
            kept.run(&image, &mut a).unwrap();
            Preprocessor::new(spec).run(&image, &mut b).unwrap();
            assert_eq!(a, b, "{w}x{h} {resize:?}");
            assert!(a.iter().all(|v| v.is_finite()));
        }
    }
}

#[test]
fn an_empty_image_and_a_wrong_buffer_are_refused() {
    let mut pre = Preprocessor::new(SPEC);
    let e = pre.run(&RgbImage::new(0, 4), &mut [0.0; 192]).unwrap_err();
    assert_eq!(e, PixelError::Empty { width: 0, height: 4 });
    let e = pre.run(&RgbImage::new(4, 4), &mut [0.0; 191]).unwrap_err();
    assert_eq!(e, PixelError::OutputSize { found: 191, expected: 192, side: 8 });
}

/// Makes an image of gradients, edges and noise.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let noise = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(2_246_822_519)).wrapping_mul(3_266_489_917) >> 24;
        Rgb([noise as u8, (x * 3 + y / 2) as u8, if (x / 5 + y / 3) % 2 == 0 { 255 } else { noise as u8 / 8 }])
    })
}

/// Returns the first sample and the weights of a position, of sum 1: the triangle filter of Pillow and torch.
fn triangle(i: usize, from: usize, to: usize) -> (usize, Vec<f64>) {
    let scale = from as f64 / to as f64;
    let (support, centre) = (scale.max(1.0), (i as f64 + 0.5) * scale);
    let first = (centre - support + 0.5).max(0.0) as usize;
    let end = ((centre + support + 0.5) as usize).min(from);
    let weight = |j: usize| (1.0 - ((j as f64 - centre + 0.5) / support).abs()).max(0.0);
    let total: f64 = (first..end).map(weight).sum();
    (first, (first..end).map(|j| weight(j) / total).collect())
}

/// Resizes each row of `pixels` to `to` pixels.
fn along<T: Copy>(pixels: &[Vec<[T; 3]>], to: usize, blend: impl Fn(&[f64], &[T]) -> T) -> Vec<Vec<[T; 3]>> {
    let new_row = |row: &Vec<[T; 3]>| {
        let position = |i: usize| {
            let (first, weights) = triangle(i, row.len(), to);
            let window = &row[first..][..weights.len()];
            [0, 1, 2].map(|c| blend(&weights, &window.iter().map(|pixel| pixel[c]).collect::<Vec<T>>()))
        };
        (0..to).map(position).collect()
    };
    pixels.iter().map(new_row).collect()
}

fn transposed<T: Copy>(rows: Vec<Vec<[T; 3]>>) -> Vec<Vec<[T; 3]>> {
    (0..rows[0].len()).map(|x| rows.iter().map(|row| row[x]).collect()).collect()
}

/// Resizes along x, then along y, then normalises and pads, one value after the other.
fn plain<T: Copy>(
    image: &RgbImage,
    spec: &InputSpec,
    level: impl Fn(u8) -> T,
    blend: impl Fn(&[f64], &[T]) -> T,
    normalise: impl Fn(T, usize) -> f32,
) -> Vec<f32> {
    let geometry = Geometry::new(image.width(), image.height(), spec.side, spec.resize);
    let rows: Vec<Vec<[T; 3]>> = image.rows().map(|row| row.map(|p| p.0.map(&level)).collect()).collect();
    let narrow = along(&rows, geometry.content.0 as usize, &blend);
    let small = transposed(along(&transposed(narrow), geometry.content.1 as usize, &blend));
    let side = spec.side as usize;
    let mut out = vec![0.0; 3 * side * side];
    for (y, row) in small.iter().enumerate() {
        for (x, pixel) in row.iter().enumerate() {
            for (c, value) in pixel.iter().enumerate() {
                out[(c * side + y) * side + x] = normalise(*value, c);
            }
        }
    }
    out
}

/// Width, height and side: enlarged, reduced, far reduced, one axis alone, slivers, no multiple of a vector.
const SIZES: [(u32, u32, u32); 14] = [
    (128, 72, 102),
    (128, 72, 25),
    (31, 17, 64),
    (64, 64, 64),
    (64, 40, 64),
    (40, 64, 64),
    (200, 7, 33),
    (7, 200, 33),
    (1, 1, 16),
    (1, 50, 16),
    (50, 1, 16),
    (640, 360, 37),
    (97, 89, 90),
    (33, 35, 34),
];

#[test]
fn letterbox_equals_the_plain_version_bit_by_bit() {
    // Pillow's fixed point: 22 bits, rounded to the nearest, clamped to 0..255 (`Resample.c`).
    let blend = |weights: &[f64], levels: &[u8]| {
        let fixed = |w: &f64| (0.5 + w * f64::from(1 << 22)) as i32;
        let sum = weights.iter().zip(levels).fold(1 << 21, |sum, (w, level)| sum + fixed(w) * i32::from(*level));
        (sum >> 22).clamp(0, 255) as u8
    };
    for (width, height, side) in SIZES {
        let spec = InputSpec { side, mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375], ..SPEC };
        let image = picture(width, height);
        let mut out = vec![f32::NAN; 3 * (side * side) as usize];
        Preprocessor::new(spec).run(&image, &mut out).unwrap();
        let normalise = |level: u8, c: usize| (f32::from(level) - spec.mean[c]) / spec.std[c];
        assert!(out == plain(&image, &spec, |level| level, blend, normalise), "{width}x{height} to {side}");
    }
}

#[test]
fn stretch_equals_the_plain_version_bit_by_bit() {
    let blend = |weights: &[f64], levels: &[f32]| {
        weights.iter().zip(levels).fold(0.0, |sum, (w, level)| sum + *w as f32 * level)
    };
    for (width, height, side) in SIZES {
        let spec = InputSpec { side, resize: Resize::Stretch, ..SPEC };
        let image = picture(width, height);
        let mut out = vec![f32::NAN; 3 * (side * side) as usize];
        Preprocessor::new(spec).run(&image, &mut out).unwrap();
        let normalise = |value: f32, c: usize| (value - spec.mean[c]) * (1.0 / spec.std[c]);
        assert!(out == plain(&image, &spec, f32::from, blend, normalise), "{width}x{height} to {side}");
    }
}

#[test]
fn content_is_the_letterbox_without_padding_and_normalisation() {
    for (width, height, side) in SIZES {
        let spec = InputSpec { side, mean: [0.0; 3], std: [1.0; 3], ..SPEC };
        let mut preprocessor = Preprocessor::new(spec);
        let image = picture(width, height);
        let (side, mut levels) = (side as usize, vec![f32::NAN; 5]);
        let mut square = vec![f32::NAN; 3 * side * side];
        let geometry = preprocessor.content(&image, &mut levels).unwrap();
        assert_eq!(preprocessor.run(&image, &mut square).unwrap(), geometry);
        let (width, height) = size(geometry.content);
        assert_eq!(levels.len(), width * height * 3);
        for (i, pixel) in levels.as_chunks::<3>().0.iter().enumerate() {
            let at = i / width * side + i % width;
            assert_eq!(*pixel, [0, 1, 2].map(|c| square[c * side * side + at]), "{i} of {geometry:?}");
        }
    }
}

#[test]
fn planes_keep_the_size_of_the_image_and_go_from_0_to_1() {
    let mut out = Vec::new();
    let image = RgbImage::from_fn(3, 2, |x, y| Rgb([(x * 100) as u8, (y * 255) as u8, 51]));
    let geometry = Preprocessor::new(SPEC).planes(&image, &mut out).unwrap();
    assert_eq!((geometry.image, geometry.content), ((3, 2), (8, 8)));
    assert_eq!(out[..6], [0.0, 100.0 / 255.0, 200.0 / 255.0, 0.0, 100.0 / 255.0, 200.0 / 255.0]);
    assert_eq!(out[6..], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]);
}
