//! Pillow's antialiased bilinear resize of 8-bit RGB, identical bit by bit, fused with normalisation.
//!
//! SAM resizes with Pillow. A difference of one level in a pixel changes the embedding by a thousandth, so that
//! libraries with coefficients of 16 bits are not accurate enough. Source: `src/libImaging/Resample.c`,
//! `normalize_coeffs_8bpc`, `ImagingResampleHorizontal_8bpc` and `..Vertical_8bpc`.
//!
//! A row goes through the horizontal pass when the vertical pass first needs it, so that the rows between the two
//! passes stay in the first-level cache. These rows have four bytes for a pixel, the fourth unused, so that a pixel is
//! one load.

use multiversion::multiversion;

use super::filter::{Filter, SPARE};

/// Fractional bits of a coefficient: 32, less 8 for a level and 2 for head room.
const PRECISION: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (PRECISION - 1);
/// Number of bytes that the vertical pass computes at a time.
const STRIP: usize = 32;

/// Destination of the resized image.
#[derive(Debug)]
pub(super) enum Target<'a> {
    /// The top-left corner of three planes of `side` x `side`, as `(level - mean) / std`; the padding becomes 0. `norm`
    /// is mean and std.
    Planes { out: &'a mut [f32], side: usize, norm: ([f32; 3], [f32; 3]) },
    /// Levels of interleaved red, green, blue.
    Levels(&'a mut [f32]),
    /// The top-left corner of a square of `side` x `side`, as levels of interleaved red, green, blue. The rest stays as it is.
    Corner { out: &'a mut [u8], side: usize },
}

impl Target<'_> {
    /// Writes a finished row.
    #[inline(always)]
    fn put(&mut self, y: usize, pixels: &[[u8; 4]]) {
        match self {
            Target::Planes { out, side, norm } => {
                let (red, rest) = out.split_at_mut(*side * *side);
                let (green, blue) = rest.split_at_mut(*side * *side);
                let [(red, right), (green, right_green), (blue, right_blue)] =
                    [red, green, blue].map(|plane| plane[y * *side..][..*side].split_at_mut(pixels.len()));
                [right, right_green, right_blue].into_iter().for_each(|padding| padding.fill(0.0));
                normalise(pixels, *norm, [red, green, blue]);
            }
            Target::Levels(out) => {
                let row = &mut out[y * pixels.len() * 3..][..pixels.len() * 3];
                for (out, pixel) in row.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                    *out = [pixel[0], pixel[1], pixel[2]].map(f32::from);
                }
            }
            Target::Corner { out, side } => {
                let row = &mut out[y * *side * 3..][..pixels.len() * 3];
                for (out, pixel) in row.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                    *out = [pixel[0], pixel[1], pixel[2]];
                }
            }
        }
    }

    /// Writes the padding after `height` rows.
    fn finish(&mut self, height: usize) {
        if let Target::Planes { out, side, .. } = self {
            out.chunks_exact_mut(*side * *side).for_each(|plane| plane[height * *side..].fill(0.0));
        }
    }
}

/// Precision of the coefficients of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Coefficients {
    /// Pillow: [`PRECISION`] bits.
    #[default]
    Pillow,
    /// Torch, for images of 8 bits: as many bits as the largest coefficient of the axis leaves in 16 bits
    /// (`compute_index_ranges_int16_weights` of `UpSampleKernel.cpp`). Passes and rounding are those of Pillow.
    Torch,
}

/// Resizes images. It keeps coefficients and scratch memory from one call to the next.
#[derive(Debug, Default)]
pub(super) struct PillowResizer {
    coefficients: Coefficients,
    columns: Filter<i32>,
    rows: Filter<i32>,
    /// One row of the image, followed by [`SPARE`] bytes.
    row: Vec<u8>,
    /// Rows after the horizontal pass, `[row % taps][width][4]`: as many as the vertical pass needs at a time.
    ring: Vec<[u8; 4]>,
    /// Starts of the rows in the ring that the vertical pass needs for the current row.
    slots: Vec<usize>,
    /// One row of the resized image.
    blended: Vec<[u8; 4]>,
}

