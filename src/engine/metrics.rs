//! Counters and latencies of the engine. Everything that is dropped is counted; memory is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use super::refusal::RefusalKind;

/// Number of engines that this process started.
static ENGINES: AtomicU64 = AtomicU64::new(0);

/// Number of measurements of a stage over which percentiles are computed.
const WINDOW: usize = 256;

/// Stage on the way from an image or a prompt to masks. An encoded image is measured once in each of the first four stages, an
/// answer once in each of the next three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Wait of an image for the encoder.
    ImageWait,
    /// Conversion of the message's pixels to RGB: JPEG, YUV, Bayer.
    Convert,
    /// Conversion of RGB to the network's input.
    Preprocess,
    /// Session of the image encoder.
    Encode,
    /// Wait of a prompt for its turn or its frame.
    PromptWait,
    /// Prompt encoder and session of the mask decoder.
    Decode,
    /// Conversion of low-resolution logits to masks at the size of the image.
    Postprocess,
    /// Conversion of masks to messages, and their publication.
    Publish,
    /// Measurement of the objects of a result with a depth image, and publication in metres.
    Depth,
    /// From the arrival of an image to the masks of its objects.
    ImageToMasks,
    /// From the arrival of a prompt to its masks.
    PromptToMasks,
    /// Masks of everything: from the first batch of clicks to the masks.
    Generation,
    /// Search of a frame for phrases.
    TextSearch,
}

impl Stage {
    pub const ALL: [Stage; 13] = [
        Stage::ImageWait,
        Stage::Convert,
        Stage::Preprocess,
        Stage::Encode,
        Stage::PromptWait,
        Stage::Decode,
        Stage::Postprocess,
        Stage::Publish,
        Stage::Depth,
        Stage::ImageToMasks,
        Stage::PromptToMasks,
        Stage::Generation,
        Stage::TextSearch,
    ];

    /// Returns the name in diagnostics.
    pub fn name(self) -> &'static str {
        match self {
            Stage::ImageWait => "image wait",
            Stage::Convert => "convert",
            Stage::Preprocess => "preprocess",
            Stage::Encode => "encode",
            Stage::PromptWait => "prompt wait",
            Stage::Decode => "decode",
            Stage::Postprocess => "postprocess",
            Stage::Publish => "publish",
            Stage::Depth => "depth",
            Stage::ImageToMasks => "image to masks",
            Stage::PromptToMasks => "prompt to masks",
            Stage::Generation => "generation",
            Stage::TextSearch => "text search",
        }
    }
}

/// Counters since the start, and the last latencies of each stage.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Number of the engine in this process, from 1. Counters of two engines are not comparable.
    pub epoch: u64,
    pub frames_in: u64,
    /// Frames that the camera published and the middleware lost. `None` if the middleware does not number messages.
    pub frames_lost: Option<u64>,
    pub frames_encoded: u64,
    /// Frames that a newer frame replaced before the encoder had time for them.
    pub frames_superseded: u64,
    /// Frames that a newer frame replaced and that were not needed: see [`EncodeMode`](super::settings::EncodeMode).
    pub frames_unneeded: u64,
    /// Frames that arrived after a frame with a newer stamp.
    pub frames_late: u64,
    pub results: u64,
    /// Computed masks.
    pub masks: u64,
    /// Boxes of detectors that the filters (score, class, number) removed.
    pub detections_filtered: u64,
    /// How often an object was lost: tracking did not find it, or the aspect ratio of the image changed.
    pub objects_lost: u64,
    /// Caught panics. Each lost one frame or one prompt.
    pub panics: u64,
    pub refused: BTreeMap<RefusalKind, u64>,
    pub generations: GenerationCounts,
    pub text: TextCounts,
    latencies: [Window; Stage::ALL.len()],
}

/// Counters of generations: of requests for everything, and of the running mode. Every generation is counted once when it is
/// requested, and once when it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GenerationCounts {
    pub requested: u64,
    pub finished: u64,
    /// Refused before or while they ran; the reasons are counted in [`Metrics::refused`].
    pub refused: u64,
    /// Ended because the client cancelled, or is gone.
    pub cancelled: u64,
    /// Ended because a newer request came.
    pub superseded: u64,
    /// Masks beyond the largest number or the memory for one result.
    pub masks_left_out: u64,
}

/// Counters of searches for phrases.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TextCounts {
    /// Frames that were searched.
    pub searches: u64,
    /// Boxes that were found.
    pub boxes: u64,
    /// Searches whose boxes were dropped, because the phrases changed in the meantime.
    pub superseded: u64,
    /// Frames that were to be searched and were gone.
    pub frames_gone: u64,
    /// Phrases that were refused.
    pub refused: u64,
    /// Duration of the last search in milliseconds.
    pub last_ms: f32,
}

