//! Prompts become the tensors that a mask decoder takes, named and typed as its graph declares them.

use std::borrow::Cow;

use half::f16;
use ort::session::SessionInputValue;
use ort::value::{DynValue, Tensor};

use super::candidates::Wanted;
use super::layout::{FusedInputs, TensorSpec};
use crate::model::prompt_encoder::{PromptEncoder, Token, TokenLabel};
use crate::prompt::Prompt;

/// The dense prompt of graphs that take prompt embeddings.
pub(super) const DENSE: &str = "dense_prompt_embeddings";

pub(super) type Inputs<'a> = Vec<(Cow<'a, str>, SessionInputValue<'a>)>;

/// Objects of one run: index of the prompt, and its sparse tokens, as many for each.
pub(super) type Chunk = [(usize, Vec<Token>)];

/// `sparse_prompt_embeddings` `[B, N, C]`, and `dense_prompt_embeddings` `[B, C, h, w]` of objects with masks.
pub(super) fn external(
    inputs: &mut Inputs<'_>,
    encoder: &PromptEncoder,
    prompts: &[Prompt],
    chunk: &Chunk,
) -> ort::Result<()> {
    let ([c, h, w], n) = (encoder.dense_shape(), chunk[0].1.len());
    let sparse = chunk.iter().flat_map(|(_, tokens)| encoder.sparse(tokens)).collect::<Vec<f32>>();
    inputs.push(("sparse_prompt_embeddings".into(), Tensor::from_array(([chunk.len(), n, c], sparse))?.into()));
    let masks = chunk.iter().filter_map(|(i, _)| prompts[*i].mask.as_ref()).collect::<Vec<_>>();
    if !masks.is_empty() {
        let dense = masks.iter().flat_map(|mask| encoder.dense(&mask.data)).collect::<Vec<f32>>();
        inputs.push((DENSE.into(), Tensor::from_array(([masks.len(), c, h, w], dense))?.into()));
    }
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
    let xy = |t: &Token| [t.x * scale, t.y * scale];
    let boxed = boxed(layout, &chunk[0].1);
    let points = || chunk.iter().flat_map(|(_, tokens)| points(layout, tokens));
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

/// Prompt tokens of an object that a graph is given: all of them where it takes embeddings (`fused` is none), else those
/// that are points to it.
pub(super) fn count(fused: Option<&FusedInputs>, tokens: &[Token]) -> usize {
    fused.map_or(tokens.len(), |layout| points(layout, tokens).count())
}

fn corner(token: &Token) -> bool {
    matches!(token.label, TokenLabel::TopLeft | TokenLabel::BottomRight)
}

/// Whether an object has a box that goes into an input for boxes.
fn boxed(layout: &FusedInputs, tokens: &[Token]) -> bool {
    layout.boxes.is_some() && layout.corners_apart && tokens.iter().any(corner)
}

/// The tokens that a graph is given as points: without a pad that the graph adds itself, except one that stands alone, and
/// without the corners of a box that goes into an input for boxes, which comes with a pad of its own.
fn points<'a>(layout: &FusedInputs, tokens: &'a [Token]) -> impl Iterator<Item = &'a Token> {
    let (boxed, pad) = (boxed(layout, tokens), layout.pad || tokens.len() == 1);
    tokens.iter().filter(move |t| match t.label {
        TokenLabel::Pad => pad && !boxed,
        _ => !(boxed && corner(t)),
    })
}

/// A tensor of the type that `spec` declares; the values are whole numbers where that has no fraction.
pub(super) fn tensor(spec: &TensorSpec, shape: &[usize], values: Vec<f32>) -> ort::Result<DynValue> {
    Ok(match spec.dtype.as_str() {
        "i64" => Tensor::from_array((shape, values.iter().map(|v| *v as i64).collect::<Vec<_>>()))?.into_dyn(),
        "i32" => Tensor::from_array((shape, values.iter().map(|v| *v as i32).collect::<Vec<_>>()))?.into_dyn(),
        "f16" => Tensor::from_array((shape, values.iter().map(|v| f16::from_f32(*v)).collect::<Vec<_>>()))?.into_dyn(),
        "bool" => Tensor::from_array((shape, values.iter().map(|v| *v != 0.0).collect::<Vec<_>>()))?.into_dyn(),
        _ => Tensor::from_array((shape, values))?.into_dyn(),
    })
}
