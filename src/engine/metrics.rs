//! What the engine counts: nothing is dropped without a trace here.

use std::collections::{BTreeMap, VecDeque};

use super::command::{RefusalKind, StageMs};

/// How many of the last results the latencies are computed over.
const WINDOW: usize = 256;

/// Counters since the start, and the stages of the last results.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub frames_in: u64,
    pub frames_encoded: u64,
    /// Frames that a newer one replaced before the encoder had time for them.
    pub frames_superseded: u64,
    pub results: u64,
    /// Prompted masks that were computed.
    pub masks: u64,
    /// Boxes of detectors that the filters (score, class, number) kept out.
    pub detections_filtered: u64,
    pub refused: BTreeMap<RefusalKind, u64>,
    recent: VecDeque<StageMs>,
}

/// Median and 95th percentile over the last results, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Percentiles {
    pub p50: f32,
    pub p95: f32,
    pub max: f32,
}

impl Metrics {
    pub fn refuse(&mut self, kind: RefusalKind) {
        *self.refused.entry(kind).or_default() += 1;
    }

    pub fn result(&mut self, ms: StageMs, masks: usize) {
        self.results += 1;
        self.masks += masks as u64;
        self.recent.push_back(ms);
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
    }

    /// Latency of one stage over the last results; zeros before the first.
    pub fn latency(&self, stage: impl Fn(&StageMs) -> f32) -> Percentiles {
        let mut ms: Vec<f32> = self.recent.iter().map(stage).collect();
        ms.sort_by(f32::total_cmp);
        let at = |q: f32| ms.get(((ms.len() as f32 - 1.0) * q).round() as usize).copied().unwrap_or_default();
        Percentiles { p50: at(0.5), p95: at(0.95), max: at(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_over_a_bounded_window() {
        let mut metrics = Metrics::default();
        assert_eq!(metrics.latency(|s| s.decode), Percentiles::default());
        for i in 0..1000 {
            metrics.result(StageMs { decode: i as f32, ..StageMs::default() }, 1);
        }
        let p = metrics.latency(|s| s.decode);
        assert_eq!((p.max, metrics.recent.len(), metrics.results), (999.0, WINDOW, 1000));
        assert!((p.p50 - 872.0).abs() <= 1.0 && p.p95 > 980.0, "{p:?}");
    }
}
