//! Prompts become the tensors that a mask decoder takes, named and typed as its graph declares them.

use std::borrow::Cow;

use ort::session::SessionInputValue;
use ort::value::{DynValue, Tensor};

use super::candidates::Wanted;
use super::layout::{FusedInputs, TensorSpec};
use crate::model::prompt_encoder::{PromptEncoder, Token, TokenLabel};
use crate::prompt::Prompt;

pub(super) type Inputs<'a> = Vec<(Cow<'a, str>, SessionInputValue<'a>)>;

/// Objects of one run: index of the prompt, and its sparse tokens, as many for each.
pub(super) type Chunk = [(usize, Vec<Token>)];

/// `sparse_prompt_embeddings` `[B, N, C]` and `dense_prompt_embeddings` `[1 or B, C, h, w]`, which broadcasts.
pub(super) fn external<'a>(
    inputs: &mut Inputs<'a>,
    encoder: &PromptEncoder,
    no_mask: &'a DynValue,
    prompts: &[Prompt],
    chunk: &Chunk,
) -> ort::Result<()> {
    let ([c, h, w], n) = (encoder.dense_shape(), chunk[0].1.len());
    let sparse = chunk.iter().flat_map(|(_, tokens)| encoder.sparse(tokens)).collect::<Vec<f32>>();
    inputs.push(("sparse_prompt_embeddings".into(), Tensor::from_array(([chunk.len(), n, c], sparse))?.into()));
    let masks = chunk.iter().filter_map(|(i, _)| prompts[*i].mask.as_ref()).collect::<Vec<_>>();
    let dense = if masks.is_empty() {
        SessionInputValue::from(no_mask)
    } else {
        let dense = masks.iter().flat_map(|mask| encoder.dense(&mask.data)).collect::<Vec<f32>>();
        Tensor::from_array(([masks.len(), c, h, w], dense))?.into()
    };
    inputs.push(("dense_prompt_embeddings".into(), dense));
    Ok(())
}

/// `wanted_masks` `[B, M, masks + 1]`: for each object of a run equally many rows.
pub(super) fn wanted(inputs: &mut Inputs<'_>, masks: usize, rows: &[&[Wanted]]) -> ort::Result<()> {
    let shape = [rows.len(), rows.first().map_or(0, |rows| rows.len()), masks + 1];
    let values = rows.iter().flat_map(|rows| rows.iter()).flat_map(|row| row.row(masks)).collect::<Vec<f32>>();
    inputs.push(("wanted_masks".into(), Tensor::from_array((shape, values))?.into()));
    Ok(())
}

/// The inputs of a graph that encodes prompts itself. `side` is that of the low-resolution logits; coordinates are
/// multiplied by `scale` on their way from the encoder's square to the decoder's.
pub(super) fn fused(
    inputs: &mut Inputs<'_>,
    layout: &FusedInputs,
    side: usize,
    scale: f32,
    prompts: &[Prompt],
    chunk: &Chunk,
) -> ort::Result<()> {
    let objects = chunk.len();
    let mut push = |spec: &TensorSpec, shape: &[usize], values: Vec<f32>| -> ort::Result<()> {
        inputs.push((spec.name.clone().into(), tensor(spec, shape, values)?.into()));
        Ok(())
    };
    let corner = |t: &Token| matches!(t.label, TokenLabel::TopLeft | TokenLabel::BottomRight);
    let xy = |t: &Token| [t.x * scale, t.y * scale];
    let boxed = layout.boxes.is_some() && layout.corners_apart && chunk[0].1.iter().any(corner);
    // What the graph is given as a point: not its own pad, and no corners where boxes have an input of their own, which
    // comes with a pad of its own.
    let point = |t: &&Token| match t.label {
        TokenLabel::Pad => layout.pad && !boxed,
        _ => !(boxed && corner(t)),
    };
    let points = || chunk.iter().flat_map(|(_, tokens)| tokens).filter(point);
    let n = points().count() / objects;
    // `[1, B, N, 2]` in graphs that know a batch of images too.
    let images: &[usize] = if layout.points.shape.len() == 4 { &[1] } else { &[] };
    push(&layout.points, &[images, &[objects, n, 2]].concat(), points().flat_map(xy).collect())?;
    push(&layout.labels, &[images, &[objects, n]].concat(), points().map(|t| t.label.number()).collect())?;
    if let Some(boxes) = &layout.boxes {
        let corners = chunk.iter().flat_map(|(_, tokens)| tokens).filter(|t| boxed && corner(t));
        let corners = corners.flat_map(xy).collect::<Vec<f32>>();
        push(boxes, &[1, corners.len() / 4, 4], corners)?;
    }
    if let Some([mask, flag]) = &layout.mask {
        let mut masks = vec![0.0_f32; objects * side * side];
        let mut flags = vec![0.0_f32; objects];
        for ((slot, (i, _)), flag) in masks.chunks_exact_mut(side * side).zip(chunk).zip(&mut flags) {
            if let Some(mask) = &prompts[*i].mask {
                slot.copy_from_slice(&mask.data);
                *flag = 1.0;
            }
        }
        // The objects of a run have all a mask or none, so that one flag is enough.
        flags.truncate(if layout.flag_per_object { objects } else { 1 });
        push(mask, &[objects, 1, side, side], masks)?;
        push(flag, &[flags.len()], flags)?;
    }
    if let Some(size) = &layout.size {
        // Masks at this size are not used, or are the low-resolution logits themselves.
        push(size, &[2], vec![side as f32; 2])?;
    }
    Ok(())
}

/// A tensor of the type that `spec` declares; the values are whole numbers where that is not f32.
fn tensor(spec: &TensorSpec, shape: &[usize], values: Vec<f32>) -> ort::Result<DynValue> {
    Ok(match spec.dtype.as_str() {
        "i64" => Tensor::from_array((shape, values.iter().map(|v| *v as i64).collect::<Vec<_>>()))?.into_dyn(),
        "i32" => Tensor::from_array((shape, values.iter().map(|v| *v as i32).collect::<Vec<_>>()))?.into_dyn(),
        "bool" => Tensor::from_array((shape, values.iter().map(|v| *v != 0.0).collect::<Vec<_>>()))?.into_dyn(),
        _ => Tensor::from_array((shape, values))?.into_dyn(),
    })
}
