//! The triangle filter of an antialiased bilinear resize along one axis, the same in Pillow (`precompute_coeffs` of
//! `Resample.c`) and torch (`_upsample_bilinear2d_aa` of `UpSampleKernel.cpp`).

use std::ops::{AddAssign, Mul};

/// Number of values after the end of a row that [`Filter::blend_pixels`] may load.
pub(super) const SPARE: usize = 16;

/// The samples, and their weights, for each position of the new size. All positions have the same number of taps.
#[derive(Debug, Default)]
pub(super) struct Filter<W> {
    from: usize,
    to: usize,
    /// Number of samples of each position, at most the number of all samples.
    pub taps: usize,
    /// First sample of each position, in ascending order. `first + taps` lies within the samples.
    pub first: Vec<usize>,
    /// `taps` weights for each position.
    pub weights: Vec<W>,
}

impl<W: Copy + Default + PartialEq> Filter<W> {
    /// Returns whether the sizes of the last call of [`Self::prepare`] were these.
    pub fn is_for(&self, from: usize, to: usize) -> bool {
        (self.from, self.to) == (from, to)
    }

    /// Computes the weights from `from` samples to `to` positions. Does nothing if the sizes are those of the last
    /// call. `convert` makes a stored weight of one of a position's weights, whose sum is 1.
    pub fn prepare(&mut self, from: usize, to: usize, convert: impl Fn(f64) -> W) {
        if self.is_for(from, to) {
            return;
        }
        let scale = from as f64 / to as f64;
        // Antialiasing: the triangle is as wide as a new sample, and at least as wide as an old sample.
        let support = scale.max(1.0);
        let room = support.ceil() as usize * 2 + 1;
        let mut wide = vec![W::default(); room * to];
        let mut spans = Vec::with_capacity(to);
        let mut raw = vec![0.0; room];
        for (i, weights) in wide.chunks_exact_mut(room).enumerate() {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let count = ((centre + support + 0.5) as usize).min(from) - first;
            for (k, weight) in raw[..count].iter_mut().enumerate() {
                *weight = (1.0 - (((k + first) as f64 - centre + 0.5) / support).abs()).max(0.0);
            }
            let sum: f64 = raw[..count].iter().sum();
            for (weight, raw) in weights.iter_mut().zip(&raw[..count]) {
                *weight = convert(raw / sum);
            }
            spans.push((first, count));
        }
        self.narrow(from, &wide, &spans, room);
        (self.from, self.to) = (from, to);
    }

    /// Sets the weights of each position: its first of `from` samples, and the weights from this sample on.
    pub fn set(&mut self, from: usize, positions: &[(usize, Vec<W>)]) {
        let room = positions.iter().map(|(_, weights)| weights.len()).max().unwrap_or(1);
        let mut wide = vec![W::default(); room * positions.len()];
        for (slot, (_, weights)) in wide.chunks_exact_mut(room).zip(positions) {
            slot[..weights.len()].copy_from_slice(weights);
        }
        let spans = positions.iter().map(|(first, weights)| (*first, weights.len())).collect::<Vec<_>>();
        self.narrow(from, &wide, &spans, room);
        (self.from, self.to) = (from, positions.len());
    }

    /// Reduces the taps to the most that any position needs, without samples of weight 0 at either end.
    fn narrow(&mut self, from: usize, wide: &[W], spans: &[(usize, usize)], room: usize) {
        let weighted_span = |weights: &[W]| {
            let is_weighted = |w: &W| *w != W::default();
            let start = weights.iter().position(is_weighted).unwrap_or(0);
            (start, weights.iter().rposition(is_weighted).map_or(start + 1, |end| end + 1))
        };
        let rows = || wide.chunks_exact(room).zip(spans);
        self.taps = rows().map(|(w, _)| weighted_span(w)).map(|(start, end)| end - start).max().unwrap_or(1);
        self.first.clear();
        self.weights.clear();
        for (weights, (first, _)) in rows() {
            let (start, end) = weighted_span(weights);
            // At the far edge the taps begin earlier, with weights of 0.
            let begin = (first + start).min(from - self.taps);
            self.first.push(begin);
            let at = self.weights.len();
            self.weights.resize(at + (first + start - begin), W::default());
            self.weights.extend_from_slice(&weights[start..end]);
            self.weights.resize(at + self.taps, W::default());
        }
    }

