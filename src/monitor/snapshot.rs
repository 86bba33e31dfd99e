//! The state of one camera at one time, and its values in `/diagnostics`.

use std::fmt::Display;

use super::model_facts::{ModelFacts, TextSessions};
use super::system::Jetson;
use crate::engine::{KeepLimits, Metrics, NO_MEMORY, Stage, Usage};

/// Key of the process's resident memory in `/diagnostics`.
pub const RESIDENT_MEMORY_KEY: &str = "resident memory (MB)";

/// Returns the value of [`RESIDENT_MEMORY_KEY`] for a number of bytes.
pub fn resident_memory_text(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / 1e6)
}

/// The state of one camera now and `seconds` ago.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Name of the camera; empty if the node has a single camera.
    pub camera: String,
    /// Full name of the image topic, after remapping.
    pub image_topic: String,
    pub model: ModelFacts,
    /// Metrics `seconds` ago, which may belong to an earlier engine: see [`Metrics::gained`].
    pub before: Metrics,
    /// Metrics now.
    pub now: Metrics,
    pub seconds: f64,
    pub usage: Usage,
    pub keep: KeepLimits,
    /// Resident memory of the process in bytes.
    pub resident: Option<u64>,
    /// None on any machine except a Jetson.
    pub jetson: Option<Jetson>,
    /// None without a text model.
    pub text: Option<TextFacts>,
}

/// The text model, and what it searches for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextFacts {
    pub model: String,
    pub sessions: TextSessions,
    /// Phrases that are searched for.
    pub phrases: Vec<String>,
}

/// Returns sentences in a line.
fn joined(list: &[String]) -> String {
    if list.is_empty() { "none".to_owned() } else { list.join("; ") }
}

/// Keys and values of `/diagnostics`, in the order in which they are shown.
#[derive(Default)]
struct Values(Vec<(String, String)>);

impl Values {
    fn add(&mut self, key: &str, value: impl Display) {
        self.0.push((key.to_owned(), value.to_string()));
    }

    fn add_megabytes(&mut self, key: &str, bytes: usize) {
        self.add(key, format!("{:.1}", bytes as f64 / 1e6));
    }

    fn add_rate(&mut self, key: &str, rate: f64) {
        self.add(key, format!("{rate:.1}"));
    }
}

impl Snapshot {
    /// Returns how much a counter grew in the last `seconds`.
    pub(super) fn gained(&self, count: impl Fn(&Metrics) -> u64) -> u64 {
        self.now.gained(&self.before, count)
    }

    /// Returns how much a counter grew for each second.
    pub(super) fn rate(&self, count: impl Fn(&Metrics) -> u64) -> f64 {
        self.gained(count) as f64 / self.seconds.max(1e-3)
    }

    /// Returns the keys and values of `/diagnostics`; `docs/interfaces.md` documents the keys.
    pub fn values(&self) -> Vec<(String, String)> {
        let mut values = Values::default();
        self.add_model(&mut values);
        self.add_rates(&mut values);
        self.add_counts(&mut values);
        self.add_text(&mut values);
        self.add_usage(&mut values);
        self.add_latencies(&mut values);
        values.add("panics", self.now.panics);
        for (kind, count) in &self.now.refused {
            values.add(&format!("refused: {}", kind.name()), count);
        }
        self.add_jetson(&mut values);
        values.0
    }

    fn add_model(&self, values: &mut Values) {
        let model = &self.model;
        values.add("model", &model.name);
        let hash = if model.hash.is_empty() { "none: files without bundle.json" } else { model.hash.as_str() };
        values.add("model hash", hash);
        values.add("encoder provider", &model.encoder);
        values.add("decoder provider", &model.decoder);
        if model.memory.is_empty() {
            values.add("tracking", format!("mask feedback: {NO_MEMORY}"));
        } else {
            values.add("tracking", "memory");
            values.add("memory providers", &model.memory);
        }
        values.add("better providers", joined(&model.refused));
        values.add("provider notes", joined(&model.notes));
    }

