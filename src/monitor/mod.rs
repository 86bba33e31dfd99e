//! How the engine of a camera is doing: the numbers behind `/diagnostics` and the metrics endpoint, and what they mean.

mod exposition;
mod health;
mod http;
mod system;

pub use exposition::exposition;
pub use health::Level;
pub use http::{parse_address, serve};
pub use system::{Jetson, System};

use crate::engine::{KeepLimits, Metrics, NO_MEMORY, RefusalKind, Stage, Usage};
use crate::model::{Model, ProviderReport};

/// What is known about the model that runs, and does not change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFacts {
    pub name: String,
    /// Of its files, as the bundle lists them; empty for graphs without a bundle.
    pub hash: String,
    /// Provider and precision.
    pub encoder: String,
    pub decoder: String,
    /// Of the two graphs of a memory, with their names; empty where none is open.
    pub memory: String,
    /// Why not on a provider, or in a precision, that was asked for before: one sentence each.
    pub not_better: Vec<String>,
    /// What else is to be known of the sessions, such as engines that could not be kept.
    pub notes: Vec<String>,
}

impl ModelFacts {
    pub fn of(model: &Model) -> Self {
        let reports = model.reports();
        let not_on = |(part, report): &(&str, &ProviderReport)| -> Vec<String> {
            report.refused.iter().map(|refused| format!("{part}: not on {refused}")).collect()
        };
        let runs = |part: &str, report: &ProviderReport| format!("{part} on {}", report.runs());
        let memory = reports.iter().filter(|(part, _)| part.starts_with("memory"));
        ModelFacts {
            name: model.info.name.clone(),
            hash: model.info.hash.clone(),
            encoder: model.encoder.providers().runs(),
            decoder: model.decoder.providers().runs(),
            memory: memory.map(|(part, report)| runs(part, report)).collect::<Vec<_>>().join(", "),
            not_better: reports.iter().flat_map(not_on).collect(),
            notes: reports.iter().flat_map(|(_, report)| report.notes.clone()).collect(),
        }
    }
}

/// Key of the process's resident memory in `/diagnostics`.
pub const RESIDENT: &str = "resident memory (MB)";

/// Its value, of bytes.
pub fn resident(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / 1e6)
}

/// One camera at one moment, and how it was `seconds` before.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Empty for the only camera of a node.
    pub camera: String,
    /// Full name, after remapping.
    pub image_topic: String,
    pub model: ModelFacts,
    /// Perhaps of another engine: see [`Metrics::gained`].
    pub before: Metrics,
    pub now: Metrics,
    pub seconds: f64,
    pub usage: Usage,
    pub keep: KeepLimits,
    /// Resident memory of the process, bytes.
    pub resident: Option<u64>,
    pub jetson: Option<Jetson>,
}

impl Snapshot {
    fn rate(&self, count: impl Fn(&Metrics) -> u64) -> f64 {
        self.gained(count) as f64 / self.seconds.max(1e-3)
    }

    /// How many more there are than before.
    fn gained(&self, count: impl Fn(&Metrics) -> u64) -> u64 {
        self.now.gained(&self.before, count)
    }

    fn newly_refused(&self, kind: RefusalKind) -> u64 {
        self.gained(|m| m.refused.get(&kind).copied().unwrap_or_default())
    }

    /// What `/diagnostics` shows, in this order; the keys are documented in `docs/interfaces.md`.
    pub fn values(&self) -> Vec<(String, String)> {
        let (now, usage) = (&self.now, &self.usage);
        let megabytes = |bytes: usize| format!("{:.1}", bytes as f64 / 1e6);
        let model = &self.model;
        let mut values: Vec<(String, String)> = Vec::new();
        let mut add = |key: &str, value: String| values.push((key.to_owned(), value));
        add("model", model.name.clone());
        add(
            "model hash",
            if model.hash.is_empty() { "none: files without bundle.json".into() } else { model.hash.clone() },
        );
        add("encoder provider", model.encoder.clone());
        add("decoder provider", model.decoder.clone());
        let feedback = format!("mask feedback: {NO_MEMORY}");
        add("tracking", if model.memory.is_empty() { feedback } else { "memory".to_owned() });
        if !model.memory.is_empty() {
            add("memory providers", model.memory.clone());
        }
        let listed = |list: &[String]| if list.is_empty() { "none".into() } else { list.join("; ") };
        add("better providers", listed(&model.not_better));
        add("provider notes", listed(&model.notes));
        add("images in (1/s)", format!("{:.1}", self.rate(|m| m.frames_in)));
        if now.frames_lost.is_some() {
            let lost = self.rate(|m| m.frames_lost.unwrap_or_default());
            add("images lost by the middleware (1/s)", format!("{lost:.1}"));
        }
        add("images superseded by a newer one (1/s)", format!("{:.1}", self.rate(|m| m.frames_superseded)));
        add("images encoded (1/s)", format!("{:.1}", self.rate(|m| m.frames_encoded)));
        add("results (1/s)", format!("{:.1}", self.rate(|m| m.results)));
        add("masks (1/s)", format!("{:.1}", self.rate(|m| m.masks)));
        add("images in", now.frames_in.to_string());
        if let Some(lost) = now.frames_lost {
            add("images lost by the middleware", lost.to_string());
        }
        add("images encoded", now.frames_encoded.to_string());
        add("images superseded by a newer one", now.frames_superseded.to_string());
        add("images nobody needed", now.frames_unneeded.to_string());
        add("images late", now.frames_late.to_string());
        add("encoder", if usage.is_idle { "idle: nobody needs the images".into() } else { "at work".into() });
        add("results", now.results.to_string());
        add("masks", now.masks.to_string());
        add("prompts waiting", usage.prompts.to_string());
        add("detections and questions waiting", usage.queries.to_string());
        add("images to encode for prompts", usage.to_encode.to_string());
        add("detections not taken (score, class, number)", now.detections_filtered.to_string());
        add("objects", usage.objects.to_string());
        add("objects lost", now.objects_lost.to_string());
        add("objects (MB)", megabytes(usage.object_bytes));
        add("kept frames", usage.kept_frames.to_string());
        add("kept frames (MB)", megabytes(usage.kept_bytes));
        add("most kept frames", self.keep.frames.to_string());
        add("most kept frames (MB)", megabytes(self.keep.bytes));
        add("kept images", usage.images.to_string());
        add("kept images (MB)", megabytes(usage.image_bytes));
        if let Some(bytes) = self.resident {
            add(RESIDENT, resident(bytes));
        }
        for stage in Stage::ALL {
            let p = now.latency(stage);
            for (statistic, ms) in [("p50", p.p50), ("p95", p.p95), ("max", p.max)] {
                add(&format!("{} {statistic} (ms)", stage.name()), format!("{ms:.1}"));
            }
        }
        add("panics", now.panics.to_string());
        for (kind, count) in &now.refused {
            add(&format!("refused: {}", kind.name()), count.to_string());
        }
        if let Some(jetson) = &self.jetson {
            add("board", jetson.board.clone());
            add("power mode", jetson.power_mode.clone().unwrap_or_else(|| "unknown".into()));
            for (zone, degrees) in &jetson.temperatures {
                add(&format!("temperature of {zone} (C)"), format!("{degrees:.1}"));
            }
            let throttled = if jetson.throttled.is_empty() { "no".into() } else { jetson.throttled.join(", ") };
            add("throttled", throttled);
        }
        values
    }
}
