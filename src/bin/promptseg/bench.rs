//! `promptseg bench`: measures the time of each stage of a model, and the memory of the process.

use std::path::PathBuf;
use std::time::Instant;

use image::{Rgb, RgbImage};
use promptseg::model::{DecodeOptions, Model, ModelInfo, ProviderReport};
use promptseg::prompt::Prompt;
use promptseg::segmenter::Segmenter;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::model_arguments::{ModelOptions, ModelPath};
use crate::pictures::read_image;
use crate::terminal;

/// Number of objects in the batch.
const BATCH: usize = 16;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelPath,
    /// JPEG or PNG file; the default is a drawn picture of 640 x 480 pixels.
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Number of measured runs, after one run that is not measured.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Print one line of JSON instead of the table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: ModelOptions,
}

/// Measured times of one stage in milliseconds.
#[derive(Default)]
struct Stage(Vec<f64>);

impl Stage {
    /// Returns the lowest, the median and the highest time.
    fn spread(&self) -> [f64; 3] {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |i: usize| sorted.get(i).copied().unwrap_or_default();
        let middle = sorted.len() / 2;
        let median =
            if sorted.len().is_multiple_of(2) { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 } else { at(middle) };
        [at(0), median, at(sorted.len().saturating_sub(1))].map(|ms| (ms * 1e3).round() / 1e3)
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let image = match &arguments.image {
        Some(path) => read_image(path)?,
        None => drawn_picture(640, 480),
    };
    let options = arguments.options.session_options(false)?;
    let spinner = terminal::spinner("loading the model");
    let start = Instant::now();
    let model = arguments.model.open(&options)?;
    let load_ms = start.elapsed().as_secs_f64() * 1e3;
    spinner.finish_and_clear();
    let mut report = describe(&model);
    let mut segmenter = Segmenter::new(model);

    let stages = measure(&mut segmenter, &image, arguments.runs)?;
    report["threads"] = json!(options.session_threads());
    report["image"] = json!([image.width(), image.height()]);
    report["runs"] = json!(arguments.runs);
    report["prompt"] = json!(if prompt(segmenter.info(), &image, 0.5).bbox.is_some() { "box" } else { "click" });
    report["batch"] = json!(BATCH);
    report["load_ms"] = json!((load_ms * 1e3).round() / 1e3);
    let mut spread = json!({});
    for (name, stage) in &stages {
        let [low, median, high] = stage.spread();
        report[*name] = json!(median);
        spread[*name] = json!([low, high]);
    }
    report["spread"] = spread;
    report["peak_rss_mb"] = json!(peak_megabytes());
    if arguments.json {
        terminal::print(report);
    } else {
        print_table(&report, &stages);
    }
    Ok(())
}

/// Describes the model and its sessions in JSON.
fn describe(model: &Model) -> Value {
    let (encoder, decoder) = (model.encoder.providers(), model.decoder.providers());
    // A reason that encoder and decoder share is listed once.
    let of_both = |list: fn(&ProviderReport) -> Vec<String>| -> Vec<String> {
        let mut lines = list(encoder);
        lines.extend(list(decoder).into_iter().filter(|line| !list(encoder).contains(line)));
        lines
    };
    let timings = |report: &ProviderReport| -> Value {
        report.timings.iter().map(|(provider, ms)| (provider.to_string(), json!(ms))).collect::<Map<_, _>>().into()
    };
    let parts = model.reports().into_iter().map(|(part, report)| (part.replace(' ', "_"), timings(report)));
    json!({
        "model": model.info.name,
        "family": model.info.family,
        "layout": model.info.layout,
        "precision": encoder.precision,
        "provider": encoder.used,
        "decoder_precision": decoder.precision,
        "decoder_provider": decoder.used,
        "refused": of_both(|report| report.refused.iter().map(ToString::to_string).collect()),
        "notes": of_both(|report| report.notes.clone()),
        "timings": parts.collect::<Map<_, _>>(),
    })
}

/// Measures each stage `runs` times.
fn measure(segmenter: &mut Segmenter, image: &RgbImage, runs: u32) -> Result<Vec<(&'static str, Stage)>, Failure> {
    let info = segmenter.info();
    let click = [prompt(info, image, 0.4)];
    let batch: Vec<Prompt> = (0..BATCH).map(|i| prompt(info, image, (i as f32 + 0.5) / BATCH as f32)).collect();
    let [mut preprocess, mut encode, mut decode, mut postprocess, mut batch_decode] = [const { Stage(Vec::new()) }; 5];
    let bar = terminal::progress(runs as usize + 1, "runs");
    let options = DecodeOptions::default();
    for run in 0..=runs {
        let encoded = segmenter.set_image(image)?.timings;
        let single = segmenter.predict_many(&click, &options)?.timings;
        let batched = segmenter.predict_many(&batch, &options)?.timings;
        // The first run allocates memory and fills caches.
        if run > 0 {
            preprocess.0.push(encoded.preprocess_ms);
            encode.0.push(encoded.run_ms);
            decode.0.push(single.run_ms);
            postprocess.0.push(single.postprocess_ms);
            batch_decode.0.push(batched.run_ms);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(vec![
        ("preprocess_ms", preprocess),
        ("encode_ms", encode),
        ("decode_ms", decode),
        ("postprocess_ms", postprocess),
        ("decode_batch_ms", batch_decode),
    ])
}

/// Returns a click at a fraction of the picture's width, or a box around that point if the model takes no click alone.
fn prompt(info: &ModelInfo, image: &RgbImage, fraction: f32) -> Prompt {
    let (w, h) = (image.width() as f32, image.height() as f32);
    let (x, y) = (w * fraction, h * 0.5);
    let click = Prompt::point(x, y);
    match info.refusal(&click) {
        None => click,
        Some(_) => Prompt::bbox(x - 0.1 * w, y - 0.2 * h, x + 0.1 * w, y + 0.2 * h),
    }
}

fn print_table(report: &Value, stages: &[(&'static str, Stage)]) {
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
    for (name, stage) in stages {
        let name = match *name {
            "decode_batch_ms" => format!("decode {BATCH} objects"),
            "decode_ms" => format!("decode one {}", text("prompt")),
            other => other.trim_end_matches("_ms").to_owned(),
        };
        let [low, median, high] = stage.spread();
        terminal::print(format!("{name:<24} {median:>10.2} {low:>10.2} {high:>10.2}"));
    }
    if let Some(peak) = report["peak_rss_mb"].as_f64() {
        terminal::print(format!("\npeak memory of the process: {peak:.0} MB"));
    }
}

/// Returns the largest resident memory of this process in MB, or none if the system has no /proc.
fn peak_megabytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kibibytes = line.split_whitespace().nth(1)?.parse::<f64>().ok()?;
    Some((kibibytes * 1024.0 / 1e5).round() / 10.0)
}

/// Draws discs on a gradient.
fn drawn_picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (x % 160, y % 160);
        let disc = (dx.abs_diff(80)).pow(2) + (dy.abs_diff(80)).pow(2) < 50 * 50;
        if disc { Rgb([220, 60, (x % 256) as u8]) } else { Rgb([(x / 4) as u8, (y / 4) as u8, 90]) }
    })
}

#[cfg(test)]
mod tests {
    use super::Stage;

    #[test]
    fn the_spread_is_lowest_median_highest() {
        assert_eq!(Stage(vec![3.0, 1.0, 2.0]).spread(), [1.0, 2.0, 3.0]);
        assert_eq!(Stage(vec![4.0, 1.0, 2.0, 3.0]).spread(), [1.0, 2.5, 4.0]);
        assert_eq!(Stage::default().spread(), [0.0; 3]);
    }
}
