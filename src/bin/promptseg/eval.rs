//! `promptseg eval`: measures the accuracy of a model on drawn scenes with known masks.
//!
//! Mean IoU over all objects for four kinds of prompts: the chosen mask after one click (`click1`), the best candidate
//! after one click (`click1_oracle`), the mask in a box (`box`), and the mask after two corrections of the click
//! (`click3`). A correction is a click in the middle of the largest error, together with the previous logits.
//! `train/evaluate.py` uses the same protocol. Prompts that the model does not take are not measured.

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use image::{GrayImage, RgbImage};
use promptseg::model::{Candidate, Candidates, DecodeOptions, GpuOptions, Model, ModelInfo, Provider, SessionOptions};
use promptseg::pixels::decode_compressed;
use promptseg::prompt::{LowResLogits, Point, Prompt};
use promptseg::segmenter::Segmenter;
use serde::{Deserialize, Serialize};

use crate::model_arguments::provider_name;

/// Number of threads for the measured times.
const THREADS: usize = 2;

#[derive(clap::Args)]
pub struct Arguments {
    /// Folder with NNN.png, NNN_truth.png and prompts.json.
    #[arg(default_value = "tests/scenes")]
    scenes: PathBuf,
    /// Bundle or folder with two ONNX files; the default is the built-in model.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Execution providers in the order of preference, as for `bench`.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "cpu", value_parser = provider_name)]
    providers: Vec<String>,
}

/// An entry of prompts.json.
#[derive(Deserialize)]
struct Object {
    /// Number NNN of the scene.
    scene: String,
    /// Value of the object's pixels in NNN_truth.png.
    object: u8,
    /// Pixel of the object that is farthest from its border.
    click: [f32; 2],
    /// x_min, y_min, x_max, y_max.
    #[serde(rename = "box")]
    bbox: [f32; 4],
}

/// The last line of the output.
#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    click1: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    click1_oracle: Option<f64>,
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    bbox: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    click3: Option<f64>,
    encode_ms: f64,
    decode_ms: f64,
}

/// Measured values, one for each object or run.
#[derive(Default)]
struct Scores {
    click1: Vec<f64>,
    oracle: Vec<f64>,
    bbox: Vec<f64>,
    click3: Vec<f64>,
    encode_ms: Vec<f64>,
    decode_ms: Vec<f64>,
}

pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let list = arguments.scenes.join("prompts.json");
    let text = std::fs::read(&list).map_err(|e| format!("{}: {e}; give the folder of the scenes", list.display()))?;
    let objects: Vec<Object> = serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", list.display()))?;
    let (providers, fastest) = Provider::list(&arguments.providers)?;
    let gpu = GpuOptions { engine_cache: GpuOptions::engine_cache_of(""), ..GpuOptions::default() };
    let options =
        SessionOptions { providers, fastest, gpu, cpu_bf16: true, memory: false, ..SessionOptions::cpu(THREADS) };
    let model = match &arguments.model {
        Some(path) => Model::open(path, None, &options)?,
        None => Model::tiny(&options)?,
    };
    let name = model.info.name.clone();
    let used = [model.encoder.providers().used, model.decoder.providers().used];
    let unsupported = Unsupported::new(&model.info);
    let mut segmenter = Segmenter::new(model);
    let mut scores = Scores::default();
    let mut scene = String::new();
    let mut truth = GrayImage::new(0, 0);
    for (i, object) in objects.iter().enumerate() {
        if scene != object.scene {
            scene.clone_from(&object.scene);
            let image = read(&arguments.scenes.join(format!("{scene}.png")))?;
            truth = labels(&arguments.scenes.join(format!("{scene}_truth.png")))?;
            if truth.dimensions() != image.dimensions() {
                return Err(format!("{scene}.png and {scene}_truth.png differ in size").into());
            }
            let timings = segmenter.set_image(&image)?.timings;
            scores.encode_ms.push(timings.preprocess_ms + timings.run_ms);
        }
        let inside: Vec<bool> = truth.pixels().map(|p| p.0[0] == object.object).collect();
        measure(&mut segmenter, object, &inside, &unsupported, &mut scores)?;
        progress(i + 1, objects.len());
    }
    let report = Report {
        click1: mean(&scores.click1),
        click1_oracle: mean(&scores.oracle),
        bbox: mean(&scores.bbox),
        click3: mean(&scores.click3),
        encode_ms: median(&mut scores.encode_ms),
        decode_ms: median(&mut scores.decode_ms),
    };
    let Unsupported { click, bbox, correction } = unsupported;
    for (scores, kind) in [("click1 and click1_oracle", click), ("box", bbox), ("click3", correction)] {
        if let Some(kind) = kind {
            println!("{scores} left out: the model does not take {kind}");
        }
    }
    let [encoder, decoder] = used.map(|provider| match provider {
        Provider::Cpu => format!("{THREADS} threads of the CPU"),
        other => other.to_string(),
    });
    let place = if encoder == decoder { encoder } else { format!("{encoder} (encoder) and {decoder} (decoder)") };
    println!("{name}: {} objects, mean IoU; median times on {place}", objects.len());
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// Kinds of prompts that the model does not take, in words for the user.
struct Unsupported {
    click: Option<&'static str>,
    bbox: Option<&'static str>,
    correction: Option<&'static str>,
}

