//! Times of encoder and decoder, stage by stage.

use image::RgbImage;
use promptseg::model::{DecodeOptions, ModelInfo};
use promptseg::prompt::{Point, Prompt};
use promptseg::segmenter::Segmenter;

use super::memory::GpuMemory;
use super::spread::Stage;
use crate::failure::Failure;
use crate::terminal;

/// Number of objects in the batch.
pub const BATCH: usize = 16;

/// Measured stages of a model.
pub struct Stages {
    /// Name in the report and times, in the order of a click's way.
    pub named: Vec<(&'static str, Stage)>,
    /// Numbers of boxes, each with the times to decode them and to compute their masks.
    pub boxes: Vec<(usize, Stage)>,
}

/// Measures each stage `runs` times, after one run that allocates memory and fills caches.
pub fn measure(
    segmenter: &mut Segmenter,
    image: &RgbImage,
    runs: u32,
    numbers_of_boxes: &[usize],
    memory: &mut GpuMemory,
) -> Result<Stages, Failure> {
    let info = segmenter.info();
    let click = [prompt(info, image, 0.4)];
    let batch = row(info, image, BATCH);
    let rows: Vec<Vec<Prompt>> = numbers_of_boxes.iter().map(|n| boxes(info, image, *n)).collect();
    let [mut preprocess, mut encode, mut decode, mut postprocess, mut second, mut batch_decode] =
        [const { Stage(Vec::new()) }; 6];
    let mut boxes: Vec<(usize, Stage)> = numbers_of_boxes.iter().map(|n| (*n, Stage::default())).collect();
    let bar = terminal::progress(runs as usize + 1, "runs");
    let options = DecodeOptions::default();
    for run in 0..=runs {
        let encoded = segmenter.set_image(image)?.timings;
        let first = segmenter.predict_many(&click, &options)?;
        let mut refined = click.to_vec();
        if let Some(decoded) = first.objects.into_iter().next() {
            refined = vec![second_click(segmenter.info(), image, &click[0]).with_mask(decoded.best.low_res)];
            if segmenter.info().refusal(&refined[0]).is_some() {
                refined[0].mask = None;
            }
        }
        let refined = segmenter.predict_many(&refined, &options)?.timings;
        let batched = segmenter.predict_many(&batch, &options)?.timings;
        let mut of_rows = Vec::with_capacity(rows.len());
        for row in &rows {
            let timings = segmenter.predict_many(row, &options)?.timings;
            of_rows.push(timings.run_ms + timings.postprocess_ms);
        }
        memory.sample();
        if run > 0 {
            preprocess.0.push(encoded.preprocess_ms);
            encode.0.push(encoded.run_ms);
            decode.0.push(first.timings.run_ms);
            postprocess.0.push(first.timings.postprocess_ms);
            second.0.push(refined.run_ms + refined.postprocess_ms);
            batch_decode.0.push(batched.run_ms);
            boxes.iter_mut().zip(of_rows).for_each(|((_, stage), ms)| stage.0.push(ms));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let named = vec![
        ("preprocess_ms", preprocess),
        ("encode_ms", encode),
        ("decode_ms", decode),
        ("postprocess_ms", postprocess),
        ("second_click_ms", second),
        ("decode_batch_ms", batch_decode),
    ];
    Ok(Stages { named, boxes })
}

/// Returns a click at a fraction of the picture's width, or a box around that point if the model takes no click alone.
pub fn prompt(info: &ModelInfo, image: &RgbImage, fraction: f32) -> Prompt {
    let (w, h) = (image.width() as f32, image.height() as f32);
    let click = Prompt::point(w * fraction, h * 0.5);
    if info.refusal(&click).is_none() { click } else { bounding_box(image, fraction) }
}

/// Returns clicks (or boxes) in a row across the picture.
pub fn row(info: &ModelInfo, image: &RgbImage, n: usize) -> Vec<Prompt> {
    (0..n).map(|i| prompt(info, image, (i as f32 + 0.5) / n as f32)).collect()
}

/// Returns the first prompt with a further click beside it, if the model takes several points.
fn second_click(info: &ModelInfo, image: &RgbImage, first: &Prompt) -> Prompt {
    let (w, h) = (image.width() as f32, image.height() as f32);
    let both = first.clone().with_point(Point::foreground(w * 0.45, h * 0.55));
    if info.refusal(&both).is_none() { both } else { first.clone() }
}

/// Returns boxes in a row across the picture, or clicks if the model takes no boxes.
fn boxes(info: &ModelInfo, image: &RgbImage, n: usize) -> Vec<Prompt> {
    let at = |i: usize| bounding_box(image, (i as f32 + 0.5) / n as f32);
    if info.refusal(&at(0)).is_some() { row(info, image, n) } else { (0..n).map(at).collect() }
}

/// Returns a box of a fifth of the picture's width around a point.
fn bounding_box(image: &RgbImage, fraction: f32) -> Prompt {
    let (w, h) = (image.width() as f32, image.height() as f32);
    let (x, y) = (w * fraction, h * 0.5);
    Prompt::bbox(x - 0.1 * w, y - 0.2 * h, x + 0.1 * w, y + 0.2 * h)
}