impl PillowResizer {
    pub fn new(coefficients: Coefficients) -> Self {
        PillowResizer { coefficients, ..PillowResizer::default() }
    }

    /// Resizes `pixels`, interleaved RGB, horizontally first. `from` and `to` are width and height.
    pub fn run(&mut self, pixels: &[u8], from: (usize, usize), to: (usize, usize), target: Target) {
        self.prepare(from, to);
        resize(self, pixels, from.0, to, target);
    }

    fn prepare(&mut self, from: (usize, usize), to: (usize, usize)) {
        for (filter, from, to) in [(&mut self.columns, from.0, to.0), (&mut self.rows, from.1, to.1)] {
            let bits = match self.coefficients {
                _ if filter.is_for(from, to) => continue,
                Coefficients::Pillow => PRECISION,
                Coefficients::Torch => torch_bits(from, to),
            };
            // Fewer bits are padded with zeros, so that the sums of both kinds have the same scale.
            filter.prepare(from, to, |w| ((0.5 + w * f64::from(1u32 << bits)) as i32) << (PRECISION - bits));
        }
    }
}

/// Returns the fractional bits of torch's coefficients of an axis: the most with which the largest coefficient fits into 15
/// bits, at most [`PRECISION`].
fn torch_bits(from: usize, to: usize) -> u32 {
    let mut exact = Filter::<f64>::default();
    exact.prepare(from, to, |w| w);
    let largest = exact.weights.iter().copied().fold(0.0, f64::max);
    let fits = |bits: u32| 0.5 + largest * f64::from(1u32 << bits) < f64::from(1 << 15);
    (1..=PRECISION).take_while(|bits| fits(*bits)).last().unwrap_or(0)
}

#[multiversion(targets("x86_64+avx2"))]
fn resize(scratch: &mut PillowResizer, pixels: &[u8], from_width: usize, to: (usize, usize), target: Target) {
    resize_rows(scratch, pixels, from_width, to, target);
}

#[inline(always)]
fn resize_rows(
    scratch: &mut PillowResizer,
    pixels: &[u8],
    from_width: usize,
    (width, height): (usize, usize),
    mut target: Target,
) {
    let PillowResizer { columns, rows, row, ring, slots, blended, .. } = scratch;
    let padded = width.next_multiple_of(STRIP / 4);
    row.resize(from_width * 3 + SPARE, 0);
    ring.resize(rows.taps * padded, [0; 4]);
    blended.resize(padded, [0; 4]);
    let mut ready = 0; // number of rows that went through the horizontal pass
    for y in 0..height {
        let (first, weights) = rows.at(y);
        while ready < first + rows.taps {
            row[..from_width * 3].copy_from_slice(&pixels[ready * from_width * 3..][..from_width * 3]);
            columns.blend_pixels(row, HALF, &mut ring[ready % rows.taps * padded..][..width], pixel_from_sums);
            ready += 1;
        }
        slots.clear();
        slots.extend((first..first + rows.taps).map(|row| row % rows.taps * padded));
        vertical(ring, slots, weights, blended);
        target.put(y, &blended[..width]);
    }
    target.finish(height);
}

/// Computes a row of the resized image from the rows at `slots` of the ring.
#[inline(always)]
fn vertical(ring: &[[u8; 4]], slots: &[usize], weights: &[i32], out: &mut [[u8; 4]]) {
    let (ring, out) = (ring.as_flattened(), out.as_flattened_mut());
    for (strip, out) in out.as_chunks_mut::<STRIP>().0.iter_mut().enumerate() {
        let mut sums = [HALF; STRIP];
        for (slot, weight) in slots.iter().zip(weights) {
            let levels = &ring[4 * slot + STRIP * strip..][..STRIP];
            for (sum, level) in sums.iter_mut().zip(levels) {
                *sum += i32::from(*level) * weight;
            }
        }
        for (level, sum) in out.iter_mut().zip(&sums) {
            *level = level_from_sum(*sum);
        }
    }
}

