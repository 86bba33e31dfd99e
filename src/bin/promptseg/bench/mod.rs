//! `promptseg bench`: measures the time of each stage of a model, and the memory of the process.

mod comparison;
mod memory;
mod report;
mod spread;
mod stages;
mod tracking;

use std::path::PathBuf;
use std::time::Instant;

use image::{Rgb, RgbImage};
use memory::{GpuMemory, peak_megabytes};
use promptseg::model::Provider;
use promptseg::segmenter::Segmenter;
use serde_json::json;
use spread::rounded;
use stages::BATCH;

use crate::failure::Failure;
use crate::model_arguments::{ModelOptions, ModelPath};
use crate::pictures::read_image;
use crate::terminal;

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
    /// Also measure the masks of this many boxes on one image; several numbers separated by commas.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = number_of_boxes)]
    boxes: Vec<usize>,
    /// Also measure a frame of an object that is followed by the model's memory.
    #[arg(long)]
    track: bool,
    /// Also compare the masks with those of this provider in fp32.
    #[arg(long, value_name = "PROVIDER", value_parser = ["tensorrt", "cuda", "openvino", "cpu"])]
    against: Option<String>,
    /// Print one line of JSON instead of the table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: ModelOptions,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let image = match &arguments.image {
        Some(path) => read_image(path)?,
        None => drawn_picture(640, 480),
    };
    let options = arguments.options.session_options(arguments.track)?;
    let device_id = options.gpu.device_id;
    let mut gpu_memory = GpuMemory::new(&options);
    let spinner = terminal::spinner("loading the model");
    let start = Instant::now();
    let model = arguments.model.open(&options)?;
    let load_ms = start.elapsed().as_secs_f64() * 1e3;
    spinner.finish_and_clear();
    gpu_memory.sample();
    let mut report = report::describe(&model, device_id)?;
    let mut segmenter = Segmenter::new(model);

    let stages = stages::measure(&mut segmenter, &image, arguments.runs, &arguments.boxes, &mut gpu_memory)?;
    report["threads"] = json!(options.session_threads());
    report["image"] = json!([image.width(), image.height()]);
    report["runs"] = json!(arguments.runs);
    let is_box = stages::prompt(segmenter.info(), &image, 0.5).bbox.is_some();
    report["prompt"] = json!(if is_box { "box" } else { "click" });
    report["batch"] = json!(BATCH);
    report["load_ms"] = json!(rounded(load_ms));
    report::add_stages(&mut report, &stages);
    let found = arguments.against.as_ref().map(|_| comparison::logits(&mut segmenter, &image)).transpose()?;
    let mut model = segmenter.into_model();
    if arguments.track {
        report["track"] = json!(tracking::measure(&mut model, &image, arguments.runs, &mut gpu_memory)?);
    }
    report["peak_rss_mb"] = json!(peak_megabytes());
    report["gpu_mb"] = json!(gpu_memory.megabytes());
    let bundle = !model.info.variants.is_empty();
    // The reference needs memory too.
    drop(model);
    if let Some((found, provider)) = found.zip(arguments.against.as_deref()) {
        let provider: Provider = provider.parse()?;
        report["parity"] = comparison::compare(&found, &arguments.model, provider, &options, bundle, &image)?;
    }
    if arguments.json {
        terminal::print(report);
    } else {
        report::print_table(&report, &stages);
    }
    Ok(())
}

/// Parses a number of boxes.
fn number_of_boxes(text: &str) -> Result<usize, String> {
    let number = text.parse::<usize>().ok().filter(|n| (1..=4096).contains(n));
    number.ok_or_else(|| "expected a whole number from 1 to 4096".to_owned())
}

/// Draws discs on a gradient.
fn drawn_picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (x % 160, y % 160);
        let disc = (dx.abs_diff(80)).pow(2) + (dy.abs_diff(80)).pow(2) < 50 * 50;
        if disc { Rgb([220, 60, (x % 256) as u8]) } else { Rgb([(x / 4) as u8, (y / 4) as u8, 90]) }
    })
}
