//! Up-sampling of masks along one axis, as a sparse linear operator.
//!
//! Bilinear interpolation is separable and linear, and so is the composition of SAM's two steps (low resolution ->
//! model's square -> crop -> image). Each column (row) of the image therefore depends on a few neighbouring columns
//! (rows) of the low-resolution mask, with weights that depend on the sizes alone.

/// Two neighbouring samples and the weight of the second.
#[derive(Debug, Clone, Copy)]
struct Pair {
    low: usize,
    high: usize,
    fraction: f32,
}

/// Returns the samples of `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` along one axis
/// (`aten/src/ATen/native/UpSample.h`, `area_pixel_compute_source_index`), in the reference's own precision.
fn bilinear(from: usize, to: usize) -> impl Iterator<Item = Pair> {
    let scale = from as f32 / to as f32;
    (0..to).map(move |i| {
        if from == to {
            return Pair { low: i, high: i, fraction: 0.0 };
        }
        let source = (scale * (i as f32 + 0.5) - 0.5).max(0.0);
        let low = (source as usize).min(from - 1);
        let high = (low + 1).min(from - 1);
        Pair { low, high, fraction: (source - low as f32).clamp(0.0, 1.0) }
    })
}

/// The cells of the low-resolution mask, and their weights, for each position of the image along one axis.
#[derive(Debug, Clone)]
pub(super) struct AxisTaps {
    /// Number of cells of each position, the same for all positions.
    pub taps: usize,
    /// First cell of each position, in ascending order. `first + taps` lies within the mask.
    pub first: Vec<usize>,
    /// `taps` weights for each position. No weight is negative, and their sum is 1.
    pub weights: Vec<f32>,
}

/// The cells of a position and their weights: two cells for each of two neighbours in the square between the steps.
type Cells = [(usize, f32); 4];

impl AxisTaps {
    /// Makes the operator of one step: `cells` -> `positions`.
    pub fn direct(cells: usize, positions: usize) -> Self {
        let both = |p: Pair| [(p.low, 1.0 - p.fraction), (p.high, p.fraction), (p.low, 0.0), (p.low, 0.0)];
        Self::new(cells, bilinear(cells, positions).map(both).collect())
    }

    /// Makes the operator of two steps: `cells` -> `square`, cropped to the first `content` -> `positions`.
    pub fn composed(cells: usize, square: usize, content: usize, positions: usize) -> Self {
        let first_step: Vec<Pair> = bilinear(cells, square).take(content).collect();
        let compose = |outer: Pair| {
            let (low, high) = (first_step[outer.low], first_step[outer.high]);
            let (a, b) = (1.0 - outer.fraction, outer.fraction);
            let cells = |p: Pair, weight: f32| [(p.low, weight * (1.0 - p.fraction)), (p.high, weight * p.fraction)];
            let ([p, q], [r, s]) = (cells(low, a), cells(high, b));
            [p, q, r, s]
        };
        Self::new(cells, bilinear(content, positions).map(compose).collect())
    }

    fn new(cells: usize, positions: Vec<Cells>) -> Self {
        let weighted_span = |cells: &Cells| {
            let mut span = (usize::MAX, 0);
            for (cell, _) in cells.iter().filter(|(_, weight)| *weight != 0.0) {
                span = (span.0.min(*cell), span.1.max(*cell));
            }
            span
        };
        let taps = positions.iter().map(weighted_span).map(|(low, high)| high + 1 - low).max().unwrap_or(1);
        let mut first = Vec::with_capacity(positions.len());
        let mut weights = vec![0.0; positions.len() * taps];
        for (cells_of_position, weights) in positions.iter().zip(weights.chunks_exact_mut(taps)) {
            let start = weighted_span(cells_of_position).0.min(cells - taps);
            first.push(start);
            for (cell, weight) in cells_of_position.iter().filter(|(_, weight)| *weight != 0.0) {
                weights[cell - start] += weight;
            }
        }
        AxisTaps { taps, first, weights }
    }

    /// Returns the first cell and the weights of a position.
    pub fn at(&self, position: usize) -> (usize, &[f32]) {
        (self.first[position], &self.weights[position * self.taps..][..self.taps])
    }

    /// Returns the number of positions.
    pub fn len(&self) -> usize {
        self.first.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_a_mean_of_neighbouring_cells() {
        for (cells, taps) in [
            (256, AxisTaps::composed(256, 1024, 1024, 1280)),
            (256, AxisTaps::composed(256, 1024, 576, 720)),
            (64, AxisTaps::composed(64, 256, 1, 3)),
            (256, AxisTaps::composed(256, 1024, 1024, 33)),
            (256, AxisTaps::composed(256, 64, 40, 100)),
            (256, AxisTaps::direct(256, 1280)),
            (256, AxisTaps::direct(256, 17)),
            (256, AxisTaps::direct(256, 256)),
            (1, AxisTaps::direct(1, 5)),
        ] {
            assert!(taps.first.is_sorted());
            for i in 0..taps.len() {
                let (first, weights) = taps.at(i);
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5 && weights.iter().all(|w| *w >= 0.0));
                assert!(first + weights.len() <= cells);
            }
        }
    }

    #[test]
    fn sam_at_1280_pixels_has_three_taps_and_sam_2_two() {
        assert_eq!(AxisTaps::composed(256, 1024, 1024, 1280).taps, 3);
        assert_eq!(AxisTaps::direct(256, 1280).taps, 2);
    }
}