impl Unsupported {
    fn new(info: &ModelInfo) -> Unsupported {
        let click = Prompt::point(0.0, 0.0);
        let mask = LowResLogits { side: 0, data: Default::default() };
        let points = [Point::foreground(0.0, 0.0), Point::background(0.0, 0.0)];
        let corrected = points.into_iter().fold(click.clone(), Prompt::with_point).with_mask(mask);
        Unsupported {
            click: info.refusal(&click),
            bbox: info.refusal(&Prompt::bbox(0.0, 0.0, 1.0, 1.0)),
            correction: info.refusal(&corrected),
        }
    }
}

/// Measures all kinds of prompts on one object.
fn measure(
    segmenter: &mut Segmenter,
    object: &Object,
    truth: &[bool],
    unsupported: &Unsupported,
    scores: &mut Scores,
) -> Result<(), Box<dyn Error>> {
    let mut decode = |prompt: &Prompt, options: &DecodeOptions| -> Result<Vec<Candidate>, Box<dyn Error>> {
        let mut decodes = segmenter.predict_many(std::slice::from_ref(prompt), options)?;
        scores.decode_ms.push(decodes.timings.run_ms + decodes.timings.postprocess_ms);
        let decoded = decodes.objects.pop().ok_or("the model returned no mask")?;
        Ok(std::iter::once(decoded.best).chain(decoded.others).collect())
    };
    let auto = DecodeOptions::default();
    let multi = DecodeOptions { candidates: Candidates::Multi, all_masks: true, ..DecodeOptions::default() };

    if unsupported.bbox.is_none() {
        let [x_min, y_min, x_max, y_max] = object.bbox;
        let boxed = decode(&Prompt::bbox(x_min, y_min, x_max, y_max), &auto)?;
        scores.bbox.push(iou(&boxed[0], truth));
    }
    if unsupported.click.is_some() {
        return Ok(());
    }
    let [x, y] = object.click;
    let mut prompt = Prompt::point(x, y);
    let mut current = decode(&prompt, &multi)?;
    scores.click1.push(iou(&current[0], truth));
    scores.oracle.push(current.iter().map(|c| iou(c, truth)).fold(0.0, f64::max));
    if unsupported.correction.is_some() {
        return Ok(());
    }
    for _ in 0..2 {
        let chosen = &current[0];
        prompt = prompt.with_point(correction(&chosen.mask.full(), truth, chosen.mask.width as usize));
        prompt.mask = Some(chosen.low_res.clone());
        current = decode(&prompt, &auto)?;
    }
    scores.click3.push(iou(&current[0], truth));
    Ok(())
}

/// Returns the intersection over union of a mask and the truth.
fn iou(candidate: &Candidate, truth: &[bool]) -> f64 {
    let mask = candidate.mask.full();
    let both = mask.iter().zip(truth).filter(|(m, t)| **m != 0 && **t).count();
    let either = mask.iter().zip(truth).filter(|(m, t)| **m != 0 || **t).count();
    both as f64 / either.max(1) as f64
}

