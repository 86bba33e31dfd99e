//! A model on a GPU is tried before it is trusted: one picture, a few prompts and a full batch while it is opened, so
//! that what does not fit into the GPU's memory is found now and not on the first click. What runs in half precision
//! is compared with fp32.

use image::{Rgb, RgbImage};

use super::provider::ProviderReport;
use super::{Candidates, DecodeOptions, Error, Model, Precision, Provider};
use crate::prompt::Prompt;

/// Largest difference of the low-resolution logits of fp16 and fp32 that is accepted, as a part of their range.
const LOGITS: f32 = 0.05;
/// Smallest overlap of their masks.
const OVERLAP: f32 = 0.9;

/// What is wrong with a model as it was opened.
pub(super) enum Problem {
    /// It does not run where it is.
    Fails(Error),
    /// Half precision is too far from fp32, or fp32 could not be `compared` with.
    Inexact { reason: String, compared: bool },
}

/// Runs a model, and compares it with `reference` where it computes in half precision.
pub(super) fn run(model: &mut Model, reference: impl Fn(&[Provider]) -> Result<Model, Error>) -> Result<(), Problem> {
    let answers = answers(model).map_err(Problem::Fails)?;
    let most = model.decoder.max_objects();
    if most > 1 {
        batch(model, most).map_err(Problem::Fails)?;
    }
    let half = |report: &ProviderReport| report.precision == Some(Precision::Fp16);
    if !half(model.encoder.providers()) && !half(model.decoder.providers()) {
        return Ok(());
    }
    compare(&answers, reference, self::answers)
}

/// As [`run`], of the memory: as many memories and pointers at once as there ever are by default.
pub(super) fn run_memory(
    model: &mut Model,
    reference: impl Fn(&[Provider]) -> Result<Model, Error>,
) -> Result<(), Problem> {
    let answers = remembered(model).map_err(Problem::Fails)?;
    let half = |report: &ProviderReport| report.precision == Some(Precision::Fp16);
    if !model.decoder.memory_providers().into_iter().flatten().any(half) {
        return Ok(());
    }
    compare(&answers, reference, remembered)
}

fn compare(
    found: &[Vec<f32>],
    reference: impl Fn(&[Provider]) -> Result<Model, Error>,
    answers: impl Fn(&mut Model) -> Result<Vec<Vec<f32>>, Error>,
) -> Result<(), Problem> {
    let expected = |providers: &[Provider]| reference(providers).and_then(|mut model| answers(&mut model));
    // The GPU may have no room for both.
    let expected = expected(&[Provider::Cuda, Provider::Cpu]).or_else(|_| expected(&[Provider::Cpu]));
    let inexact = |reason, compared| Err(Problem::Inexact { reason, compared });
    match expected.map(|expected| difference(found, &expected)) {
        Ok(None) => Ok(()),
        Ok(Some(why)) => inexact(format!("self-check against fp32: {why}"), true),
        Err(e) => inexact(format!("fp32 to compare it with fails: {e}"), false),
    }
}

/// What both graphs of the memory make of the picture.
fn remembered(model: &mut Model) -> Result<Vec<Vec<f32>>, Error> {
    let embedding = model.encoder.encode(&picture())?;
    model.decoder.memory()?.answers(&embedding)
}

/// Low-resolution logits of a click and of a box.
fn answers(model: &mut Model) -> Result<Vec<Vec<f32>>, Error> {
    let embedding = model.encoder.encode(&picture())?;
    let prompts = prompts(model);
    // The mask for clear prompts: among candidates of almost the same score a rounding would choose another.
    let options = DecodeOptions { candidates: Candidates::Single, ..DecodeOptions::default() };
    let decodes = model.decoder.decode(&embedding, &prompts, &options)?;
    Ok(decodes.objects.into_iter().map(|object| object.best.low_res.data.to_vec()).collect())
}

/// The largest run that the decoder is ever given.
fn batch(model: &mut Model, objects: usize) -> Result<(), Error> {
    let embedding = model.encoder.encode(&picture())?;
    let Some(prompt) = prompts(model).into_iter().next() else { return Ok(()) };
    model.decoder.decode(&embedding, &vec![prompt; objects], &DecodeOptions::default())?;
    Ok(())
}

/// Of a click and a box those that the model takes.
fn prompts(model: &Model) -> Vec<Prompt> {
    let prompts = [Prompt::point(240.0, 240.0), Prompt::bbox(170.0, 170.0, 310.0, 310.0)];
    prompts.into_iter().filter(|prompt| model.info.refusal(prompt).is_none()).collect()
}

/// Discs on a gradient, 640 x 480.
fn picture() -> RgbImage {
    RgbImage::from_fn(640, 480, |x, y| {
        let (dx, dy) = ((x % 160).abs_diff(80), (y % 160).abs_diff(80));
        let disc = dx * dx + dy * dy < 50 * 50;
        if disc { Rgb([220, 60, (x % 256) as u8]) } else { Rgb([(x / 4) as u8, (y / 4) as u8, 90]) }
    })
}

/// In words, where it is more than what half precision may cost.
fn difference(found: &[Vec<f32>], expected: &[Vec<f32>]) -> Option<String> {
    let limits = format!("at most {LOGITS} and at least {OVERLAP} are accepted");
    for (found, expected) in found.iter().zip(expected) {
        if found.len() != expected.len() || found.iter().any(|v| !v.is_finite()) {
            return Some("values that are not finite".to_owned());
        }
        let pairs = || found.iter().zip(expected);
        let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
        let apart = pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / (high - low).max(f32::MIN_POSITIVE);
        let both = pairs().filter(|(a, b)| **a > 0.0 && **b > 0.0).count() as f32;
        let either = pairs().filter(|(a, b)| **a > 0.0 || **b > 0.0).count() as f32;
        let overlap = if either == 0.0 { 1.0 } else { both / either };
        if apart > LOGITS || overlap < OVERLAP {
            return Some(format!(
                "the logits differ by {apart:.3} of their range and the masks overlap by {overlap:.3}; {limits}"
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_may_cost_a_little_and_no_more() {
        let expected = vec![(0..100).map(|i| i as f32 - 50.5).collect::<Vec<f32>>()];
        let moved = |by: f32| vec![expected[0].iter().map(|v| v + by).collect::<Vec<f32>>()];
        assert_eq!(difference(&moved(1.0), &expected), None);
        assert!(difference(&moved(6.0), &expected).unwrap().contains("0.061 of their range"));
        assert!(difference(&moved(f32::NAN), &expected).unwrap().contains("not finite"));
    }
}
