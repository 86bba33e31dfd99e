//! `promptseg bench`: how long each stage of a model takes here, and how much memory.

use std::path::PathBuf;
use std::time::Instant;

use image::{Rgb, RgbImage};
use promptseg::model::{DecodeOptions, Model, ModelInfo, ProviderReport};
use promptseg::prompt::Prompt;
use promptseg::segmenter::Segmenter;
use serde_json::{Value, json};

use super::options::ModelOptions;
use super::{Failure, read_image, terminal};

/// Objects of the batch that is measured beside the single click.
const BATCH: usize = 16;

#[derive(clap::Args)]
pub struct Arguments {
    /// Bundle, folder with two ONNX files, or an image encoder's file; the built-in model without it.
    path: Option<PathBuf>,
    /// The mask decoder's file, when PATH is an image encoder's.
    #[arg(long, value_name = "FILE", requires = "path")]
    decoder: Option<PathBuf>,
    /// JPEG or PNG; a drawn picture of 640 x 480 pixels without it.
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// How often each stage is measured, after one run that is not.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Print one line of JSON instead of the table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: ModelOptions,
}

/// The measured times of one stage, milliseconds.
#[derive(Default)]
struct Stage(Vec<f64>);

impl Stage {
    /// Lowest, median, highest.
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
        None => drawn(640, 480),
    };
    let options = arguments.options.session_options(false)?;
    let wheel = terminal::spinner("loading");
    let start = Instant::now();
    let model = match &arguments.path {
        Some(path) => Model::open(path, arguments.decoder.as_deref(), &options)?,
        None => Model::tiny(&options)?,
    };
    let load_ms = start.elapsed().as_secs_f64() * 1e3;
    wheel.finish_and_clear();
    let (encoder, decoder) = (model.encoder.providers().clone(), model.decoder.providers().clone());
    // Encoder and decoder are mostly refused for the same reasons.
    let told = |list: fn(&ProviderReport) -> Vec<String>| -> Vec<String> {
        let mut all = list(&encoder);
        all.extend(list(&decoder).into_iter().filter(|line| !list(&encoder).contains(line)));
        all
    };
    let refused = told(|report| report.refused.iter().map(ToString::to_string).collect());
    let notes = told(|report| report.notes.clone());
    let mut segmenter = Segmenter::new(model);

    let stages = measure(&mut segmenter, &image, arguments.runs)?;
    let mut report = json!({
        "model": segmenter.info().name,
        "family": segmenter.info().family,
        "layout": segmenter.info().layout,
        "precision": encoder.precision,
        "provider": encoder.used,
        "decoder_precision": decoder.precision,
        "decoder_provider": decoder.used,
        "refused": refused,
        "notes": notes,
        "threads": options.session_threads(),
        "image": [image.width(), image.height()],
        "runs": arguments.runs,
        "prompt": if prompt(segmenter.info(), &image, 0.5).bbox.is_some() { "box" } else { "click" },
        "batch": BATCH,
        "load_ms": (load_ms * 1e3).round() / 1e3,
    });
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
        table(&report, &stages);
    }
    Ok(())
}

fn measure(segmenter: &mut Segmenter, image: &RgbImage, runs: u32) -> Result<Vec<(&'static str, Stage)>, Failure> {
    let info = segmenter.info();
    let click = [prompt(info, image, 0.4)];
    let batch: Vec<Prompt> = (0..BATCH).map(|i| prompt(info, image, (i as f32 + 0.5) / BATCH as f32)).collect();
    let [mut preprocess, mut encode, mut decode, mut postprocess, mut many] = [const { Stage(Vec::new()) }; 5];
    let bar = terminal::progress(runs as usize + 1, "runs");
    let options = DecodeOptions::default();
    for run in 0..=runs {
        let encoded = segmenter.set_image(image)?.timings;
        let one = segmenter.predict_many(&click, &options)?.timings;
        let all = segmenter.predict_many(&batch, &options)?.timings;
        // The first run allocates, and finds cold caches.
        if run > 0 {
            preprocess.0.push(encoded.preprocess_ms);
            encode.0.push(encoded.run_ms);
            decode.0.push(one.run_ms);
            postprocess.0.push(one.postprocess_ms);
            many.0.push(all.run_ms);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(vec![
        ("preprocess_ms", preprocess),
        ("encode_ms", encode),
        ("decode_ms", decode),
        ("postprocess_ms", postprocess),
        ("decode_batch_ms", many),
    ])
}

/// A click at a part of the picture's width, or a box around it where the model takes no click alone.
fn prompt(info: &ModelInfo, image: &RgbImage, at: f32) -> Prompt {
    let (w, h) = (image.width() as f32, image.height() as f32);
    let (x, y) = (w * at, h * 0.5);
    let click = Prompt::point(x, y);
    match info.refusal(&click) {
        None => click,
        Some(_) => Prompt::bbox(x - 0.1 * w, y - 0.2 * h, x + 0.1 * w, y + 0.2 * h),
    }
}

fn table(report: &Value, stages: &[(&'static str, Stage)]) {
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
    for (key, what) in [("refused", "not on "), ("notes", "")] {
        for line in report[key].as_array().into_iter().flatten().filter_map(Value::as_str) {
            terminal::print(format!("{what}{line}"));
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

/// Most resident memory that this process ever had, where the system has /proc.
fn peak_megabytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kibibytes = line.split_whitespace().nth(1)?.parse::<f64>().ok()?;
    Some((kibibytes * 1024.0 / 1e5).round() / 10.0)
}

/// Discs on a gradient: something that every stage has to work for.
fn drawn(width: u32, height: u32) -> RgbImage {
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
