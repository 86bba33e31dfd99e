//! `/diagnostics` at 1 Hz: rates, latencies, drops by reason, what is kept, which provider runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use r2r::Clock;
use r2r::builtin_interfaces::msg::Time;
use r2r::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus, KeyValue};
use r2r::std_msgs::msg::Header;

use super::camera::Shared;
use super::topics::Output;
use crate::engine::{Metrics, RefusalKind, StageMs};

type Stage = fn(&StageMs) -> f32;

/// Publishes once a second until the publisher is gone.
pub async fn report(
    cameras: Vec<Arc<Shared>>,
    node_name: String,
    publisher: Output<DiagnosticArray>,
    clock: Arc<Mutex<Clock>>,
) {
    let mut before: Vec<Metrics> = cameras.iter().map(|c| c.engine.metrics()).collect();
    let mut since = Instant::now();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    loop {
        second.tick().await;
        let seconds = since.elapsed().as_secs_f64();
        since = Instant::now();
        let now: Vec<Metrics> = cameras.iter().map(|c| c.engine.metrics()).collect();
        let each = cameras.iter().zip(&before).zip(&now);
        let status = each.map(|((camera, before), now)| status(camera, &node_name, before, now, seconds)).collect();
        before = now;
        let header = Header { stamp: stamp(&clock), frame_id: String::new() };
        if publisher.publish(&DiagnosticArray { header, status }).is_err() {
            // Only while the node goes away.
            return;
        }
    }
}

fn stamp(clock: &Mutex<Clock>) -> Time {
    let time = clock.lock().unwrap_or_else(PoisonError::into_inner).get_now().unwrap_or_default();
    Clock::to_builtin_time(&time)
}

/// The status of one second out of the counters and those of the second before.
fn status(camera: &Shared, node_name: &str, before: &Metrics, now: &Metrics, seconds: f64) -> DiagnosticStatus {
    let rate = |new: u64, old: u64| (new - old) as f64 / seconds.max(1e-3);
    let frames_in = rate(now.frames_in, before.frames_in);
    let refused_now: u64 = now.refused.values().sum::<u64>() - before.refused.values().sum::<u64>();
    let failing = count(now, RefusalKind::ModelFailed) > count(before, RefusalKind::ModelFailed);
    let (level, message) = if failing {
        (DiagnosticStatus::ERROR as u8, "the model fails".to_owned())
    } else if now.frames_in == before.frames_in {
        (DiagnosticStatus::WARN as u8, format!("no images: does the camera publish on '{}'?", camera.image_topic))
    } else if refused_now > 0 {
        (DiagnosticStatus::WARN as u8, format!("{refused_now} inputs refused in the last second"))
    } else {
        (DiagnosticStatus::OK as u8, format!("{frames_in:.1} images/s"))
    };
    let (kept, kept_bytes) = camera.engine.kept();
    let mut values = vec![
        pair("model", &camera.model.name),
        pair("encoder provider", &camera.model.encoder_provider),
        pair("decoder provider", &camera.model.decoder_provider),
        pair("images in (1/s)", format!("{frames_in:.1}")),
        pair("images encoded (1/s)", format!("{:.1}", rate(now.frames_encoded, before.frames_encoded))),
        pair("results (1/s)", format!("{:.1}", rate(now.results, before.results))),
        pair("images in", now.frames_in),
        pair("images encoded", now.frames_encoded),
        pair("images superseded by a newer one", now.frames_superseded),
        pair("masks", now.masks),
        pair("prompts waiting", camera.engine.waiting()),
        pair("detections not taken (score, class, number)", now.detections_filtered),
        pair("kept frames", kept),
        pair("kept frames (MB)", format!("{:.1}", kept_bytes as f64 / 1e6)),
        pair("resident memory (MB)", resident_megabytes().map_or_else(|| "unknown".into(), |m| format!("{m:.0}"))),
    ];
    let stages: [(&str, Stage); 5] = [
        ("preprocess", |s| s.preprocess),
        ("encode", |s| s.encode),
        ("decode", |s| s.decode),
        ("postprocess", |s| s.postprocess),
        ("total", |s| s.total),
    ];
    for (name, stage) in stages {
        let p = now.latency(stage);
        values
            .push(pair(&format!("{name} p50 / p95 / max (ms)"), format!("{:.1} / {:.1} / {:.1}", p.p50, p.p95, p.max)));
    }
    for (kind, count) in &now.refused {
        values.push(pair(&format!("refused: {}", kind.name()), count));
    }
    let task =
        if camera.camera.is_empty() { "segmentation".into() } else { format!("segmentation of {}", camera.camera) };
    DiagnosticStatus {
        level,
        name: format!("{}: {task}", node_name.trim_start_matches('/')),
        message,
        hardware_id: String::new(),
        values,
    }
}

fn count(metrics: &Metrics, kind: RefusalKind) -> u64 {
    metrics.refused.get(&kind).copied().unwrap_or_default()
}

fn pair(key: &str, value: impl ToString) -> KeyValue {
    KeyValue { key: key.to_owned(), value: value.to_string() }
}

/// Resident memory of this process, where the system has /proc.
fn resident_megabytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kilobytes| kilobytes / 1024.0)
}
