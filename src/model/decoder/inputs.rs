//! Tensors of prompts, with the names and types that the mask decoder's graph declares.

use std::borrow::Cow;

use ort::session::SessionInputValue;
use ort::value::Tensor;

use crate::model::candidates::WantedMask;
use crate::model::layout::{FusedInputs, TensorSpec};
use crate::model::prompt_encoder::{PromptEncoder, Token, TokenLabel};
use crate::model::runtime::tensor::typed_tensor;
use crate::prompt::Prompt;

/// Name of the dense prompt embeddings.
pub const DENSE: &str = "dense_prompt_embeddings";

/// Inputs of one run by name.
pub type Inputs<'a> = Vec<(Cow<'a, str>, SessionInputValue<'a>)>;

/// One object of a run: the index of its prompt, and its sparse tokens.
pub type ObjectTokens = (usize, Vec<Token>);

/// Adds `sparse_prompt_embeddings` `[B, N, C]`, and for objects with masks `dense_prompt_embeddings` `[B, C, h, w]`. All objects
/// have equally many tokens.
///
/// # Errors
/// The error of ONNX Runtime.
pub fn push_embeddings(
    inputs: &mut Inputs<'_>,
    encoder: &PromptEncoder,
    prompts: &[Prompt],
    chunk: &[ObjectTokens],
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

/// Adds `wanted_masks` `[B, M, masks + 1]`. All objects have equally many rows.
///
/// # Errors
/// The error of ONNX Runtime.
pub fn push_wanted_masks(inputs: &mut Inputs<'_>, masks: usize, rows: &[&[WantedMask]]) -> ort::Result<()> {
    let shape = [rows.len(), rows.first().map_or(0, |rows| rows.len()), masks + 1];
    let values = rows.iter().flat_map(|rows| rows.iter()).flat_map(|row| row.row(masks)).collect::<Vec<f32>>();
    inputs.push(("wanted_masks".into(), Tensor::from_array((shape, values))?.into()));
    Ok(())
}

/// Adds the inputs of a graph with the prompt encoder inside. `side` is the side of the low-resolution logits; `scale` is the
/// factor from pixels of the square of the prompts to the pixels that the graph takes.
///
/// # Errors
/// The error of ONNX Runtime.
pub fn push_coordinates(
    inputs: &mut Inputs<'_>,
    layout: &FusedInputs,
    side: usize,
    scale: f32,
    prompts: &[Prompt],
    chunk: &[ObjectTokens],
) -> ort::Result<()> {
    let objects = chunk.len();
    let mut push = |spec: &TensorSpec, shape: &[usize], values: Vec<f32>| -> ort::Result<()> {
        inputs.push((spec.name.clone().into(), typed_tensor(spec, shape, values)?.into()));
        Ok(())
    };
    let xy = |t: &Token| [t.x * scale, t.y * scale];
    let boxed = boxed(layout, &chunk[0].1);
    let points = || chunk.iter().flat_map(|(_, tokens)| points(layout, tokens));
    let n = points().count() / objects;
    // `[1, B, N, 2]` in graphs with a batch of images.
    let images: &[usize] = if layout.points.shape.len() == 4 { &[1] } else { &[] };
    push(&layout.points, &[images, &[objects, n, 2]].concat(), points().flat_map(xy).collect())?;
    push(&layout.labels, &[images, &[objects, n]].concat(), points().map(|t| t.label.number()).collect())?;
    if let Some(boxes) = &layout.boxes {
        let corners = chunk.iter().flat_map(|(_, tokens)| tokens).filter(|t| boxed && is_corner(t));
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
        // Either all objects of a run have a mask or none, so that one flag is enough.
        flags.truncate(if layout.flag_per_object { objects } else { 1 });
        push(mask, &[objects, 1, side, side], masks)?;
        push(flag, &[flags.len()], flags)?;
    }
    if let Some(size) = &layout.size {
        // Masks of this size are not used, or are the low-resolution logits themselves.
        push(size, &[2], vec![side as f32; 2])?;
    }
    Ok(())
}

/// Returns the number of an object's tokens that the graph receives: all tokens if the graph takes embeddings (`fused` is
/// none), otherwise the tokens that the graph takes as points.
pub fn token_count(fused: Option<&FusedInputs>, tokens: &[Token]) -> usize {
    fused.map_or(tokens.len(), |layout| points(layout, tokens).count())
}

/// Returns whether a token is a corner of a box.
fn is_corner(token: &Token) -> bool {
    matches!(token.label, TokenLabel::TopLeft | TokenLabel::BottomRight)
}

/// Returns whether an object has a box that goes into the graph's input for boxes.
fn boxed(layout: &FusedInputs, tokens: &[Token]) -> bool {
    layout.boxes.is_some() && layout.separate_boxes && tokens.iter().any(is_corner)
}

/// Returns the tokens that the graph takes as points. A pad token is left out if the graph adds one itself, unless the pad
/// token is the only token. The corners of a box are left out if the box goes into an input of its own; the graph adds a pad
/// token to that input.
fn points<'a>(layout: &FusedInputs, tokens: &'a [Token]) -> impl Iterator<Item = &'a Token> {
    let (boxed, pad) = (boxed(layout, tokens), layout.pad || tokens.len() == 1);
    tokens.iter().filter(move |t| match t.label {
        TokenLabel::Pad => pad && !boxed,
        _ => !(boxed && is_corner(t)),
    })
}