/// Returns the next click of a person who sees mask and truth: the innermost pixel of the missing region or of the
/// surplus region, whichever is wider.
fn correction(mask: &[u8], truth: &[bool], width: usize) -> Point {
    let innermost = |wrong: &dyn Fn(bool, bool) -> bool| {
        let region: Vec<bool> = mask.iter().zip(truth).map(|(m, t)| wrong(*m != 0, *t)).collect();
        let distance = squared_distance(&region, width);
        // The first of equal distances, as NumPy's argmax.
        let best = (0..distance.len()).rev().max_by_key(|i| distance[*i]).unwrap_or(0);
        (distance.get(best).copied().unwrap_or(0), best)
    };
    let missing = innermost(&|m, t| t && !m);
    let surplus = innermost(&|m, t| m && !t);
    let pixel = |i: usize| ((i % width) as f32, (i / width) as f32);
    if missing.0 == 0 && surplus.0 == 0 {
        // The mask equals the truth, so another click inside changes nothing.
        let (_, i) = innermost(&|_, t| t);
        let (x, y) = pixel(i);
        return Point::foreground(x, y);
    }
    if missing.0 >= surplus.0 {
        let (x, y) = pixel(missing.1);
        Point::foreground(x, y)
    } else {
        let (x, y) = pixel(surplus.1);
        Point::background(x, y)
    }
}

/// Returns the squared Euclidean distance of every pixel of the region to the nearest pixel outside the region, where
/// pixels beyond the image are outside. The function measures along the rows, then searches the columns; scenes are
/// small.
fn squared_distance(region: &[bool], width: usize) -> Vec<u64> {
    let height = region.len() / width.max(1);
    let mut along_row = vec![0u64; region.len()];
    for y in 0..height {
        let row = &region[y * width..(y + 1) * width];
        let out = &mut along_row[y * width..(y + 1) * width];
        let mut run = 0;
        for x in 0..width {
            run = if row[x] { run + 1 } else { 0 };
            out[x] = run;
        }
        run = 0;
        for x in (0..width).rev() {
            run = if row[x] { run + 1 } else { 0 };
            out[x] = out[x].min(run);
        }
    }
    let mut distance = vec![0; region.len()];
    for (i, d) in distance.iter_mut().enumerate().filter(|(i, _)| region[*i]) {
        let (x, y) = (i % width, i / width);
        let border = (y + 1).min(height - y) as u64;
        let mut best = (along_row[i]).min(border).pow(2);
        for step in 1..border {
            if step * step >= best {
                break;
            }
            let up = along_row[(y - step as usize) * width + x];
            let down = along_row[(y + step as usize) * width + x];
            best = best.min(up.min(down).pow(2) + step * step);
        }
        *d = best;
    }
    distance
}

/// Reads a PNG file.
fn read(path: &Path) -> Result<RgbImage, String> {
    let content = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    decode_compressed(&content, "png").map_err(|e| format!("{}: {e}", path.display()))
}

/// Reads a truth file: a grey picture with the label of each pixel's object.
fn labels(path: &Path) -> Result<GrayImage, String> {
    let image = read(path)?;
    let labels = image.pixels().map(|pixel| pixel.0[0]).collect();
    GrayImage::from_raw(image.width(), image.height(), labels)
        .ok_or_else(|| format!("{}: the number of pixels does not match the size", path.display()))
}

/// Returns the mean, or none if there are no values.
fn mean(values: &[f64]) -> Option<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (!values.is_empty()).then_some((mean * 1e4).round() / 1e4)
}

/// Returns the median, or 0 if there are no values.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2).copied().unwrap_or_default();
    (middle * 100.0).round() / 100.0
}

/// Shows the progress on standard error if it is a terminal.
fn progress(done: usize, all: usize) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        // A progress line that cannot be written does not stop the measurement.
        let _ = write!(err, "\r{done} of {all} objects{}", if done == all { "\n" } else { "" });
        let _ = err.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_euclidean_and_pixels_beyond_the_image_are_outside() {
        let region = vec![true; 7 * 5];
        let d = squared_distance(&region, 7);
        assert_eq!((d[0], d[2 * 7 + 3], d[7 + 1]), (1, 9, 4));
        let mut hole = vec![true; 9 * 9];
        hole[4 * 9 + 4] = false;
        let d = squared_distance(&hole, 9);
        assert_eq!((d[4 * 9 + 4], d[5 * 9 + 5], d[2 * 9 + 2], d[9]), (0, 2, 8, 1));
    }

    #[test]
    fn the_correction_is_in_the_middle_of_the_widest_error() {
        let (width, mut truth) = (12, vec![false; 144]);
        for y in 1..6 {
            for x in 1..6 {
                truth[y * width + x] = true;
            }
        }
        assert_eq!(correction(&[0; 144], &truth, width), Point::foreground(3.0, 3.0));
        assert_eq!(correction(&[255; 144], &truth, width).label, promptseg::prompt::Label::Background);
    }
}
