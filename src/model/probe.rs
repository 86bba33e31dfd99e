//! Graphs of others are tried before they are trusted.
//!
//! A signature tells what a decoder takes, not whether it works: some exports declare a batch of objects that their
//! graph cannot run, some put undefined memory among the tokens where a box is absent, and some do not say how many
//! masks they make. So a few prompts are decoded on a made-up embedding while the model is opened; what is found wrong
//! is worked around where that is possible, and told in [`ModelInfo::notes`] and the log.

use super::decoder::{MaskDecoder, Raw};
use super::layout::{EncoderLayout, FusedInputs, TensorSpec};
use super::{Embedding, Error, ModelInfo};
use crate::pixels::{Geometry, Resize};
use crate::prompt::Prompt;

/// Differences below this part of the range of the logits are those of another order of additions.
const TOLERANCE: f32 = 1e-3;

/// Tries `decoder` on what its encoder would make of some picture, and corrects what its signature promised.
///
/// # Errors
/// [`Error::Session`] and [`Error::Tensor`] where a single object cannot be decoded.
pub(super) fn probe(decoder: &mut MaskDecoder, encoder: &EncoderLayout) -> Result<(), Error> {
    let Some(embedding) = embedding(decoder.info(), &decoder.layout().embeddings, encoder)? else {
        let note = "not tried while opening: the graphs leave the sizes of the embeddings open";
        decoder.info_mut().notes.push(note.to_owned());
        return Ok(());
    };
    let side = decoder.info().image_size as f32;
    absent_boxes(decoder, &embedding, side)?;
    let mut prompts = [Prompt::point(0.3 * side, 0.4 * side), Prompt::point(0.7 * side, 0.2 * side)];
    if decoder.info().points_need_box {
        prompts =
            prompts.map(|p| Prompt { bbox: Prompt::bbox(0.1 * side, 0.2 * side, 0.8 * side, 0.9 * side).bbox, ..p });
    }
    let mut alone = Vec::new();
    for prompt in &prompts {
        alone.extend(decoder.run_all(&embedding, std::slice::from_ref(prompt))?);
    }
    let [first, _] = alone.as_slice() else { return Ok(()) };
    masks(decoder.info_mut(), first.ious.len());
    // Another prompt was decoded in between, so that undefined memory has had a chance to change.
    let again = decoder.run_all(&embedding, &prompts[..1])?;
    if let Some(difference) = difference(&alone[..1], &again) {
        decoder.info_mut().notes.push(format!(
            "two runs of the same prompt differ by {difference}: this graph's answers cannot be repeated"
        ));
    }
    if decoder.info().batched {
        let batched = decoder.run_all(&embedding, &prompts);
        let why = match &batched {
            Ok(batched) => difference(&alone, batched).map(|d| format!("answers that differ by {d} from those alone")),
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

/// Where boxes have an input of their own, an empty one has to stand for "no box". Such a graph is right when the same
/// box gives the same mask by its own input and, with that empty, by two points that are labelled as its corners; with
/// or without a pad point, which the graph may add itself.
fn absent_boxes(decoder: &mut MaskDecoder, embedding: &Embedding, side: f32) -> Result<(), Error> {
    let Some(apart) = decoder.fused_mut().filter(|fused| fused.boxes.is_some()).map(|fused| fused.clone()) else {
        return Ok(());
    };
    let boxed = [Prompt::bbox(0.2 * side, 0.3 * side, 0.7 * side, 0.8 * side)];
    let expected = decoder.run_all(embedding, &boxed)?;
    for pad in [true, false] {
        if let Some(fused) = decoder.fused_mut() {
            *fused = FusedInputs { corners_apart: false, pad, ..apart.clone() };
        }
        let corners = decoder.run_all(embedding, &boxed);
        if let Some(fused) = decoder.fused_mut() {
            *fused = FusedInputs { pad, ..apart.clone() };
        }
        if corners.is_ok_and(|corners: Vec<Raw>| difference(&expected, &corners).is_none()) {
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

/// The largest difference as a part of the range, in words, where it is more than rounding.
fn difference(a: &[Raw], b: &[Raw]) -> Option<String> {
    let values = |raw: &[Raw]| raw.iter().flat_map(|r| [r.low_res.as_slice(), &r.ious].concat()).collect::<Vec<f32>>();
    let (a, b) = (values(a), values(b));
    if a.iter().chain(&b).any(|v| !v.is_finite()) {
        return Some("values that are not finite".to_owned());
    }
    let (low, high) = a.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
    let largest = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let part = largest / (high - low).max(f32::MIN_POSITIVE);
    (a.len() != b.len() || part > TOLERANCE).then(|| format!("{part:.1e} of their range"))
}

/// Values between -1 and 1 in the shapes of the encoder's outputs; `None` where those are not fixed.
fn embedding(info: &ModelInfo, wanted: &[TensorSpec], encoder: &EncoderLayout) -> Result<Option<Embedding>, Error> {
    let mut state = 0x9e37_79b9_u32;
    let mut value = || {
        // Numerical Recipes' generator; its upper bits.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut parts = Vec::with_capacity(wanted.len());
    for tensor in wanted {
        let made = encoder.outputs.iter().find(|t| t.name == tensor.name);
        // Only the number of images may be open, and that is one.
        let size = |axis: usize| tensor.fixed(axis).or(made.and_then(|t| t.fixed(axis))).or((axis == 0).then_some(1));
        let Some(shape) = (0..tensor.shape.len()).map(size).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let values = (0..shape.iter().product()).map(|_| value()).collect();
        parts.push((tensor.name.clone(), shape, values));
    }
    let side = info.image_size as u32;
    Embedding::from_parts(parts, Geometry::new(side, side, side, Resize::Stretch)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(low_res: &[f32]) -> Vec<Raw> {
        vec![Raw { low_res: low_res.to_vec(), ious: vec![0.5], object_score: None }]
    }

    #[test]
    fn differences_are_parts_of_the_range_and_rounding_is_none() {
        assert_eq!(difference(&raw(&[0.0, 2.0]), &raw(&[0.0, 2.0])), None);
        assert_eq!(difference(&raw(&[0.0, 2.0]), &raw(&[0.001, 2.0])), None);
        assert!(difference(&raw(&[0.0, 2.0]), &raw(&[0.2, 2.0])).unwrap().contains("1.0e-1"));
    }

    #[test]
    fn what_is_not_a_number_is_a_difference_too() {
        assert!(difference(&raw(&[f32::NAN]), &raw(&[f32::NAN])).unwrap().contains("not finite"));
        assert!(difference(&raw(&[1.0, 2.0]), &raw(&[1.0])).is_some());
    }
}