    /// Returns the first sample and the weights of a position.
    #[inline(always)]
    pub fn at(&self, position: usize) -> (usize, &[W]) {
        (self.first[position], &self.weights[position * self.taps..][..self.taps])
    }
}

impl<W: Copy + AddAssign + Mul<Output = W>> Filter<W> {
    /// Runs the horizontal pass over a row of interleaved RGB with [`SPARE`] values after its end. `finish` gets the
    /// sums of red, green and blue, and a fourth value without meaning: with four lanes a pixel is one vector.
    #[inline(always)]
    pub fn blend_pixels<L: Copy, T>(&self, row: &[L], start: W, out: &mut [T], finish: impl Fn([W; 4]) -> T)
    where
        W: From<L>,
    {
        // A constant number of taps lets the compiler unroll the loop over the taps.
        match self.taps {
            2 => self.blend_taps(2, row, start, out, finish),
            3 => self.blend_taps(3, row, start, out, finish),
            4 => self.blend_taps(4, row, start, out, finish),
            taps => self.blend_taps(taps, row, start, out, finish),
        }
    }

    #[inline(always)]
    fn blend_taps<L: Copy, T>(&self, taps: usize, row: &[L], start: W, out: &mut [T], finish: impl Fn([W; 4]) -> T)
    where
        W: From<L>,
    {
        for ((out, first), weights) in out.iter_mut().zip(&self.first).zip(self.weights.chunks_exact(taps)) {
            let mut sums = [start; 4];
            let mut levels = &row[first * 3..];
            let (fours, rest) = weights.as_chunks::<4>();
            for weights in fours {
                add(&mut sums, levels, weights);
                levels = &levels[12..];
            }
            match *rest {
                [a] => add(&mut sums, levels, &[a]),
                [a, b] => add(&mut sums, levels, &[a, b]),
                [a, b, c] => add(&mut sums, levels, &[a, b, c]),
                _ => {}
            }
            *out = finish(sums);
        }
    }
}

/// Adds neighbouring pixels to the sums, each with its weight.
#[inline(always)]
fn add<W, L, const TAPS: usize>(sums: &mut [W; 4], levels: &[L], weights: &[W; TAPS])
where
    W: Copy + AddAssign + Mul<Output = W> + From<L>,
    L: Copy,
{
    // A window of constant length: no bounds check for each load.
    let Some(levels) = levels.first_chunk::<SPARE>() else { return };
    for (k, weight) in weights.iter().enumerate() {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += W::from(levels[3 * k + lane]) * *weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(from: usize, to: usize) -> Filter<f64> {
        let mut filter = Filter::default();
        filter.prepare(from, to, |w| w);
        filter
    }

    #[test]
    fn every_position_is_a_mean_of_samples_around_it() {
        for (from, to) in [(1280, 1024), (720, 576), (720, 1024), (1, 5), (5, 1), (3840, 256), (31, 30), (2, 2), (7, 8)]
        {
            let filter = filter(from, to);
            assert!(filter.first.is_sorted() && filter.first.len() == to);
            for i in 0..to {
                let (first, weights) = filter.at(i);
                assert!(first + weights.len() <= from);
                assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12 && weights.iter().all(|w| *w >= 0.0));
                let mean: f64 = (first..).zip(weights).map(|(sample, w)| (sample as f64 + 0.5) * w).sum();
                let centre = (i as f64 + 0.5) * from as f64 / to as f64;
                assert!((mean - centre).abs() < (from as f64 / to as f64).max(1.0), "{mean} for {centre}");
            }
        }
    }

    #[test]
    fn taps_without_weight_are_left_out() {
        assert_eq!(filter(1024, 1024).taps, 1);
        assert_eq!(filter(720, 1024).taps, 2);
        assert_eq!(filter(1280, 1024).taps, 3);
        assert_eq!(filter(1280, 256).taps, 9);
    }
}
