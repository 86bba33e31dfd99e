//! `/diagnostics` at 1 Hz: rates, latencies, drops by reason, what is kept, which provider runs.

use r2r::builtin_interfaces::msg::Time;
use r2r::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus, KeyValue};
use r2r::std_msgs::msg::Header;

use super::Shared;
use crate::engine::{Metrics, RefusalKind, StageMs};

type Stage = fn(&StageMs) -> f32;

/// Makes the message of one second out of the counters and those of the second before.
pub fn status(
    shared: &Shared,
    node_name: &str,
    stamp: Time,
    before: &Metrics,
    seconds: f64,
) -> (DiagnosticArray, Metrics) {
    let now = shared.engine.metrics();
    let rate = |new: u64, old: u64| (new - old) as f64 / seconds.max(1e-3);
    let frames_in = rate(now.frames_in, before.frames_in);
    let refused_now: u64 = now.refused.values().sum::<u64>() - before.refused.values().sum::<u64>();
    let failing = count(&now, RefusalKind::ModelFailed) > count(before, RefusalKind::ModelFailed);
    let (level, message) = if failing {
        (DiagnosticStatus::ERROR as u8, "the model fails".to_owned())
    } else if now.frames_in == before.frames_in {
        (DiagnosticStatus::WARN as u8, "no images: does the camera publish on 'image'?".to_owned())
    } else if refused_now > 0 {
        (DiagnosticStatus::WARN as u8, format!("{refused_now} inputs refused in the last second"))
    } else {
        (DiagnosticStatus::OK as u8, format!("{frames_in:.1} images/s"))
    };
    let (kept, kept_bytes) = shared.engine.kept();
    let mut values = vec![
        pair("model", &shared.model_name),
        pair("encoder provider", &shared.encoder_provider),
        pair("decoder provider", &shared.decoder_provider),
        pair("images in (1/s)", format!("{frames_in:.1}")),
        pair("images encoded (1/s)", format!("{:.1}", rate(now.frames_encoded, before.frames_encoded))),
        pair("results (1/s)", format!("{:.1}", rate(now.results, before.results))),
        pair("images in", now.frames_in),
        pair("images encoded", now.frames_encoded),
        pair("images superseded by a newer one", now.frames_superseded),
        pair("masks", now.masks),
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
    let status = DiagnosticStatus {
        level,
        name: format!("{}: segmentation", node_name.trim_start_matches('/')),
        message,
        hardware_id: String::new(),
        values,
    };
    (DiagnosticArray { header: Header { stamp, frame_id: String::new() }, status: vec![status] }, now)
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