/// Splits pixels of four bytes into three lines of `(level - mean) / std`.
#[inline(always)]
fn normalise(pixels: &[[u8; 4]], (mean, std): ([f32; 3], [f32; 3]), [red, green, blue]: [&mut [f32]; 3]) {
    for (((pixel, red), green), blue) in pixels.iter().zip(red).zip(green).zip(blue) {
        let pixel = i32::from_le_bytes(*pixel);
        *red = ((pixel & 255) as f32 - mean[0]) / std[0];
        *green = ((pixel >> 8 & 255) as f32 - mean[1]) / std[1];
        *blue = ((pixel >> 16 & 255) as f32 - mean[2]) / std[2];
    }
}

/// Converts a fixed-point sum to a level, clamped to 0..255.
#[inline(always)]
fn level_from_sum(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

#[inline(always)]
fn pixel_from_sums(sums: [i32; 4]) -> [u8; 4] {
    let mut levels = [0; 4];
    for (level, sum) in levels.iter_mut().zip(sums) {
        *level = level_from_sum(sum);
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_of_torch_fit_into_16_bits() {
        // One sample for each position has the coefficient 1; a tenth of the size has coefficients near 0.1.
        assert_eq!((torch_bits(64, 64), torch_bits(640, 64)), (14, 18));
        for (from, to) in [(1280, 1008), (720, 1008), (451, 112), (3, 900), (4000, 8)] {
            let mut filter = Filter::<f64>::default();
            filter.prepare(from, to, |w| w);
            let scaled = filter.weights.iter().map(|w| (0.5 + w * f64::from(1u32 << torch_bits(from, to))) as i32);
            let largest = scaled.max().unwrap();
            assert!(
                (1 << 13..1 << 15).contains(&largest) || torch_bits(from, to) == PRECISION,
                "{from} to {to}: {largest}"
            );
        }
    }

    #[test]
    fn the_result_without_vector_instructions_is_identical() {
        for (from, to, side) in [((97, 61), (64, 40), 64), ((31, 50), (40, 64), 64), ((300, 200), (33, 22), 33)] {
            let pixels: Vec<u8> = (0..from.0 * from.1 * 3).map(|i| (i * i / 7 + i) as u8).collect();
            let norm = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]);
            let mut resizer = PillowResizer::default();
            resizer.prepare(from, to);
            let (mut a, mut b) = (vec![f32::NAN; 3 * side * side], vec![f32::NAN; 3 * side * side]);
            resize(&mut resizer, &pixels, from.0, to, Target::Planes { out: &mut a, side, norm });
            resize_rows(&mut resizer, &pixels, from.0, to, Target::Planes { out: &mut b, side, norm });
            assert!(a == b, "{from:?} to {to:?}");
            let (mut a, mut b) = (vec![0.0; to.0 * to.1 * 3], vec![1.0; to.0 * to.1 * 3]);
            resize(&mut resizer, &pixels, from.0, to, Target::Levels(&mut a));
            resize_rows(&mut resizer, &pixels, from.0, to, Target::Levels(&mut b));
            assert!(a == b, "{from:?} to {to:?}");
            let mut corner = vec![7; 3 * side * side];
            resize(&mut resizer, &pixels, from.0, to, Target::Corner { out: &mut corner, side });
            for (y, line) in corner.chunks_exact(3 * side).enumerate() {
                let content = if y < to.1 { 3 * to.0 } else { 0 };
                let expected = a.iter().skip(y * 3 * to.0).take(content);
                assert!(line[..content].iter().map(|v| f32::from(*v)).eq(expected.copied()), "{from:?} to {to:?}");
                assert!(line[content..].iter().all(|v| *v == 7), "outside of the content");
            }
        }
    }
}
