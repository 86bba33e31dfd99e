//! Trial runs of graphs of other exporters.
//!
//! A signature contains what a decoder takes, not whether the decoder works: some exports declare a batch of objects that their
//! graph cannot run, some have undefined memory among the tokens of an object without a box, and some do not declare the number
//! of masks. So a few prompts are decoded on a synthetic embedding while the model is opened. Faults are worked around if that is
//! possible, and reported in [`ModelInfo::notes`] and the log.

use crate::model::decoder::{MaskDecoder, RawOutput};
use crate::model::embedding::{Embedding, EncodeTimings};
use crate::model::error::Error;
use crate::model::info::ModelInfo;
use crate::model::layout::{EncoderLayout, FusedInputs, TensorSpec, embedding_shape};
use crate::model::provider::Provider;
use crate::model::runtime::failure::run_failed;
use crate::model::runtime::tensor::typed_tensor;
use crate::pixels::{Geometry, Resize};
use crate::prompt::{LowResLogits, Prompt};

/// Tolerated difference of logits, as a fraction of their range.
const RANGE_TOLERANCE: f32 = 1e-3;
/// Tolerated difference of logits, as a fraction of the difference between two prompts. Prompts on a synthetic embedding may move
/// the logits by less than [`RANGE_TOLERANCE`].
const VARIATION_TOLERANCE: f32 = 0.05;
/// Rounding of logits, as a fraction of their range.
const ROUNDING: f32 = 4e-6;
/// Magnitude of the values of the synthetic embedding.
const EMBEDDING_MAGNITUDE: f32 = 0.1;
/// Magnitude of the high-resolution features. Larger values would hide the prompts.
const FEATURE_MAGNITUDE: f32 = 0.01;
/// Most numbers of a synthetic embedding. SAM-HQ has 12.6 million.
const MAX_NUMBERS: usize = 1 << 28;

/// Decodes prompts on a synthetic embedding, and corrects the decoder's layout and description by the results. A bundle
/// declares its number of masks (`bundled`); other models are probed.
///
/// # Errors
/// [`Error::Session`] and [`Error::Tensor`] if a single object cannot be decoded.
pub fn probe(decoder: &mut MaskDecoder, encoder: &EncoderLayout, bundled: bool) -> Result<(), Error> {
    let Some(embedding) = synthetic_embedding(decoder.info(), &decoder.layout().embeddings, encoder)? else {
        let note = "not tried while opening: the graphs leave the sizes of the embeddings open";
        decoder.info_mut().notes.push(note.to_owned());
        report_mask_alone(decoder);
        return Ok(());
    };
    probe_mask_alone(decoder, &embedding);
    report_mask_alone(decoder);
    if bundled && decoder.layout().ours() {
        return Ok(());
    }
    let side = decoder.info().image_size as f32;
    probe_absent_boxes(decoder, &embedding, side)?;
    let mut prompts = [Prompt::point(0.3 * side, 0.4 * side), Prompt::point(0.7 * side, 0.2 * side)];
    if decoder.info().points_need_box {
        prompts =
            prompts.map(|p| Prompt { bbox: Prompt::bbox(0.1 * side, 0.2 * side, 0.8 * side, 0.9 * side).bbox, ..p });
    }
    let mut alone = Vec::new();
    for prompt in &prompts {
        alone.extend(decoder.all_masks(&embedding, std::slice::from_ref(prompt))?);
    }
    let [first, second] = alone.as_slice() else { return Ok(()) };
    if !bundled {
        set_mask_count(decoder.info_mut(), first.ious.len());
    }
    let tolerance = tolerance(first, second);
    // The other prompt was decoded in between, so that undefined memory has probably changed.
    let again = decoder.all_masks(&embedding, &prompts[..1])?;
    if let Some(difference) = difference(&alone[..1], &again, tolerance) {
        decoder.info_mut().notes.push(format!(
            "two runs of the same prompt differ by {difference}: this graph's answers cannot be repeated"
        ));
    }
    if decoder.info().batched {
        let batched = decoder.all_masks(&embedding, &prompts);
        let why = match &batched {
            Ok(batched) => {
                difference(&alone, batched, tolerance).map(|d| format!("answers that differ by {d} from those alone"))
            }
            Err(e) => Some(e.to_string()),
        };
        if let Some(why) = why {
            decoder.disable_batches();
            tracing::debug!(%why, "several objects in one run fail");
            let note = "it declares a batch of objects and cannot run one: objects are decoded one after the other";
            decoder.info_mut().notes.push(note.to_owned());
        }
    }
    Ok(())
}

