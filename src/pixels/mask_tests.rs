//! The fast pass against the plain one, and the plain one against SAM's two steps as they are written there.

use super::*;

/// Smooth pseudo-random logits with both signs.
fn logits(side: usize, seed: u32, amplitude: f32) -> Vec<f32> {
    let phase = seed as f32 * 1.7;
    (0..side * side)
        .map(|i| {
            let (x, y) = ((i % side) as f32 / side as f32, (i / side) as f32 / side as f32);
            let wave = (x * 9.0 + phase).sin() * (y * 7.0 - phase).cos() + 0.5 * (x * 31.0 + y * 23.0 + phase).sin();
            amplitude * (wave - 0.2)
        })
        .collect()
}

/// `F.interpolate(mode="bilinear", align_corners=False)` on a plane, as simply as it can be written.
fn interpolate(plane: &[f32], (w, h): (usize, usize), (new_w, new_h): (usize, usize)) -> Vec<f32> {
    let source = |i: usize, from: usize, to: usize| {
        let s = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
        let low = (s as usize).min(from - 1);
        (low, (low + 1).min(from - 1), s - low as f64)
    };
    let mut out = Vec::with_capacity(new_w * new_h);
    for y in 0..new_h {
        let (top, bottom, fy) = source(y, h, new_h);
        for x in 0..new_w {
            let (left, right, fx) = source(x, w, new_w);
            let at = |y: usize, x: usize| f64::from(plane[y * w + x]);
            let upper = at(top, left) * (1.0 - fx) + at(top, right) * fx;
            let lower = at(bottom, left) * (1.0 - fx) + at(bottom, right) * fx;
            out.push((upper * (1.0 - fy) + lower * fy) as f32);
        }
    }
    out
}

/// `Sam.postprocess_masks`, step by step.
fn two_steps(low: &[f32], side: usize, g: &Geometry) -> Vec<f32> {
    let image = (g.image.0 as usize, g.image.1 as usize);
    if g.resize == Resize::Stretch {
        return interpolate(low, (side, side), image);
    }
    let square = g.side as usize;
    let (w, h) = (g.content.0 as usize, g.content.1 as usize);
    let full = interpolate(low, (side, side), (square, square));
    let cropped: Vec<f32> = full.chunks_exact(square).take(h).flat_map(|row| &row[..w]).copied().collect();
    interpolate(&cropped, (w, h), image)
}

fn geometries() -> Vec<(usize, Geometry)> {
    let mut all = Vec::new();
    for (w, h) in [(320, 180), (90, 200), (640, 480), (1, 1), (7, 300), (31, 17), (64, 64)] {
        for (side, low) in [(256, 64), (64, 16), (32, 64), (64, 1)] {
            for resize in [Resize::Letterbox, Resize::Stretch] {
                all.push((low, Geometry::new(w, h, side, resize)));
            }
        }
    }
    all
}

#[test]
fn one_composed_step_is_the_two_of_sam() {
    for (side, g) in geometries() {
        let low = logits(side, 3, 8.0);
        let (ours, expected) = (upscale_logits(&low, side, &g), two_steps(&low, side, &g));
        assert_eq!(ours.len(), expected.len());
        let worst = ours.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{worst} at {side} {g:?}");
    }
}

#[test]
fn the_fast_pass_equals_the_plain_one_bit_by_bit() {
    for (side, g) in geometries() {
        for (seed, amplitude) in [(1, 12.0), (2, 0.08), (3, 1.0), (4, 0.0), (5, 1e30)] {
            let low = logits(side, seed, amplitude);
            for (threshold, offset) in [(0.0, 1.0), (0.5, 0.05), (0.0, 0.0), (-3.0, 1.0)] {
                let full = upscale_logits(&low, side, &g);
                let mask = mask_from_low_res(&low, side, &g, threshold, offset);
                let expected: Vec<u8> = full.iter().map(|v| if *v > threshold { 255 } else { 0 }).collect();
                assert!(mask.full() == expected, "{side} {g:?} seed {seed} threshold {threshold}");
                let count = |t: f32| full.iter().filter(|v| **v > t).count();
                let (surely, perhaps) = (count(threshold + offset), count(threshold - offset));
                let stability = if perhaps == 0 { 0.0 } else { (surely as f64 / perhaps as f64) as f32 };
                assert_eq!(mask.stability, stability);
                let again = Mask::from_data(mask.width, mask.height, &expected).unwrap();
                assert_eq!((mask.area, mask.bbox), (again.area, again.bbox));
            }
        }
    }
}

#[test]
fn values_that_are_not_finite_do_not_panic_and_are_never_inside_as_nan() {
    let g = Geometry::new(64, 48, 64, Resize::Letterbox);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut low = logits(16, 1, 5.0);
        low[40] = value;
        let mask = mask_from_low_res(&low, 16, &g, 0.0, 1.0);
        let full = upscale_logits(&low, 16, &g);
        assert!(mask.full().iter().zip(&full).all(|(m, v)| (*m != 0) == (*v > 0.0)));
    }
}

#[test]
fn box_and_area_are_tight() {
    let data = vec![0, 0, 0, 0, /**/ 0, 7, 0, 9, /**/ 0, 0, 1, 0];
    let mask = Mask::from_data(4, 3, &data).unwrap();
    assert_eq!(mask.bbox, Some(PixelRect { x: 1, y: 1, width: 3, height: 2 }));
    assert_eq!(mask.area, 3);
    assert_eq!(mask.cropped, [255, 0, 255, 0, 255, 0]);
    assert!(mask.contains(1, 1) && !mask.contains(0, 0) && !mask.contains(4, 1));
    let empty = Mask::from_data(2, 2, &[0; 4]).unwrap();
    assert_eq!((empty.bbox, empty.area, empty.cropped.len()), (None, 0, 0));
    assert!(Mask::from_data(2, 2, &[0; 3]).is_none());
}
