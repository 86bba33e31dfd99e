//! SAM 2's resize: both sides to the side of the square, antialiased bilinear in floating point, fused with
//! normalisation.
//!
//! The result is that of torchvision's `Resize((side, side))` on a float tensor
//! (`aten/src/ATen/native/cpu/UpSampleKernel.cpp`, `_upsample_bilinear2d_aa`). A row goes through the horizontal pass
//! when the vertical pass first needs it.

use multiversion::multiversion;

use super::filter::{Filter, SPARE};

/// First sample of a position, and the weights of the samples from this one on.
pub(super) type Weighted = (usize, Vec<f32>);

/// An image in the top-left corner of a padded picture.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// Interleaved RGB, in rows of `width` pixels.
    pub pixels: &'a [u8],
    pub width: usize,
    /// Width of the padded picture. Rows below the image are padding alone.
    pub padded_width: usize,
    /// Level of the padding, from 0 to 255.
    pub padding: f32,
}

impl Source<'_> {
    /// Writes the levels of a row. Values behind the image were written as padding.
    #[inline(always)]
    fn row(&self, y: usize, levels: &mut [f32]) {
        match self.pixels.get(y * self.width * 3..(y + 1) * self.width * 3) {
            Some(row) => levels.iter_mut().zip(row).for_each(|(level, sample)| *level = f32::from(*sample)),
            None => levels[..self.width * 3].fill(self.padding),
        }
    }
}

/// Resizes images. It keeps weights and scratch memory from one call to the next.
#[derive(Debug, Default)]
pub(super) struct Stretcher {
    columns: Filter<f32>,
    rows: Filter<f32>,
    /// One row of the image as floats, followed by [`SPARE`] values.
    levels: Vec<f32>,
    /// The row after the horizontal pass; the fourth value of a pixel is unused.
    pixels: Vec<[f32; 4]>,
    /// Rows after the horizontal pass, `[row % taps][3][side]`: as many as the vertical pass needs at a time.
    ring: Vec<f32>,
    /// Starts of the rows in the ring that the vertical pass needs for the current line.
    slots: Vec<usize>,
}

impl Stretcher {
    /// Fills `out`, three planes of `side` x `side`, with `(level - mean) / std`. `pixels` is interleaved RGB of
    /// `width` x `height`, `norm` is mean and std.
    pub fn run(
        &mut self,
        pixels: &[u8],
        (width, height): (usize, usize),
        norm: ([f32; 3], [f32; 3]),
        out: &mut [f32],
        side: usize,
    ) {
        self.prepare((width, height), side);
        let source = Source { pixels, width, padded_width: width, padding: 0.0 };
        stretch(self, &source, norm, out, side);
    }

    /// Fills `out` as [`Self::run`] does, by other weights: `columns` and `rows` have them for each column and each row of the
    /// output, and the samples of `source` are its padded rows and columns.
    pub fn run_with(
        &mut self,
        source: &Source<'_>,
        (columns, rows): (&[Weighted], &[Weighted]),
        norm: ([f32; 3], [f32; 3]),
        out: &mut [f32],
        side: usize,
    ) {
        self.columns.set(source.padded_width, columns);
        self.rows.set(source.padded_width, rows);
        stretch(self, source, norm, out, side);
    }

    fn prepare(&mut self, (width, height): (usize, usize), side: usize) {
        self.columns.prepare(width, side, |w| w as f32);
        self.rows.prepare(height, side, |w| w as f32);
    }
}

#[multiversion(targets("x86_64+avx2"))]
fn stretch(scratch: &mut Stretcher, source: &Source<'_>, norm: ([f32; 3], [f32; 3]), out: &mut [f32], side: usize) {
    stretch_rows(scratch, source, norm, out, side);
}

#[inline(always)]
fn stretch_rows(
    scratch: &mut Stretcher,
    source: &Source<'_>,
    (mean, std): ([f32; 3], [f32; 3]),
    out: &mut [f32],
    side: usize,
) {
    let Stretcher { columns, rows, levels, pixels, ring, slots } = scratch;
    levels.clear();
    levels.resize(source.padded_width * 3 + SPARE, source.padding);
    pixels.resize(side, [0.0; 4]);
    ring.resize(rows.taps * 3 * side, 0.0);
    let mut ready = 0; // number of rows that went through the horizontal pass
    for y in 0..side {
        let (first, weights) = rows.at(y);
        while ready < first + rows.taps {
            source.row(ready, levels);
            columns.blend_pixels(levels, 0.0, pixels, |sums| sums);
            separate(pixels, &mut ring[ready % rows.taps * 3 * side..][..3 * side], side);
            ready += 1;
        }
        for channel in 0..3 {
            slots.clear();
            slots.extend((first..first + rows.taps).map(|row| (row % rows.taps * 3 + channel) * side));
            let line = &mut out[(channel * side + y) * side..][..side];
            vertical(ring, slots, weights, (mean[channel], 1.0 / std[channel]), line);
        }
    }
}

/// Splits pixels into three planes.
#[inline(always)]
fn separate(pixels: &[[f32; 4]], planes: &mut [f32], side: usize) {
    let (red, rest) = planes.split_at_mut(side);
    let (green, blue) = rest.split_at_mut(side);
    for (((pixel, red), green), blue) in pixels.iter().zip(red).zip(green).zip(blue) {
        [*red, *green, *blue, _] = *pixel;
    }
}

/// Computes a line of the output from the lines at `slots` of the ring.
#[inline(always)]
fn vertical(ring: &[f32], slots: &[usize], weights: &[f32], (mean, factor): (f32, f32), out: &mut [f32]) {
    let line = |k: usize| &ring[slots[k]..][..out.len()];
    match weights {
        [a, b] => {
            let (p, q) = (line(0), line(1));
            for ((out, p), q) in out.iter_mut().zip(p).zip(q) {
                *out = (a * p + b * q - mean) * factor;
            }
        }
        [a, b, c] => {
            let (p, q, r) = (line(0), line(1), line(2));
            for (((out, p), q), r) in out.iter_mut().zip(p).zip(q).zip(r) {
                *out = (a * p + b * q + c * r - mean) * factor;
            }
        }
        _ => {
            out.fill(0.0);
            for (slot, weight) in slots.iter().zip(weights) {
                for (out, value) in out.iter_mut().zip(&ring[*slot..]) {
                    *out += weight * value;
                }
            }
            for out in out {
                *out = (*out - mean) * factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_without_vector_instructions_is_identical() {
        for (from, side) in [((97, 61), 64), ((31, 50), 66), ((300, 200), 33)] {
            let pixels: Vec<u8> = (0..from.0 * from.1 * 3).map(|i| (i * i / 7 + i) as u8).collect();
            let norm = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]);
            let mut stretcher = Stretcher::default();
            stretcher.prepare(from, side);
            let (mut a, mut b) = (vec![f32::NAN; 3 * side * side], vec![f32::NAN; 3 * side * side]);
            let source = Source { pixels: &pixels, width: from.0, padded_width: from.0, padding: 0.0 };
            stretch(&mut stretcher, &source, norm, &mut a, side);
            stretch_rows(&mut stretcher, &source, norm, &mut b, side);
            assert!(a == b, "{from:?} to {side}");
        }
    }
}
