//! Trial runs of a model on TensorRT, CUDA and OpenVINO, before the first click: one picture, two prompts and a full batch, so that a model that does
//! not fit into the GPU's memory is detected while it is opened. Results in half precision are compared with fp32.

use image::{Rgb, RgbImage};

use crate::model::candidates::Candidates;
use crate::model::decoded::DecodeOptions;
use crate::model::error::Error;
use crate::model::loaded::Model;
use crate::model::precision::Precision;
use crate::model::provider::Provider;
use crate::model::runtime::ProviderReport;
use crate::model::runtime::graph_file::GraphRole;
use crate::prompt::Prompt;

/// Largest accepted difference of the low-resolution logits of half precision and fp32, as a fraction of their range.
const LOGITS: f32 = 0.05;
/// Smallest accepted overlap (IoU) of their masks.
const OVERLAP: f32 = 0.9;

/// Failure of a trial run.
pub enum TrialFailure {
    /// A session fails on its provider: that of the graph, if it is known.
    Run { graph: Option<GraphRole>, error: Error },
    /// The results of half precision and fp32 differ too much, or fp32 could not run for the comparison (`compared` is false).
    Inexact { reason: String, compared: bool },
}

/// Tries encoder and decoder. If they compute in half precision, compares them with `reference`, which opens the model in fp32.
///
/// # Errors
/// [`TrialFailure`] if a session fails or the results differ.
pub fn run(model: &mut Model, reference: impl Fn(&[Provider]) -> Result<Model, Error>) -> Result<(), TrialFailure> {
    let failed = |(graph, error)| TrialFailure::Run { graph: Some(graph), error };
    let logits = decode_prompts(model).map_err(failed)?;
    let most = model.decoder.max_objects();
    // Other providers take the system's memory, as the CPU does.
    if most > 1 && model.decoder.providers().used.on_gpu() {
        run_batch(model, most).map_err(|error| failed((GraphRole::MaskDecoder, error)))?;
    }
    if !half(model.encoder.providers()) && !half(model.decoder.providers()) {
        return Ok(());
    }
    compare(&logits, reference, |model| decode_prompts(model).map_err(|(_, error)| error))
}

/// Tries the memory, with as many memories and pointers as a tracker uses by default.
///
/// # Errors
/// As [`run`].
pub fn run_memory(
    model: &mut Model,
    reference: impl Fn(&[Provider]) -> Result<Model, Error>,
) -> Result<(), TrialFailure> {
    let outputs = run_memory_graphs(model).map_err(|error| TrialFailure::Run { graph: None, error })?;
    if !model.decoder.memory_providers().into_iter().flatten().any(half) {
        return Ok(());
    }
    compare(&outputs, reference, run_memory_graphs)
}

/// Returns whether a session computes in half precision.
fn half(report: &ProviderReport) -> bool {
    report.precision.is_some_and(Precision::is_half)
}

/// Compares the values of a trial run with those of fp32.
fn compare(
    found: &[Vec<f32>],
    reference: impl Fn(&[Provider]) -> Result<Model, Error>,
    values: impl Fn(&mut Model) -> Result<Vec<Vec<f32>>, Error>,
) -> Result<(), TrialFailure> {
    let expected = |providers: &[Provider]| reference(providers).and_then(|mut model| values(&mut model));
    // If the GPU has no memory for both models, the CPU runs fp32.
    let expected = expected(&[Provider::Cuda, Provider::Cpu]).or_else(|_| expected(&[Provider::Cpu]));
    let inexact = |reason, compared| Err(TrialFailure::Inexact { reason, compared });
    match expected.map(|expected| difference(found, &expected)) {
        Ok(None) => Ok(()),
        Ok(Some(why)) => inexact(format!("self-check against fp32: {why}"), true),
        Err(e) => inexact(format!("fp32 to compare it with fails: {e}"), false),
    }
}

/// Returns the outputs of the memory's graphs for the picture.
fn run_memory_graphs(model: &mut Model) -> Result<Vec<Vec<f32>>, Error> {
    let embedding = model.encoder.encode(&picture())?;
    Ok(model.decoder.memory()?.trial_outputs(&embedding)?.0)
}

/// Returns the low-resolution logits of a click and a box. An error comes with the graph that failed.
fn decode_prompts(model: &mut Model) -> Result<Vec<Vec<f32>>, (GraphRole, Error)> {
    let embedding = model.encoder.encode(&picture()).map_err(|error| (GraphRole::ImageEncoder, error))?;
    let prompts = prompts(model);
    // The mask for clear prompts, because rounding may change the choice among candidates with almost equal scores.
    let options = DecodeOptions { candidates: Candidates::Single, ..DecodeOptions::default() };
    let decodes = model.decoder.decode(&embedding, &prompts, &options);
    let decodes = decodes.map_err(|error| (GraphRole::MaskDecoder, error))?;
    Ok(decodes.objects.into_iter().map(|object| object.best.low_res.data.to_vec()).collect())
}

/// Runs the decoder with its largest batch.
fn run_batch(model: &mut Model, objects: usize) -> Result<(), Error> {
    let embedding = model.encoder.encode(&picture())?;
    let Some(prompt) = prompts(model).into_iter().next() else { return Ok(()) };
    model.decoder.decode(&embedding, &vec![prompt; objects], &DecodeOptions::default())?;
    Ok(())
}

/// Returns a click and a box, as far as the model takes them.
pub fn prompts(model: &Model) -> Vec<Prompt> {
    let prompts = [Prompt::point(240.0, 240.0), Prompt::bbox(170.0, 170.0, 310.0, 310.0)];
    prompts.into_iter().filter(|prompt| model.info.refusal(prompt).is_none()).collect()
}

/// Draws discs on a gradient, 640 x 480 pixels.
pub fn picture() -> RgbImage {
    RgbImage::from_fn(640, 480, |x, y| {
        let (dx, dy) = ((x % 160).abs_diff(80), (y % 160).abs_diff(80));
        let disc = dx * dx + dy * dy < 50 * 50;
        if disc { Rgb([220, 60, (x % 256) as u8]) } else { Rgb([(x / 4) as u8, (y / 4) as u8, 90]) }
    })
}

/// Returns the difference in words if it is larger than accepted.
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
    fn half_precision_may_differ_by_a_small_amount() {
        let expected = vec![(0..100).map(|i| i as f32 - 50.5).collect::<Vec<f32>>()];
        let moved = |by: f32| vec![expected[0].iter().map(|v| v + by).collect::<Vec<f32>>()];
        assert_eq!(difference(&moved(1.0), &expected), None);
        assert!(difference(&moved(6.0), &expected).unwrap().contains("0.061 of their range"));
        assert!(difference(&moved(f32::NAN), &expected).unwrap().contains("not finite"));
    }
}
