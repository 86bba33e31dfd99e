//! The report of a measurement: JSON, and a table.

use promptseg::model::{Model, ProviderReport, runtime};
use serde_json::{Map, Value, json};

use super::stages::{BATCH, Stages};
use crate::failure::Failure;
use crate::terminal;

/// Describes the model and its sessions in JSON.
pub fn describe(model: &Model, device_id: i32) -> Result<Value, Failure> {
    let (encoder, decoder) = (model.encoder.providers(), model.decoder.providers());
    // A reason that encoder and decoder share is listed once.
    let of_all = |list: fn(&ProviderReport) -> Vec<String>| -> Vec<String> {
        let mut lines = Vec::new();
        for line in model.reports().into_iter().flat_map(|(_, report)| list(report)) {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines
    };
    let timings = |report: &ProviderReport| -> Value {
        report.timings.iter().map(|(provider, ms)| (provider.to_string(), json!(ms))).collect::<Map<_, _>>().into()
    };
    let parts = || model.reports().into_iter().map(|(part, report)| (part.replace(' ', "_"), report));
    Ok(json!({
        "model": model.info.name,
        "family": model.info.family,
        "layout": model.info.layout,
        "precision": encoder.precision,
        "provider": encoder.used,
        "decoder_precision": decoder.precision,
        "decoder_provider": decoder.used,
        "parts": parts()
            .map(|(part, r)| (part, json!({ "provider": r.used, "precision": r.precision, "engines_kept": r.engines_kept })))
            .collect::<Map<_, _>>(),
        "refused": of_all(|report| report.refused.iter().map(ToString::to_string).collect()),
        "notes": of_all(|report| report.notes.clone()),
        "timings": parts().map(|(part, report)| (part, timings(report))).collect::<Map<_, _>>(),
        "runtime": runtime::build_info()?,
        "gpu": runtime::gpu_name(device_id),
        "tensorrt": runtime::tensorrt_version(),
    }))
}

/// Adds medians and spreads of the stages.
pub fn add_stages(report: &mut Value, stages: &Stages) {
    let mut spread = json!({});
    for (name, stage) in &stages.named {
        let [low, median, high] = stage.spread();
        report[*name] = json!(median);
        spread[*name] = json!([low, high]);
    }
    report["spread"] = spread;
    let boxes = stages.boxes.iter().map(|(n, stage)| (n.to_string(), json!(stage.median())));
    report["boxes_ms"] = boxes.collect::<Map<_, _>>().into();
}

pub fn print_table(report: &Value, stages: &Stages) {
    let text = |key: &str| report[key].as_str().unwrap_or("unknown").to_owned();
    terminal::print(format!(
        "{}: encoder on {}, {}; decoder on {}, {}; {} threads; {} runs",
        terminal::bold(text("model")),
        text("provider"),
        text("precision"),
        text("decoder_provider"),
        text("decoder_precision"),
        report["threads"],
        report["runs"],
    ));
    for (key, prefix) in [("refused", "not on "), ("notes", "")] {
        for line in report[key].as_array().into_iter().flatten().filter_map(Value::as_str) {
            terminal::print(format!("{prefix}{line}"));
        }
    }
    terminal::print(format!("\n{:<24} {:>10} {:>10} {:>10}", "milliseconds", "median", "lowest", "highest"));
    terminal::print(format!("{:<24} {:>10.1}", "load", report["load_ms"].as_f64().unwrap_or_default()));
    let named = stages.named.iter().map(|(name, stage)| {
        let name = match *name {
            "decode_batch_ms" => format!("decode {BATCH} objects"),
            "decode_ms" => format!("decode one {}", text("prompt")),
            other => other.trim_end_matches("_ms").replace('_', " "),
        };
        (name, stage)
    });
    let boxes = stages.boxes.iter().map(|(n, stage)| (format!("masks of {n} boxes"), stage));
    for (name, stage) in named.chain(boxes) {
        let [low, median, high] = stage.spread();
        terminal::print(format!("{name:<24} {median:>10.2} {low:>10.2} {high:>10.2}"));
    }
    if let Some(ms) = report["track"]["frame_ms"].as_f64() {
        terminal::print(format!("{:<24} {ms:>10.2}", "frame of a track"));
    }
    terminal::print("");
    for (key, name) in [("peak_rss_mb", "peak memory of the process"), ("gpu_mb", "memory of the GPU")] {
        if let Some(megabytes) = report[key].as_f64() {
            terminal::print(format!("{name}: {megabytes:.0} MB"));
        }
    }
    if let [Some(overlap), Some(apart)] = ["mask_iou", "logits"].map(|key| report["parity"][key].as_f64()) {
        let reference = report["parity"]["provider"].as_str().unwrap_or("the reference");
        terminal::print(format!(
            "against {reference}, fp32: masks overlap by {overlap}, logits differ by {apart} of their range"
        ));
    }
}