/// Tries a mask as the only prompt. The reference has no sparse token then; the graph gets an empty list of points.
fn probe_mask_alone(decoder: &mut MaskDecoder, embedding: &Embedding) {
    if !decoder.info().takes_masks {
        return;
    }
    let side = decoder.info().low_res_size;
    let data = (0..side * side).map(|i| if i % side < side / 2 { 8.0 } else { -8.0 }).collect();
    let prompt = Prompt::default().with_mask(LowResLogits { side, data });
    set_without_points(decoder, true);
    let finite = |raw: &RawOutput| raw.low_res.iter().chain(&raw.ious).all(|v| v.is_finite());
    match decoder.all_masks(embedding, &[prompt]) {
        Ok(outputs) if outputs.iter().all(finite) => {}
        outcome => {
            tracing::debug!(why = ?outcome.err(), "a mask without a point fails");
            set_without_points(decoder, false);
        }
    }
}

fn set_without_points(decoder: &mut MaskDecoder, without_points: bool) {
    if let Some(fused) = decoder.fused_mut() {
        fused.without_points = without_points;
    }
}

/// Notes if a mask as the only prompt gives other masks than the reference. Models of this project's own layouts are the
/// reference themselves.
fn report_mask_alone(decoder: &mut MaskDecoder) {
    if decoder.layout().ours() {
        return;
    }
    let Some(fused) = decoder.layout().fused.as_ref().filter(|fused| fused.mask.is_some()) else { return };
    let why = match (fused.pad, fused.without_points) {
        (true, true) => return,
        (true, false) => "this graph needs a point and gets the pad point",
        (false, _) => "this graph adds a pad point itself",
    };
    decoder.info_mut().notes.push(format!(
        "a mask as the only prompt gets other masks than from the reference, which has no point then: {why}; with a point \
         or a box beside the mask they are equal"
    ));
}

/// Tries whether an empty input for boxes means "no box". It does if a box gives the same mask in two ways: through its own input,
/// and through two points with the labels of corners while that input is empty. Both are tried with and without a pad point,
/// which the graph may add itself.
fn probe_absent_boxes(decoder: &mut MaskDecoder, embedding: &Embedding, side: f32) -> Result<(), Error> {
    let Some(inputs) = decoder.fused_mut().filter(|fused| fused.boxes.is_some()).map(|fused| fused.clone()) else {
        return Ok(());
    };
    let boxed = [Prompt::bbox(0.2 * side, 0.3 * side, 0.7 * side, 0.8 * side)];
    let other = [Prompt::bbox(0.1 * side, 0.1 * side, 0.3 * side, 0.4 * side)];
    let (expected, other) = (decoder.all_masks(embedding, &boxed)?, decoder.all_masks(embedding, &other)?);
    let tolerance = expected.iter().zip(&other).map(|(a, b)| tolerance(a, b)).fold(0.0, f32::max);
    for pad in [true, false] {
        if let Some(fused) = decoder.fused_mut() {
            *fused = FusedInputs { separate_boxes: false, pad, ..inputs.clone() };
        }
        let corners = decoder.all_masks(embedding, &boxed);
        if let Some(fused) = decoder.fused_mut() {
            *fused = FusedInputs { pad, ..inputs.clone() };
        }
        if corners.is_ok_and(|corners: Vec<RawOutput>| difference(&expected, &corners, tolerance).is_none()) {
            return Ok(());
        }
    }
    let info = decoder.info_mut();
    info.points_need_box = true;
    info.notes.push(
        "points without a box are refused: with an empty `input_boxes` this graph puts undefined values among its \
         tokens, and its answers change from run to run"
            .to_owned(),
    );
    Ok(())
}

/// Sets the number of masks, which not every graph declares.
fn set_mask_count(info: &mut ModelInfo, masks: usize) {
    info.candidates = if masks == 1 { 0 } else { masks.min(3) };
    info.single_mask = masks != 3;
    if masks != 4 {
        info.dynamic_multimask = None;
    }
}

/// Returns the tolerated difference between two results for one prompt, in logits, from the results for two prompts.
fn tolerance(one: &RawOutput, other: &RawOutput) -> f32 {
    let range = range(&one.low_res);
    let pairs = one.low_res.iter().zip(&other.low_res);
    let variation = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    (RANGE_TOLERANCE * range).min(VARIATION_TOLERANCE * variation + ROUNDING * range)
}

/// Returns the difference between the largest and the smallest value.
fn range(values: &[f32]) -> f32 {
    let bounds = |(low, high): (f32, f32), v: &f32| (low.min(*v), high.max(*v));
    let (low, high) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), bounds);
    (high - low).max(f32::MIN_POSITIVE)
}

/// Returns the largest difference as a fraction of the range, in words, if it is larger than `tolerance`.
fn difference(a: &[RawOutput], b: &[RawOutput], tolerance: f32) -> Option<String> {
    let values = |raw: &[RawOutput]| raw.iter().flat_map(|r| r.low_res.iter().copied()).collect::<Vec<f32>>();
    let (a, b) = (values(a), values(b));
    if a.iter().chain(&b).any(|v| !v.is_finite()) {
        return Some("values that are not finite".to_owned());
    }
    if a.len() != b.len() {
        return Some(format!("{} logits in the place of {}", b.len(), a.len()));
    }
    let largest = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    (largest > tolerance).then(|| format!("{:.1e} of their range", largest / range(&a)))
}

