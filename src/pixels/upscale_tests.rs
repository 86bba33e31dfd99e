//! The blockwise pass against a plain pass, and the plain pass against SAM's two steps.

use super::super::mask::PixelRect;
use super::*;

/// Returns smooth pseudo-random logits of both signs.
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

/// `F.interpolate(mode="bilinear", align_corners=False)` on a plane, pixel by pixel.
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
    for (w, h) in [(160, 90), (90, 200), (100, 75), (1, 1), (7, 300), (31, 17), (64, 64), (129, 33)] {
        for (side, low) in [(256, 64), (64, 16), (32, 64), (64, 1)] {
            for resize in [Resize::Letterbox, Resize::Stretch] {
                all.push((low, Geometry::new(w, h, side, resize)));
            }
        }
    }
    all
}

#[test]
fn one_composed_step_equals_the_two_steps_of_sam() {
    for (side, g) in geometries() {
        let low = logits(side, 3, 8.0);
        let (ours, expected) = (upscale_logits(&low, side, &g), two_steps(&low, side, &g));
        assert_eq!(ours.len(), expected.len());
        let worst = ours.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{worst} at {side} {g:?}");
    }
}

/// Interpolates each pixel alone with the same weights, without blocks and bands.
fn plain_logits(low: &[f32], side: usize, g: &Geometry) -> Vec<f32> {
    let axis = |content: u32, image: u32| match g.resize {
        Resize::Letterbox => AxisTaps::composed(side, g.side as usize, content as usize, image as usize),
        Resize::Stretch => AxisTaps::direct(side, image as usize),
    };
    let (columns, rows) = (axis(g.content.0, g.image.0), axis(g.content.1, g.image.1));
    let mut out = Vec::new();
    for y in 0..rows.len() {
        for x in 0..columns.len() {
            let ((top, row_weights), (left, column_weights)) = (rows.at(y), columns.at(x));
            let mut value = 0.0;
            for (cell_y, row_weight) in (top..).zip(row_weights) {
                let mut on_row = 0.0;
                for (cell_x, weight) in (left..).zip(column_weights) {
                    on_row += weight * low[cell_y * side + cell_x];
                }
                value += row_weight * on_row;
            }
            out.push(value);
        }
    }
    out
}

/// Computes a mask with its area, box and stability from logits at the size of the image.
fn plain_mask(logits: &[f32], g: &Geometry, threshold: f32, offset: f32) -> Mask {
    let inside: Vec<u8> = logits.iter().map(|v| if *v > threshold { 255 } else { 0 }).collect();
    let count = |level: f32| logits.iter().filter(|v| **v > level).count();
    let (surely, perhaps) = (count(threshold + offset.abs()), count(threshold - offset.abs()));
    let stability = if perhaps == 0 { 0.0 } else { (surely as f64 / perhaps as f64) as f32 };
    let (width, height) = g.image;
    let at = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let within: Vec<(u32, u32)> = at.zip(&inside).filter(|(_, v)| **v != 0).map(|(at, _)| at).collect();
    let span = |of: fn(&(u32, u32)) -> u32| {
        let (low, high) = (within.iter().map(of).min(), within.iter().map(of).max());
        low.zip(high).map(|(low, high)| (low, high + 1 - low))
    };
    let bbox = span(|at| at.0).zip(span(|at| at.1)).map(|((x, width), (y, height))| PixelRect { x, y, width, height });
    let cropped = bbox.map_or_else(Vec::new, |b| {
        let rows = inside.chunks_exact(width as usize).skip(b.y as usize).take(b.height as usize);
        rows.flat_map(|row| &row[b.x as usize..(b.x + b.width) as usize]).copied().collect()
    });
    Mask { width, height, area: within.len() as u32, bbox, cropped, stability }
}

/// Compares the blockwise pass with the plain pass bit by bit, with and without vector instructions.
fn check(low: &[f32], side: usize, g: &Geometry, name: &str) {
    let plain = plain_logits(low, side, g);
    let upscaler = MaskUpscaler::new(side, g);
    let bits = |values: &[f32]| {
        values.iter().map(|v| (v.is_nan(), if v.is_nan() { 0 } else { v.to_bits() })).collect::<Vec<_>>()
    };
    assert!(bits(&upscaler.logits(low)) == bits(&plain), "logits of {name}: {side} {g:?}");
    let mut portable = vec![0.0; plain.len()];
    interpolate_rows(&upscaler, low, &mut portable);
    assert!(bits(&portable) == bits(&plain), "portable logits of {name}: {side} {g:?}");
    for (threshold, offset) in [(0.0, 1.0), (0.5, -0.05), (0.0, 0.0), (-3.0, 1.0)] {
        let (mask, expected) = (upscaler.mask(low, threshold, offset), plain_mask(&plain, g, threshold, offset));
        assert!(mask == expected, "{name}: {side} {g:?}, above {threshold} by {offset}");
        let portable = draw_bands(&upscaler, low, threshold, offset, 0.0).unwrap();
        assert!(portable == expected, "portable {name}: {side} {g:?}, above {threshold} by {offset}");
    }
}

