//! Trial runs of a model on TensorRT, CUDA and OpenVINO, before the first click: one picture, two prompts and a full batch, so that a model that does
//! not fit into the GPU's memory is detected while it is opened. Results in half precision are compared with fp32.

use super::assemble::OpenedModel;
use super::tried::{RunFailure, Tried, apart, overlap, picture};
use crate::model::candidates::Candidates;
use crate::model::decoded::DecodeOptions;
use crate::model::error::Error;
use crate::model::loaded::Model;
use crate::model::runtime::OpenGraph;
use crate::model::runtime::graph_file::GraphRole;
use crate::prompt::Prompt;

/// Largest accepted difference of the low-resolution logits of half precision and fp32, as a fraction of their range.
const LOGITS: f32 = 0.05;
/// Smallest accepted overlap (IoU) of their masks.
const OVERLAP: f32 = 0.9;
/// Group of encoder and decoder; the other group is the memory, with as many memories and pointers as a tracker uses by default.
const IMAGE: usize = 0;

impl Tried for OpenedModel {
    type Error = Error;
    type Outputs = Vec<Vec<f32>>;

    fn groups(&mut self) -> Vec<Vec<OpenGraph<'_>>> {
        let OpenedModel { model, engines } = self;
        let mut image = Vec::new();
        for ((role, report), engines) in model.reports_mut().zip(engines.iter()) {
            image.push(OpenGraph { name: role.name(), report, engines: engines.as_ref() });
        }
        let memory = image.split_off(2);
        [image, memory].into_iter().filter(|group| !group.is_empty()).collect()
    }

    fn run_group(&mut self, group: usize) -> Result<Self::Outputs, RunFailure<Error>> {
        match group {
            IMAGE => decode_prompts(&mut self.model),
            _ => run_memory_graphs(&mut self.model).map_err(|error| RunFailure { graph: None, error }),
        }
    }

    fn run_largest(&mut self, group: usize) -> Result<(), RunFailure<Error>> {
        let model = &mut self.model;
        let most = model.decoder.max_objects();
        // Other providers take the system's memory, as the CPU does.
        if group == IMAGE && most > 1 && model.decoder.providers().used.on_gpu() {
            run_batch(model, most).map_err(RunFailure::of(GraphRole::MaskDecoder.name()))?;
        }
        if group == IMAGE {
            model.decoder.end_trial();
        }
        Ok(())
    }

    fn difference(found: &Self::Outputs, expected: &Self::Outputs) -> Option<String> {
        difference(found, expected)
    }

    fn time(&mut self) -> Result<Vec<(&'static str, f64)>, Error> {
        let model = &mut self.model;
        let embedding = model.encoder.encode(&picture())?;
        let mut times = vec![(GraphRole::ImageEncoder, embedding.timings.run_ms)];
        if let Some(prompt) = prompts(model).into_iter().next() {
            let decodes = model.decoder.decode(&embedding, &[prompt], &DecodeOptions::default())?;
            times.push((GraphRole::MaskDecoder, decodes.timings.run_ms));
        }
        if model.info.memory.is_some() {
            let (_, [attention, encoder]) = model.decoder.memory()?.trial_outputs(&embedding)?;
            times.extend([(GraphRole::MemoryAttention, attention), (GraphRole::MemoryEncoder, encoder)]);
        }
        Ok(times.into_iter().map(|(graph, ms)| (graph.name(), ms)).collect())
    }
}

/// Returns the outputs of the memory's graphs for the picture.
fn run_memory_graphs(model: &mut Model) -> Result<Vec<Vec<f32>>, Error> {
    let embedding = model.encoder.encode(&picture())?;
    Ok(model.decoder.memory()?.trial_outputs(&embedding)?.0)
}

/// Returns the low-resolution logits of a click and a box.
fn decode_prompts(model: &mut Model) -> Result<Vec<Vec<f32>>, RunFailure<Error>> {
    let embedding = model.encoder.encode(&picture()).map_err(RunFailure::of(GraphRole::ImageEncoder.name()))?;
    let prompts = prompts(model);
    // The mask for clear prompts, because rounding may change the choice among candidates with almost equal scores.
    let options = DecodeOptions { candidates: Candidates::Single, ..DecodeOptions::default() };
    let decodes = model.decoder.decode(&embedding, &prompts, &options);
    let decodes = decodes.map_err(RunFailure::of(GraphRole::MaskDecoder.name()))?;
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
fn prompts(model: &Model) -> Vec<Prompt> {
    let prompts = [Prompt::point(240.0, 240.0), Prompt::bbox(170.0, 170.0, 310.0, 310.0)];
    prompts.into_iter().filter(|prompt| model.info.refusal(prompt).is_none()).collect()
}

/// Returns the difference in words if it is larger than accepted.
fn difference(found: &[Vec<f32>], expected: &[Vec<f32>]) -> Option<String> {
    let limits = format!("at most {LOGITS} and at least {OVERLAP} are accepted");
    for (found, expected) in found.iter().zip(expected) {
        let Some(apart) = apart(found, expected) else { return Some("values that are not finite".to_owned()) };
        let overlap = overlap(found, expected);
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