/// The last measurements of a stage, in milliseconds.
#[derive(Debug, Clone, Default)]
struct Window {
    last: VecDeque<f32>,
    count: u64,
    sum: f64,
}

/// Percentiles over the last measurements, in milliseconds; zero without measurements.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Percentiles {
    pub p50: f32,
    pub p95: f32,
    pub p99: f32,
    pub max: f32,
}

impl Metrics {
    /// Returns the counters of a new engine.
    pub(super) fn of_new_engine() -> Self {
        Metrics { epoch: ENGINES.fetch_add(1, Ordering::Relaxed) + 1, ..Metrics::default() }
    }

    /// Returns the increase of a counter since `before`. If the engine was restarted in between, this is the whole count.
    pub fn gained(&self, before: &Metrics, count: impl Fn(&Metrics) -> u64) -> u64 {
        let before = if before.epoch == self.epoch { count(before) } else { 0 };
        count(self).saturating_sub(before)
    }

    pub fn refuse(&mut self, kind: RefusalKind) {
        *self.refused.entry(kind).or_default() += 1;
    }

    pub fn record(&mut self, stage: Stage, ms: f32) {
        let window = &mut self.latencies[stage as usize];
        window.count += 1;
        window.sum += f64::from(ms);
        window.last.push_back(ms);
        if window.last.len() > WINDOW {
            window.last.pop_front();
        }
    }

    pub fn latency(&self, stage: Stage) -> Percentiles {
        let mut ms: Vec<f32> = self.latencies[stage as usize].last.iter().copied().collect();
        ms.sort_by(f32::total_cmp);
        let at = |q: f32| ms.get(((ms.len() as f32 - 1.0) * q).round() as usize).copied().unwrap_or_default();
        Percentiles { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1.0) }
    }

    /// Returns the number of measurements of a stage since the start, and their sum in milliseconds.
    pub fn total(&self, stage: Stage) -> (u64, f64) {
        let window = &self.latencies[stage as usize];
        (window.count, window.sum)
    }
}

/// Current memory and queues of the engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Encoded frames.
    pub kept_frames: usize,
    pub kept_bytes: usize,
    /// Images that were passed over.
    pub images: usize,
    pub image_bytes: usize,
    /// Prompts that wait for their turn, their frame or their transforms.
    pub prompts: usize,
    pub prompt_bytes: usize,
    /// Detections and `segment` requests that wait for their turn or their frame.
    pub queries: usize,
    pub query_bytes: usize,
    /// Generations that run or wait.
    pub generations: usize,
    /// Images that wait for the encoder on behalf of a prompt or a request.
    pub to_encode: usize,
    pub to_encode_bytes: usize,
    /// The camera's newest frame is not needed and waits in its slot.
    pub is_idle: bool,
    /// Images in the newest-frame slot and on the encoder: at most one each.
    pub in_flight: usize,
    pub objects: usize,
    /// Bytes of the logits and memories of objects, including the objects that `undo` restores. Shared logits count for each object.
    pub object_bytes: usize,
    /// Results on the last frames.
    pub results: usize,
    pub result_bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_over_a_bounded_window() {
        let mut metrics = Metrics::default();
        assert_eq!(metrics.latency(Stage::Decode), Percentiles::default());
        for i in 0..1000 {
            metrics.record(Stage::Decode, i as f32);
        }
        let p = metrics.latency(Stage::Decode);
        assert_eq!((p.max, metrics.latencies[Stage::Decode as usize].last.len()), (999.0, WINDOW));
        assert!((p.p50 - 872.0).abs() <= 1.0 && p.p95 > 980.0 && p.p99 > 995.0, "{p:?}");
        assert_eq!(metrics.total(Stage::Decode), (1000, 499_500.0));
        assert_eq!(metrics.total(Stage::Encode), (0, 0.0));
    }

    #[test]
    fn counters_of_two_engines_have_no_difference() {
        let counted = |mut metrics: Metrics, frames| {
            metrics.frames_in = frames;
            metrics
        };
        let (first, second) = (Metrics::of_new_engine(), Metrics::of_new_engine());
        let (before, after) = (counted(first.clone(), 5), counted(first, 7));
        let restarted = counted(second, 7);
        assert_eq!(after.gained(&before, |m| m.frames_in), 2);
        assert_eq!(before.gained(&after, |m| m.frames_in), 0);
        assert_eq!(restarted.gained(&before, |m| m.frames_in), 7);
    }

    #[test]
    fn every_stage_has_a_place_of_its_own() {
        for (i, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, i);
        }
    }
}
