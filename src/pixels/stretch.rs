//! SAM 2's resize: both sides to the model's, antialiased bilinear in floating point, fused with the normalisation.
//!
//! What torchvision's `Resize((side, side))` does on a float tensor (`aten/src/ATen/native/cpu/UpSampleKernel.cpp`,
//! `_upsample_bilinear2d_aa`): a triangle filter, widened by the scale where the image shrinks.

use image::RgbImage;

use super::preprocess::InputSpec;

/// Weights of one axis, all positions with the same number of taps (the last of them may be 0).
#[derive(Debug, Default)]
struct Filter {
    from: usize,
    to: usize,
    taps: usize,
    first: Vec<usize>,
    /// `taps` for each position.
    weights: Vec<f32>,
}

impl Filter {
    /// Weights from `from` samples to `to`; nothing to do when they are those of the last call.
    fn set(&mut self, from: usize, to: usize) {
        if (self.from, self.to) == (from, to) {
            return;
        }
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0);
        self.taps = support.ceil() as usize * 2 + 1;
        self.first.clear();
        self.weights.clear();
        let mut widest = 1;
        for i in 0..to {
            let centre = scale * (i as f64 + 0.5);
            let start = ((centre - support + 0.5).max(0.0)) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let weight = |j: usize| (1.0 - ((j as f64 - centre + 0.5) / support).abs()).max(0.0);
            let total: f64 = (start..end).map(weight).sum();
            self.first.push(start);
            let at = self.weights.len();
            self.weights.extend((start..end).map(|j| (weight(j) / total) as f32));
            self.weights.resize(at + self.taps, 0.0);
            widest = widest.max(end - start);
        }
        self.narrow_to(widest);
        (self.from, self.to) = (from, to);
    }

    /// Drops the taps that no position uses.
    fn narrow_to(&mut self, taps: usize) {
        for i in 0..self.first.len() {
            self.weights.copy_within(i * self.taps..i * self.taps + taps, i * taps);
        }
        self.weights.truncate(self.first.len() * taps);
        self.taps = taps;
    }

    fn at(&self, i: usize) -> (usize, &[f32]) {
        (self.first[i], &self.weights[i * self.taps..][..self.taps])
    }
}

/// The scratch memory of the stretch.
#[derive(Debug, Default)]
pub(super) struct Stretcher {
    columns: Filter,
    rows: Filter,
    /// One row of the image as floats, with room for the taps that have no weight and for a load of four lanes.
    levels: Vec<f32>,
    /// Rows after the horizontal pass, `[row % taps][3][side]`: no more than the vertical pass looks at.
    ring: Vec<f32>,
}

impl Stretcher {
    /// `out` is `[3, side, side]`; the image has pixels.
    pub fn run(&mut self, image: &RgbImage, spec: &InputSpec, out: &mut [f32]) {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let side = spec.side as usize;
        self.columns.set(width, side);
        self.rows.set(height, side);
        self.levels.clear();
        self.levels.resize((width + self.columns.taps) * 3 + 1, 0.0);
        let (kept, row_len) = (self.rows.taps, 3 * side);
        self.ring.resize(kept * row_len, 0.0);
        let mut ready = 0; // rows of the image that went through the horizontal pass
        for y in 0..side {
            let (first, weights) = self.rows.at(y);
            let weights = &weights[..kept.min(height - first)];
            while ready < first + weights.len() {
                let row = &image.as_raw()[ready * width * 3..][..width * 3];
                for (level, sample) in self.levels.iter_mut().zip(row) {
                    *level = f32::from(*sample);
                }
                let slot = &mut self.ring[ready % kept * row_len..][..row_len];
                horizontal(&self.columns, &self.levels, slot, side);
                ready += 1;
            }
            for channel in 0..3 {
                let target = &mut out[(channel * side + y) * side..][..side];
                target.fill(0.0);
                for (k, weight) in weights.iter().enumerate() {
                    let slot = &self.ring[(first + k) % kept * row_len + channel * side..][..side];
                    for (t, s) in target.iter_mut().zip(slot) {
                        *t += weight * s;
                    }
                }
                let (mean, factor) = (spec.mean[channel], 1.0 / spec.std[channel]);
                for t in target {
                    *t = (*t - mean) * factor;
                }
            }
        }
    }
}

/// Interleaved levels to planes of `side` values.
fn horizontal(filter: &Filter, levels: &[f32], out: &mut [f32], side: usize) {
    let (red, rest) = out.split_at_mut(side);
    let (green, blue) = rest.split_at_mut(side);
    for (x, ((r, g), b)) in red.iter_mut().zip(green).zip(blue).enumerate() {
        let (first, weights) = filter.at(x);
        // Four lanes, the last of them unused: one vector instruction each.
        let mut sum = [0.0f32; 4];
        for (k, weight) in weights.iter().enumerate() {
            let at = (first + k) * 3;
            if let Some(pixel) = levels[at..].first_chunk::<4>() {
                for lane in 0..4 {
                    sum[lane] += weight * pixel[lane];
                }
            }
        }
        [*r, *g, *b] = [sum[0], sum[1], sum[2]];
    }
}
