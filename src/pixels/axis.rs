//! Mask up-sampling along one axis, as a sparse linear operator.
//!
//! Bilinear interpolation is separable and linear, and so is the composition of SAM's two steps (low resolution ->
//! model's square -> crop -> image). So each column (row) of the image depends on a few neighbouring columns (rows) of
//! the low-resolution mask, with weights that only depend on the sizes.

/// Two neighbouring samples and the weight of the second.
#[derive(Debug, Clone, Copy)]
struct Pair {
    low: usize,
    high: usize,
    fraction: f32,
}

/// `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` along one axis
/// (`aten/src/ATen/native/UpSample.h`, `area_pixel_compute_source_index`), in its own precision.
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

/// For each position of the image, which cells of the low-resolution mask it is made of.
#[derive(Debug, Clone)]
pub(super) struct AxisTaps {
    /// Cells that each position looks at; all positions have the same number.
    pub taps: usize,
    /// The first cell of each position; never decreases, and `first + taps` is within the mask.
    pub first: Vec<u32>,
    /// `taps` weights for each position; none is negative, together they are 1.
    pub weights: Vec<f32>,
    /// The first position whose first cell is at or behind the one of this index; one entry more than there are
    /// first cells (`cells - taps + 1`).
    pub starts: Vec<u32>,
}

impl AxisTaps {
    /// One step: `cells` -> `positions`.
    pub fn direct(cells: usize, positions: usize) -> Self {
        Self::new(cells, bilinear(cells, positions).map(|p| vec![(p.low, 1.0 - p.fraction), (p.high, p.fraction)]))
    }

    /// Two steps: `cells` -> `square`, of which the first `content` are kept -> `positions`.
    pub fn composed(cells: usize, square: usize, content: usize, positions: usize) -> Self {
        let first_step: Vec<Pair> = bilinear(cells, square).take(content).collect();
        Self::new(
            cells,
            bilinear(content, positions).map(|outer| {
                let mut taps = Vec::with_capacity(4);
                for (at, weight) in [(outer.low, 1.0 - outer.fraction), (outer.high, outer.fraction)] {
                    let inner = first_step[at];
                    taps.push((inner.low, weight * (1.0 - inner.fraction)));
                    taps.push((inner.high, weight * inner.fraction));
                }
                taps
            }),
        )
    }

    fn new(cells: usize, positions: impl Iterator<Item = Vec<(usize, f32)>>) -> Self {
        let all: Vec<Vec<(usize, f32)>> =
            positions.map(|taps| taps.into_iter().filter(|(_, weight)| *weight != 0.0).collect()).collect();
        let span = |taps: &[(usize, f32)]| {
            let low = taps.iter().map(|t| t.0).min().unwrap_or(0);
            (low, taps.iter().map(|t| t.0 + 1 - low).max().unwrap_or(1))
        };
        let taps = all.iter().map(|t| span(t).1).max().unwrap_or(1);
        let mut first = Vec::with_capacity(all.len());
        let mut weights = vec![0.0; all.len() * taps];
        for (position, own) in all.iter().enumerate() {
            let start = span(own).0.min(cells - taps);
            first.push(start as u32);
            for (cell, weight) in own {
                weights[position * taps + cell - start] += weight;
            }
        }
        let starts = (0..=cells - taps + 1).map(|c| first.partition_point(|f| (*f as usize) < c) as u32).collect();
        AxisTaps { taps, first, weights, starts }
    }

    /// First cell and weights of a position.
    pub fn at(&self, position: usize) -> (usize, &[f32]) {
        (self.first[position] as usize, &self.weights[position * self.taps..][..self.taps])
    }

    pub fn len(&self) -> usize {
        self.first.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_a_mean_of_neighbouring_cells() {
        for taps in [
            AxisTaps::composed(256, 1024, 1024, 1280),
            AxisTaps::composed(256, 1024, 576, 720),
            AxisTaps::composed(64, 256, 1, 3),
            AxisTaps::composed(256, 1024, 1024, 33),
            AxisTaps::composed(256, 64, 40, 100),
            AxisTaps::direct(256, 1280),
            AxisTaps::direct(256, 17),
            AxisTaps::direct(256, 256),
            AxisTaps::direct(1, 5),
        ] {
            assert!(taps.first.is_sorted());
            for i in 0..taps.len() {
                let (first, weights) = taps.at(i);
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5 && weights.iter().all(|w| *w >= 0.0));
                assert!((taps.starts[first]..taps.starts[first + 1]).contains(&(i as u32)));
            }
        }
    }

    #[test]
    fn the_usual_case_has_three_taps() {
        assert_eq!(AxisTaps::composed(256, 1024, 1024, 1280).taps, 3);
        assert_eq!(AxisTaps::direct(256, 1280).taps, 2);
    }
}
