//! Metrics in the text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

use super::snapshot::Snapshot;
use crate::engine::Stage;

/// Returns all metrics of all cameras. `docs/interfaces.md` documents the names and labels.
pub fn exposition(snapshots: &[Snapshot]) -> String {
    let mut page = Page { text: String::new(), snapshots };
    page.add_counters();
    page.add_stages();
    page.add_usage();
    page.add_state();
    page.add_machine();
    page.text
}

/// The text under construction.
struct Page<'a> {
    text: String,
    snapshots: &'a [Snapshot],
}

/// Adds a line: suffix of the name, labels, value.
type Line<'a> = &'a mut dyn FnMut(&str, &[(&str, &str)], &dyn Display);

impl Page<'_> {
    fn add_counters(&mut self) {
        self.family("promptseg_images_total", "counter", "Images of the camera, by outcome.", |s, line| {
            let m = &s.now;
            for (outcome, count) in [
                ("received", m.frames_in),
                ("encoded", m.frames_encoded),
                ("superseded", m.frames_superseded),
                ("unneeded", m.frames_unneeded),
                ("late", m.frames_late),
            ] {
                line("", &[("outcome", outcome)], &count);
            }
            if let Some(lost) = m.frames_lost {
                line("", &[("outcome", "lost")], &lost);
            }
        });
        self.counter("promptseg_results_total", "Results that were published.", |s| s.now.results);
        self.counter("promptseg_masks_total", "Masks that were computed.", |s| s.now.masks);
        self.counter("promptseg_detections_filtered_total", "Boxes of detectors that were not taken.", |s| {
            s.now.detections_filtered
        });
        self.counter("promptseg_objects_lost_total", "How often an object was lost.", |s| s.now.objects_lost);
        let help = "Generations (masks of everything), by outcome; requested counts all.";
        self.family("promptseg_generations_total", "counter", help, |s, line| {
            let g = &s.now.generations;
            for (outcome, count) in [
                ("requested", g.requested),
                ("finished", g.finished),
                ("refused", g.refused),
                ("cancelled", g.cancelled),
                ("superseded", g.superseded),
            ] {
                line("", &[("outcome", outcome)], &count);
            }
        });
        let help = "Masks beyond the largest number or the memory for one generation.";
        self.counter("promptseg_generation_masks_left_out_total", help, |s| s.now.generations.masks_left_out);
        self.family("promptseg_text_searches_total", "counter", "Searches for phrases, by outcome.", |s, line| {
            let t = &s.now.text;
            line("", &[("outcome", "finished")], &t.searches.saturating_sub(t.superseded));
            line("", &[("outcome", "superseded")], &t.superseded);
        });
        self.counter("promptseg_text_boxes_total", "Boxes of objects that phrases name.", |s| s.now.text.boxes);
        self.counter("promptseg_text_phrases_refused_total", "Phrases that were refused.", |s| s.now.text.refused);
        self.family("promptseg_refused_total", "counter", "Inputs that were refused, by reason.", |s, line| {
            for (kind, count) in &s.now.refused {
                line("", &[("reason", kind.name())], count);
            }
        });
        self.counter("promptseg_panics_total", "Panics that were caught.", |s| s.now.panics);
    }

    fn add_stages(&mut self) {
        let help = "Duration of each stage; quantiles of the last 256.";
        self.family("promptseg_stage_seconds", "summary", help, |s, line| {
            for stage in Stage::ALL {
                let (p, name) = (s.now.latency(stage), stage.name().replace(' ', "_"));
                for (quantile, ms) in [("0.5", p.p50), ("0.95", p.p95), ("0.99", p.p99), ("1", p.max)] {
                    line("", &[("stage", &name), ("quantile", quantile)], &(f64::from(ms) / 1e3));
                }
                let (count, sum) = s.now.total(stage);
                line("_sum", &[("stage", &name)], &(sum / 1e3));
                line("_count", &[("stage", &name)], &count);
            }
        });
    }

    fn add_usage(&mut self) {
        let help = "Inputs that wait for their turn or their frame, by kind.";
        self.family("promptseg_waiting", "gauge", help, |s, line| {
            let u = &s.usage;
            for (kind, count) in [
                ("prompts", u.prompts),
                ("detections", u.queries),
                ("images", u.to_encode),
                ("generations", u.generations),
            ] {
                line("", &[("kind", kind)], &count);
            }
        });
        self.family("promptseg_held", "gauge", "Number of kept frames, images and objects, by kind.", |s, line| {
            let u = &s.usage;
            for (kind, count) in [("frames", u.kept_frames), ("images", u.images), ("objects", u.objects)] {
                line("", &[("kind", kind)], &count);
            }
        });
        let help = "Memory of kept frames, images and objects, by kind.";
        self.family("promptseg_held_bytes", "gauge", help, |s, line| {
            let u = &s.usage;
            for (kind, bytes) in [("frames", u.kept_bytes), ("images", u.image_bytes), ("objects", u.object_bytes)] {
                line("", &[("kind", kind)], &bytes);
            }
        });
    }

    fn add_state(&mut self) {
        self.family("promptseg_health", "gauge", "0 ok, 1 warning, 2 error: the level in /diagnostics.", |s, line| {
            line("", &[], &(s.health().0 as u8));
        });
        self.family("promptseg_model_info", "gauge", "Model, and providers that run it.", |s, line| {
            let m = &s.model;
            let labels = [("model", &m.name), ("hash", &m.hash), ("encoder", &m.encoder), ("decoder", &m.decoder)];
            line("", &labels.map(|(key, value)| (key, value.as_str())), &1);
        });
    }

    /// Adds the metrics of the machine, which have no label for the camera.
    fn add_machine(&mut self) {
        let first = self.snapshots.first();
        if let Some(bytes) = first.and_then(|s| s.resident) {
            self.header("process_resident_memory_bytes", "gauge", "Resident memory of the process.");
            self.line("process_resident_memory_bytes", &[], &bytes);
        }
        if let Some(jetson) = first.and_then(|s| s.jetson.as_ref()) {
            self.header("promptseg_temperature_celsius", "gauge", "Temperatures of the board.");
            for (zone, degrees) in &jetson.temperatures {
                self.line("promptseg_temperature_celsius", &[("zone", zone)], degrees);
            }
            self.header("promptseg_throttled", "gauge", "Whether the board is throttled.");
            self.line("promptseg_throttled", &[], &u8::from(!jetson.throttled.is_empty()));
        }
    }

    fn header(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// Adds a counter without labels for each camera.
    fn counter(&mut self, name: &str, help: &str, count: impl Fn(&Snapshot) -> u64) {
        self.family(name, "counter", help, |s, line| line("", &[], &count(s)));
    }

    /// Adds a metric for each camera.
    fn family(&mut self, name: &str, kind: &str, help: &str, lines: impl Fn(&Snapshot, Line<'_>)) {
        self.header(name, kind, help);
        for snapshot in self.snapshots {
            lines(snapshot, &mut |suffix, labels, value| {
                let camera = [("camera", snapshot.camera.as_str())];
                let camera = if snapshot.camera.is_empty() { &[][..] } else { &camera };
                self.line(&format!("{name}{suffix}"), &[camera, labels].concat(), value);
            });
        }
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: &dyn Display) {
        let label = |(key, value): &(&str, &str)| format!("{key}=\"{}\"", escaped(value));
        let labels = labels.iter().map(label).collect::<Vec<_>>().join(",");
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }
}

/// Escapes the value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::model_facts::ModelFacts;
    use super::*;
    use crate::engine::RefusalKind;

    fn snapshot(camera: &str) -> Snapshot {
        let mut s = Snapshot { camera: camera.into(), seconds: 1.0, resident: Some(4096), ..Snapshot::default() };
        s.now.frames_in = 7;
        s.now.refuse(RefusalKind::BadImage);
        s.now.record(Stage::Decode, 20.0);
        s.model = ModelFacts { name: "a \"b\"\\c".into(), ..ModelFacts::default() };
        s
    }

    #[test]
    fn every_line_follows_the_format() {
        let page = exposition(&[snapshot("front"), snapshot("rear")]);
        for line in page.lines().filter(|l| !l.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = name.split('{').next().unwrap();
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
        }
        // Each family has one TYPE line.
        let mut heads: Vec<&str> = page.lines().filter(|l| l.starts_with("# TYPE")).collect();
        let count = heads.len();
        heads.dedup();
        assert_eq!(heads.len(), count);
    }

    #[test]
    fn cameras_are_labels_and_label_values_are_escaped() {
        let page = exposition(&[snapshot("front"), snapshot("rear")]);
        for line in [
            "promptseg_images_total{camera=\"rear\",outcome=\"received\"} 7",
            "promptseg_refused_total{camera=\"front\",reason=\"bad_image\"} 1",
            "promptseg_stage_seconds{camera=\"front\",stage=\"decode\",quantile=\"0.5\"} 0.02",
            "promptseg_stage_seconds_count{camera=\"front\",stage=\"decode\"} 1",
            "process_resident_memory_bytes 4096",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
        }
        assert!(page.contains("model=\"a \\\"b\\\"\\\\c\""), "{page}");
        let alone = exposition(&[snapshot("")]);
        assert!(alone.contains("promptseg_results_total 0\n"), "{alone}");
    }
}
