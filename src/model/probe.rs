//! Graphs of others are tried before they are trusted.
//!
//! A signature tells what a decoder takes, not whether it works: some exports declare a batch of objects that their
//! graph cannot run, some put undefined memory among the tokens where a box is absent, and some do not say how many
//! masks they make. So a few prompts are decoded on a made-up embedding while the model is opened; what is found wrong
//! is worked around where that is possible, and told in [`ModelInfo::notes`] and the log.

use super::decoded::Raw;
use super::decoder::MaskDecoder;
use super::embedding::EncodeTimings;
use super::layout::{EncoderLayout, FusedInputs, TensorSpec, embedding_shape};
use super::{Embedding, Error, ModelInfo, Provider, inputs, session};
use crate::pixels::{Geometry, Resize};
use crate::prompt::{LowResLogits, Prompt};

/// Differences below this part of the range of the logits do not matter.
const OF_RANGE: f32 = 1e-3;
/// Made-up embeddings say little, so that a prompt may move the logits by less than that. What is less than this part of
/// the difference that another prompt makes, and rounding, do not matter either.
const OF_VARIATION: f32 = 0.05;
const ROUNDING: f32 = 4e-6;
/// Size of the values of the made-up embedding, and of the high-resolution features, which would drown the prompts.
const EMBEDDING: f32 = 0.1;
const FEATURES: f32 = 0.01;
/// Numbers of the largest embedding that is made up: SAM-HQ has one of 12.6 million.
const MAX_NUMBERS: usize = 1 << 28;

/// Tries `decoder` on what its encoder would make of some picture, and corrects what its signature promised. How many
/// masks there are says the description of a model that has one.
///
/// # Errors
/// [`Error::Session`] and [`Error::Tensor`] where a single object cannot be decoded.
pub(super) fn probe(decoder: &mut MaskDecoder, encoder: &EncoderLayout, described: bool) -> Result<(), Error> {
    let Some(embedding) = embedding(decoder.info(), &decoder.layout().embeddings, encoder)? else {
        let note = "not tried while opening: the graphs leave the sizes of the embeddings open";
        decoder.info_mut().notes.push(note.to_owned());
        note_mask_alone(decoder);
        return Ok(());
    };
    mask_alone(decoder, &embedding);
    note_mask_alone(decoder);
    if described && decoder.layout().ours() {
        return Ok(());
    }
    let side = decoder.info().image_size as f32;
    absent_boxes(decoder, &embedding, side)?;
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
    if !described {
        masks(decoder.info_mut(), first.ious.len());
    }
    let tolerance = tolerance(first, second);
    // Another prompt was decoded in between, so that undefined memory has had a chance to change.
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
            decoder.one_by_one();
            tracing::debug!(%why, "several objects in one run fail");
            let note = "it declares a batch of objects and cannot run one: objects are decoded one after the other";
            decoder.info_mut().notes.push(note.to_owned());
        }
    }
    Ok(())
}

/// Tries a mask as the only prompt. The reference has no sparse token then, which is a graph's input of no points.
fn mask_alone(decoder: &mut MaskDecoder, embedding: &Embedding) {
    if !decoder.info().takes_masks {
        return;
    }
    let side = decoder.info().low_res_size;
    let data = (0..side * side).map(|i| if i % side < side / 2 { 8.0 } else { -8.0 }).collect();
    let prompt = Prompt::default().with_mask(LowResLogits { side, data });
    set_without_points(decoder, true);
    let finite = |raw: &Raw| raw.low_res.iter().chain(&raw.ious).all(|v| v.is_finite());
    match decoder.all_masks(embedding, &[prompt]) {
        Ok(made) if made.iter().all(finite) => {}
        outcome => {
            tracing::debug!(why = ?outcome.err(), "a mask without a point fails");
            set_without_points(decoder, false);
        }
    }
}

fn set_without_points(decoder: &mut MaskDecoder, can: bool) {
    if let Some(fused) = decoder.fused_mut() {
        fused.without_points = can;
    }
}