    fn add_rates(&self, values: &mut Values) {
        values.add_rate("images in (1/s)", self.rate(|m| m.frames_in));
        if self.now.frames_lost.is_some() {
            values.add_rate("images lost by the middleware (1/s)", self.rate(|m| m.frames_lost.unwrap_or_default()));
        }
        values.add_rate("images superseded by a newer one (1/s)", self.rate(|m| m.frames_superseded));
        values.add_rate("images encoded (1/s)", self.rate(|m| m.frames_encoded));
        values.add_rate("results (1/s)", self.rate(|m| m.results));
        values.add_rate("masks (1/s)", self.rate(|m| m.masks));
    }

    fn add_counts(&self, values: &mut Values) {
        let now = &self.now;
        values.add("images in", now.frames_in);
        if let Some(lost) = now.frames_lost {
            values.add("images lost by the middleware", lost);
        }
        values.add("images encoded", now.frames_encoded);
        values.add("images superseded by a newer one", now.frames_superseded);
        values.add("images nobody needed", now.frames_unneeded);
        values.add("images late", now.frames_late);
        let encoder = if self.usage.is_idle { "idle: nobody needs the images" } else { "at work" };
        values.add("encoder", encoder);
        values.add("results", now.results);
        values.add("masks", now.masks);
        let generations = &now.generations;
        values.add("generations requested", generations.requested);
        values.add("generations finished", generations.finished);
        values.add("generations refused", generations.refused);
        values.add("generations cancelled", generations.cancelled);
        values.add("generations superseded", generations.superseded);
        values.add("masks left out of generations", generations.masks_left_out);
    }

    fn add_text(&self, values: &mut Values) {
        let Some(facts) = &self.text else { return };
        let counts = &self.now.text;
        values.add("text model", &facts.model);
        values.add("text providers", &facts.sessions.runs);
        values.add("text better providers", joined(&facts.sessions.refused));
        values.add("text provider notes", joined(&facts.sessions.notes));
        let phrases = if facts.phrases.is_empty() { "none".to_owned() } else { facts.phrases.join(", ") };
        values.add("text phrases", phrases);
        values.add_rate("text searches (1/s)", self.rate(|m| m.text.searches));
        values.add("text searches", counts.searches);
        values.add("text searches superseded by new phrases", counts.superseded);
        values.add("last text search (ms)", format!("{:.1}", counts.last_ms));
        values.add("text boxes", counts.boxes);
        values.add("text phrases refused", counts.refused);
        values.add("text frames gone", counts.frames_gone);
    }

    fn add_usage(&self, values: &mut Values) {
        let (now, usage) = (&self.now, &self.usage);
        values.add("prompts waiting", usage.prompts);
        values.add("detections and questions waiting", usage.queries);
        values.add("images to encode for prompts", usage.to_encode);
        values.add("generations running or waiting", usage.generations);
        values.add("detections not taken (score, class, number)", now.detections_filtered);
        values.add("objects", usage.objects);
        values.add("objects lost", now.objects_lost);
        values.add_megabytes("objects (MB)", usage.object_bytes);
        values.add("kept frames", usage.kept_frames);
        values.add_megabytes("kept frames (MB)", usage.kept_bytes);
        values.add("most kept frames", self.keep.frames);
        values.add_megabytes("most kept frames (MB)", self.keep.bytes);
        values.add("kept images", usage.images);
        values.add_megabytes("kept images (MB)", usage.image_bytes);
        if let Some(bytes) = self.resident {
            values.add(RESIDENT_MEMORY_KEY, resident_memory_text(bytes));
        }
    }

    fn add_latencies(&self, values: &mut Values) {
        for stage in Stage::ALL {
            let p = self.now.latency(stage);
            for (statistic, ms) in [("p50", p.p50), ("p95", p.p95), ("max", p.max)] {
                values.add(&format!("{} {statistic} (ms)", stage.name()), format!("{ms:.1}"));
            }
        }
    }

    fn add_jetson(&self, values: &mut Values) {
        let Some(jetson) = &self.jetson else { return };
        values.add("board", &jetson.board);
        values.add("power mode", jetson.power_mode.as_deref().unwrap_or("unknown"));
        for (zone, degrees) in &jetson.temperatures {
            values.add(&format!("temperature of {zone} (C)"), format!("{degrees:.1}"));
        }
        let throttled = if jetson.throttled.is_empty() { "no".to_owned() } else { jetson.throttled.join(", ") };
        values.add("throttled", throttled);
    }
}