/// Returns a generator of pseudo-random numbers from 0 to 1.
fn random(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 24) as f32
    }
}

#[test]
fn the_blockwise_pass_equals_the_plain_pass_bit_by_bit() {
    for (side, g) in geometries() {
        for (seed, amplitude) in [(1, 12.0), (2, 0.08), (3, 1.0), (5, 1e30)] {
            check(&logits(side, seed, amplitude), side, &g, &format!("waves {seed}"));
        }
    }
}

#[test]
fn masks_of_borders_and_flat_masks_equal_the_plain_pass() {
    for (side, g) in geometries() {
        let cells = |value: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
            (0..side * side).map(|i| value(i % side, i / side)).collect()
        };
        check(&cells(&|_, _| 6.0), side, &g, "all inside");
        check(&cells(&|_, _| -6.0), side, &g, "all outside");
        check(&cells(&|_, _| 0.0), side, &g, "all on the threshold");
        check(&cells(&|_, _| 1.0), side, &g, "all on the upper level");
        check(&cells(&|x, y| if (x + y) % 2 == 0 { 5.0 } else { -5.0 }), side, &g, "a checkerboard");
        check(&cells(&|x, _| if x % 9 == 4 { 5.0 } else { -5.0 }), side, &g, "stripes");
        check(&cells(&|x, y| if (x, y) == (side / 2, side / 3) { 5.0 } else { -5.0 }), side, &g, "one cell");
        check(&cells(&|x, y| if (x, y) == (side / 2, side / 3) { -5.0 } else { 5.0 }), side, &g, "one hole");
        check(&cells(&|x, y| f32::from_bits((x * y) as u32) - f32::MIN_POSITIVE), side, &g, "next to nothing");
        check(&cells(&|x, y| if x > y { f32::MAX } else { f32::MIN }), side, &g, "the largest numbers");
    }
}

#[test]
fn noise_equals_the_plain_pass() {
    for (n, (side, g)) in geometries().into_iter().enumerate() {
        for amplitude in [0.001, 1.5, 40.0] {
            let mut next = random(n as u32);
            let low: Vec<f32> = (0..side * side).map(|_| (next() - 0.5) * amplitude).collect();
            check(&low, side, &g, "noise");
        }
    }
}

#[test]
fn values_that_are_not_finite_do_not_panic_and_nan_is_never_inside() {
    for (n, (side, g)) in geometries().into_iter().enumerate() {
        for values in
            [&[f32::NAN][..], &[f32::INFINITY], &[f32::NEG_INFINITY], &[f32::NAN, f32::INFINITY, -f32::INFINITY]]
        {
            let mut next = random(n as u32 + 7);
            let mut low = logits(side, 1, 5.0);
            for cell in &mut low {
                if next() < 0.02 || values.len() > 1 && next() < 0.5 {
                    *cell = values[(next() * values.len() as f32) as usize];
                }
            }
            check(&low, side, &g, &format!("{values:?}"));
        }
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            check(&vec![value; side * side], side, &g, &format!("all {value}"));
        }
    }
}

#[test]
fn masks_below_the_least_stability_are_left_out_and_the_others_are_equal() {
    let (mut early, mut kept) = (0, 0);
    for (side, g) in geometries() {
        let upscaler = MaskUpscaler::new(side, &g);
        for (seed, amplitude) in [(1, 1.0), (2, 8.0), (3, 40.0), (4, 0.2)] {
            let low = logits(side, seed, amplitude);
            let mask = upscaler.mask(&low, 0.0, 1.0);
            let levels = Levels::new(&low, 0.0, 1.0);
            let bound = most_stable(&upscaler, &block_sides(&upscaler, &low, &levels));
            assert!(bound >= mask.stability, "{bound} bounds {} at {side} {g:?}", mask.stability);
            for least in [0.0, 0.5, mask.stability, mask.stability + 1e-6, 0.95] {
                let stable = upscaler.stable_mask(&low, 0.0, 1.0, least);
                assert_eq!(stable.is_some(), mask.stability >= least, "{} at {side} {g:?}", mask.stability);
                early += usize::from(bound < least);
                if let Some(stable) = stable {
                    kept += 1;
                    assert_eq!(stable, mask);
                }
            }
        }
    }
    assert!(early > 20 && kept > 100, "{early} decided on the cells, {kept} kept");
}