/// Makes an embedding of small pseudo-random values in the shapes of the encoder's outputs; none if a shape is not fixed.
fn synthetic_embedding(
    info: &ModelInfo,
    inputs: &[TensorSpec],
    encoder: &EncoderLayout,
) -> Result<Option<Embedding>, Error> {
    let mut state = 0x9e37_79b9_u32;
    let mut value = || {
        // Linear congruential generator of Numerical Recipes; the upper bits are used.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut parts = Vec::with_capacity(inputs.len());
    for (i, tensor) in inputs.iter().enumerate() {
        let magnitude = if i == 0 { EMBEDDING_MAGNITUDE } else { FEATURE_MAGNITUDE };
        let output = encoder.outputs.iter().find(|t| t.name == tensor.name);
        let Some(shape) = embedding_shape(tensor, output) else { return Ok(None) };
        let numbers = shape.iter().try_fold(1_usize, |n, size| n.checked_mul(*size)).filter(|n| *n <= MAX_NUMBERS);
        let numbers = numbers.ok_or_else(|| Error::Tensor {
            file: info.decoder.file.clone(),
            tensor: tensor.name.clone(),
            found: format!("{shape:?}"),
            expected: format!("at most {MAX_NUMBERS} numbers"),
        })?;
        let values = (0..numbers).map(|_| magnitude * value()).collect();
        let value = typed_tensor(tensor, &shape, values);
        let failed = |e: ort::Error| run_failed(&info.decoder.file, Provider::Cpu, &e);
        parts.push((tensor.name.clone(), value.map_err(failed)?));
    }
    let side = info.image_size as u32;
    let geometry = Geometry::new(side, side, info.prompt_side as u32, Resize::Stretch);
    Ok(Some(Embedding::new(parts, geometry, EncodeTimings::default())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::layout::DecoderLayout;
    use crate::model::layout::tests::graph;

    fn raw(low_res: &[f32]) -> Vec<RawOutput> {
        vec![RawOutput {
            low_res: low_res.to_vec(),
            indices: vec![0],
            ious: vec![0.5],
            object_score: None,
            pointers: Vec::new(),
        }]
    }

    #[test]
    fn the_tolerance_follows_from_the_difference_between_two_prompts() {
        let [one, other] = [raw(&[0.0, 2.0]), raw(&[1.0, 2.0])];
        assert_eq!(tolerance(&one[0], &other[0]), 0.002);
        assert!(tolerance(&one[0], &raw(&[0.001, 2.0])[0]) < 1e-4);
        assert_eq!(difference(&one, &raw(&[0.001, 2.0]), 0.002), None);
        assert!(difference(&one, &raw(&[0.2, 2.0]), 0.002).unwrap().contains("1.0e-1 of their range"));
    }

    #[test]
    fn nan_and_another_size_are_differences() {
        assert!(difference(&raw(&[f32::NAN]), &raw(&[f32::NAN]), 0.1).unwrap().contains("not finite"));
        assert!(difference(&raw(&[1.0, 2.0]), &raw(&[1.0]), 0.1).unwrap().contains("1 logits in the place of 2"));
    }

    #[test]
    fn embeddings_of_absurd_sizes_are_not_made() {
        let encoder = "image f32[1,3,128,128] -> image_embeddings f32[1,16,8,8]; features f32[1,16,8,8]";
        let synthetic = |features: &str| {
            let features = format!("features f32[{features}]");
            let encoder = graph(&encoder.replace("features f32[1,16,8,8]", &features));
            let decoder = graph(&format!(
                "image_embeddings f32[1,16,8,8]; {features}; point_coords f32[?,?,2]; point_labels f32[?,?] -> \
                 low_res_masks f32[?,4,32,32]; iou_predictions f32[?,4]"
            ));
            let layouts = (EncoderLayout::recognise(&encoder).unwrap(), DecoderLayout::recognise(&decoder).unwrap());
            let info = ModelInfo::from_graphs("m".to_owned(), 0, (encoder, &layouts.0), (decoder, &layouts.1)).unwrap();
            synthetic_embedding(&info, &layouts.1.embeddings, &layouts.0)
        };
        assert!(synthetic("?,32,32,32").unwrap().is_some());
        assert!(synthetic("1,?,32,32").unwrap().is_none());
        for absurd in ["1,32,1000000,1000000", "1,1099511627776,1099511627776,2"] {
            let message = synthetic(absurd).map(|_| ()).unwrap_err().to_string();
            assert!(
                message.contains("`features` is [1, ") && message.contains("at most 268435456 numbers"),
                "{message}"
            );
        }
    }
}