/// Says where a mask alone is not answered as by the reference.
fn note_mask_alone(decoder: &mut MaskDecoder) {
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

/// Where boxes have an input of their own, an empty one has to stand for "no box". Such a graph is right when the same
/// box gives the same mask by its own input and, with that empty, by two points that are labelled as its corners; with
/// or without a pad point, which the graph may add itself.
fn absent_boxes(decoder: &mut MaskDecoder, embedding: &Embedding, side: f32) -> Result<(), Error> {
    let Some(apart) = decoder.fused_mut().filter(|fused| fused.boxes.is_some()).map(|fused| fused.clone()) else {
        return Ok(());
    };
    let boxed = [Prompt::bbox(0.2 * side, 0.3 * side, 0.7 * side, 0.8 * side)];
    let other = [Prompt::bbox(0.1 * side, 0.1 * side, 0.3 * side, 0.4 * side)];
    let (expected, other) = (decoder.all_masks(embedding, &boxed)?, decoder.all_masks(embedding, &other)?);
    let tolerance = expected.iter().zip(&other).map(|(a, b)| tolerance(a, b)).fold(0.0, f32::max);
    for pad in [true, false] {
        if let Some(fused) = decoder.fused_mut() {
            *fused = FusedInputs { corners_apart: false, pad, ..apart.clone() };
        }
        let corners = decoder.all_masks(embedding, &boxed);
        if let Some(fused) = decoder.fused_mut() {
            *fused = FusedInputs { pad, ..apart.clone() };
        }
        if corners.is_ok_and(|corners: Vec<Raw>| difference(&expected, &corners, tolerance).is_none()) {
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

/// The number of masks, which not every graph declares.
fn masks(info: &mut ModelInfo, masks: usize) {
    info.candidates = if masks == 1 { 0 } else { masks.min(3) };
    info.single_mask = masks != 3;
    if masks != 4 {
        info.dynamic_multimask = None;
    }
}

/// What may differ between two answers to one prompt, in logits, given the answers to two.
fn tolerance(one: &Raw, other: &Raw) -> f32 {
    let range = range(&one.low_res);
    let pairs = one.low_res.iter().zip(&other.low_res);
    let variation = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    (OF_RANGE * range).min(OF_VARIATION * variation + ROUNDING * range)
}

fn range(values: &[f32]) -> f32 {
    let bounds = |(low, high): (f32, f32), v: &f32| (low.min(*v), high.max(*v));
    let (low, high) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), bounds);
    (high - low).max(f32::MIN_POSITIVE)
}

/// The largest difference as a part of the range, in words, where it is more than `tolerance`.
fn difference(a: &[Raw], b: &[Raw], tolerance: f32) -> Option<String> {
    let values = |raw: &[Raw]| raw.iter().flat_map(|r| r.low_res.iter().copied()).collect::<Vec<f32>>();
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

/// Small values in the shapes of the encoder's outputs; `None` where those are not fixed.
fn embedding(info: &ModelInfo, wanted: &[TensorSpec], encoder: &EncoderLayout) -> Result<Option<Embedding>, Error> {
    let mut state = 0x9e37_79b9_u32;
    let mut value = || {
        // Numerical Recipes' generator; its upper bits.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut parts = Vec::with_capacity(wanted.len());
    for (i, tensor) in wanted.iter().enumerate() {
        let size_of_values = if i == 0 { EMBEDDING } else { FEATURES };
        let made = encoder.outputs.iter().find(|t| t.name == tensor.name);
        let Some(shape) = embedding_shape(tensor, made) else { return Ok(None) };
        let numbers = shape.iter().try_fold(1_usize, |n, size| n.checked_mul(*size)).filter(|n| *n <= MAX_NUMBERS);
        let numbers = numbers.ok_or_else(|| Error::Tensor {
            file: info.decoder.file.clone(),
            tensor: tensor.name.clone(),
            found: format!("{shape:?}"),
            expected: format!("at most {MAX_NUMBERS} numbers"),
        })?;
        let values = (0..numbers).map(|_| size_of_values * value()).collect();
        let made = inputs::tensor(tensor, &shape, values);
        let failed = |e: ort::Error| session::failed(&info.decoder.file, Provider::Cpu, &e);
        parts.push((tensor.name.clone(), made.map_err(failed)?));
    }
    let side = info.image_size as u32;
    let geometry = Geometry::new(side, side, side, Resize::Stretch);
    Ok(Some(Embedding::new(parts, geometry, EncodeTimings::default())))
}

#[cfg(test)]
mod tests {
    use super::super::layout::DecoderLayout;
    use super::super::layout::tests::graph;
    use super::*;

    fn raw(low_res: &[f32]) -> Vec<Raw> {
        vec![Raw {
            low_res: low_res.to_vec(),
            indices: vec![0],
            ious: vec![0.5],
            object_score: None,
            pointers: Vec::new(),
        }]
    }

    #[test]
    fn what_another_prompt_changes_says_what_matters() {
        let [one, other] = [raw(&[0.0, 2.0]), raw(&[1.0, 2.0])];
        assert_eq!(tolerance(&one[0], &other[0]), 0.002);
        assert!(tolerance(&one[0], &raw(&[0.001, 2.0])[0]) < 1e-4);
        assert_eq!(difference(&one, &raw(&[0.001, 2.0]), 0.002), None);
        assert!(difference(&one, &raw(&[0.2, 2.0]), 0.002).unwrap().contains("1.0e-1 of their range"));
    }

    #[test]
    fn what_is_not_a_number_or_of_another_size_is_a_difference_too() {
        assert!(difference(&raw(&[f32::NAN]), &raw(&[f32::NAN]), 0.1).unwrap().contains("not finite"));
        assert!(difference(&raw(&[1.0, 2.0]), &raw(&[1.0]), 0.1).unwrap().contains("1 logits in the place of 2"));
    }

    #[test]
    fn embeddings_of_absurd_sizes_are_not_made() {
        let encoder = "image f32[1,3,128,128] -> image_embeddings f32[1,16,8,8]; features f32[1,16,8,8]";
        let made_up = |features: &str| {
            let features = format!("features f32[{features}]");
            let encoder = graph(&encoder.replace("features f32[1,16,8,8]", &features));
            let decoder = graph(&format!(
                "image_embeddings f32[1,16,8,8]; {features}; point_coords f32[?,?,2]; point_labels f32[?,?] -> \
                 low_res_masks f32[?,4,32,32]; iou_predictions f32[?,4]"
            ));
            let layouts = (EncoderLayout::recognise(&encoder).unwrap(), DecoderLayout::recognise(&decoder).unwrap());
            let info = ModelInfo::of_pair("m".to_owned(), 0, (encoder, &layouts.0), (decoder, &layouts.1)).unwrap();
            embedding(&info, &layouts.1.embeddings, &layouts.0)
        };
        assert!(made_up("?,32,32,32").unwrap().is_some());
        assert!(made_up("1,?,32,32").unwrap().is_none());
        for absurd in ["1,32,1000000,1000000", "1,1099511627776,1099511627776,2"] {
            let message = made_up(absurd).map(|_| ()).unwrap_err().to_string();
            assert!(
                message.contains("`features` is [1, ") && message.contains("at most 268435456 numbers"),
                "{message}"
            );
        }
    }
}
