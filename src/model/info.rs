//! What is known about a loaded model: the description of a bundle, or what the graphs themselves tell.

use super::bundle::{Bundle, Manifest};
use super::candidates::DynamicMultimask;
use super::layout::{DecoderLayout, EncoderLayout, PromptInput, Signature};
use super::{Error, Variant};
use crate::pixels::{InputSpec, Resize};

/// SAM's normalisation, `pixel_mean` and `pixel_std` of segment_anything/build_sam.py, 0 to 255 scale.
const SAM_MEAN: [f32; 3] = [123.675, 116.28, 103.53];
const SAM_STD: [f32; 3] = [58.395, 57.12, 57.375];
/// SAM's encoder makes one embedding cell of 16 x 16 pixels, and its decoder 4 x 4 logits of a cell.
const SAM_STRIDE: usize = 16;
const SAM_LOGITS_PER_CELL: usize = 4;

/// Everything about a model that does not need its sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    pub name: String,
    pub family: String,
    pub source: String,
    pub licence: String,
    /// How people call the layout of its graphs.
    pub layout: &'static str,
    /// Side of the encoder's square picture, pixels.
    pub image_size: usize,
    pub resize: Resize,
    /// Per channel, 0 to 255 scale.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    /// `[1, C, h, w]`.
    pub embedding_shape: Vec<usize>,
    /// Side of the low-resolution logits.
    pub low_res_size: usize,
    /// A logit above it is inside.
    pub mask_threshold: f32,
    /// Candidates of an ambiguous prompt.
    pub candidates: usize,
    /// Whether a mask for clear prompts comes before them.
    pub single_mask: bool,
    /// Whether clear prompts are answered by the best candidate too.
    pub multimask_for_several_prompts: bool,
    /// SAM 2: when the best candidate replaces the single mask.
    pub dynamic_multimask: Option<DynamicMultimask>,
    /// SAM 2: the corners of a box come before the points, and a pad token ends every list.
    pub box_as_points: bool,
    /// SAM 2: bound of the low-resolution logits that are handed out.
    pub low_res_limit: Option<f32>,
    pub takes_points: bool,
    pub takes_boxes: bool,
    pub takes_masks: bool,
    /// Whether several objects share one run of the decoder.
    pub batched: bool,
    /// What the bundle has; empty for graphs that come without a description.
    pub variants: Vec<Variant>,
    /// Inputs and outputs of the two graphs.
    pub encoder: Signature,
    pub decoder: Signature,
    /// Bytes of all files.
    pub bytes: u64,
}

impl ModelInfo {
    /// The picture that the encoder wants.
    pub fn input_spec(&self) -> InputSpec {
        InputSpec { side: self.image_size as u32, resize: self.resize, mean: self.mean, std: self.std }
    }

    pub(super) fn of_bundle(
        bundle: &Bundle,
        (encoder, encoder_layout): (Signature, &EncoderLayout),
        (decoder, layout): (Signature, &DecoderLayout),
    ) -> Result<ModelInfo, Error> {
        let m = &bundle.manifest;
        check_graphs(m, (&encoder, encoder_layout), (&decoder, layout))?;
        let takes = |kind: &str| m.prompts.iter().any(|p| p == kind);
        Ok(ModelInfo {
            name: m.name.clone(),
            family: m.family.clone(),
            source: m.source.clone(),
            licence: m.licence.clone(),
            layout: layout.name(),
            image_size: m.image_size,
            resize: m.resize(),
            mean: m.mean,
            std: m.std,
            embedding_shape: m.embedding_shape.clone(),
            low_res_size: m.low_res_size,
            mask_threshold: m.mask_threshold,
            candidates: m.candidates,
            single_mask: m.single_mask,
            multimask_for_several_prompts: m.multimask_for_several_prompts,
            dynamic_multimask: m.dynamic_multimask,
            box_as_points: m.box_as_points,
            low_res_limit: m.low_res_limit,
            takes_points: takes("point"),
            takes_boxes: takes("box"),
            takes_masks: takes("mask") && layout.takes_mask,
            batched: layout.batched,
            variants: m.variants.clone(),
            encoder,
            decoder,
            bytes: bundle.bytes(),
        })
    }

    /// For graphs that come without a description: SAM's own figures where the graphs leave something open.
    pub(super) fn of_pair(
        name: String,
        bytes: u64,
        (encoder, encoder_layout): (Signature, &EncoderLayout),
        (decoder, layout): (Signature, &DecoderLayout),
    ) -> Result<ModelInfo, Error> {
        let embedding = layout.embeddings.iter().find(|t| t.name == "image_embeddings");
        let embedding = embedding.or_else(|| layout.embeddings.last()).map(|t| t.shape.clone()).unwrap_or_default();
        let mut shape: Vec<usize> = embedding.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect();
        if let Some(batch) = shape.first_mut() {
            *batch = 1;
        }
        if shape.contains(&0) || shape.len() != 4 {
            return Err(Error::Tensor {
                file: decoder.file.clone(),
                tensor: "image_embeddings".to_owned(),
                found: format!("{embedding:?}"),
                expected: "[1, C, h, w] with fixed sizes".to_owned(),
            });
        }
        let masks = layout.masks.unwrap_or(4);
        Ok(ModelInfo {
            name,
            family: "sam".to_owned(),
            source: encoder.file.clone(),
            licence: "unknown".to_owned(),
            layout: layout.name(),
            image_size: encoder_layout.side.unwrap_or(shape[2] * SAM_STRIDE),
            resize: Resize::Letterbox,
            mean: SAM_MEAN,
            std: SAM_STD,
            low_res_size: layout.low_res_side.unwrap_or(shape[2] * SAM_LOGITS_PER_CELL),
            embedding_shape: shape,
            mask_threshold: 0.0,
            candidates: if masks == 1 { 0 } else { masks.min(3) },
            single_mask: masks != 3,
            multimask_for_several_prompts: false,
            dynamic_multimask: None,
            box_as_points: false,
            low_res_limit: None,
            takes_points: true,
            takes_boxes: true,
            takes_masks: layout.takes_mask,
            batched: layout.batched,
            variants: Vec::new(),
            encoder,
            decoder,
            bytes,
        })
    }
}

/// The graphs of a bundle against its description.
fn check_graphs(
    m: &Manifest,
    (encoder, encoder_layout): (&Signature, &EncoderLayout),
    (decoder, layout): (&Signature, &DecoderLayout),
) -> Result<(), Error> {
    let differs = |file: &str, tensor: &str, found: String, expected: String| {
        Err(Error::Tensor { file: file.to_owned(), tensor: tensor.to_owned(), found, expected })
    };
    if let Some(side) = encoder_layout.side.filter(|&s| s != m.image_size) {
        let expected = format!("[1, 3, {0}, {0}] as bundle.json's image_size says", m.image_size);
        return differs(&encoder.file, &encoder_layout.image, format!("[1, 3, {side}, {side}]"), expected);
    }
    let shaped = |shape: &[i64]| {
        shape.len() == 4 && shape.iter().zip(&m.embedding_shape).all(|(a, b)| *a < 0 || *a as usize == *b)
    };
    if !encoder_layout.outputs.iter().any(|o| shaped(&o.shape)) {
        let found = encoder_layout.outputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return differs(&encoder.file, "embedding", found, format!("f32{:?} as bundle.json says", m.embedding_shape));
    }
    if let Some(side) = layout.low_res_side.filter(|&s| s != m.low_res_size) {
        let expected = format!("{} logits a side as bundle.json's low_res_size says", m.low_res_size);
        return differs(&decoder.file, "low_res_masks", format!("{side} a side"), expected);
    }
    let declared = m.candidates + usize::from(m.single_mask);
    if let Some(masks) = layout.masks.filter(|&n| n != declared) {
        let expected = format!("{declared} as bundle.json's candidates and single_mask say");
        return differs(&decoder.file, "low_res_masks", format!("{masks} masks"), expected);
    }
    if m.external() != (layout.prompts == PromptInput::External) {
        let expected = format!("the prompt encoder {} as bundle.json says", m.prompt_encoder);
        return differs(&decoder.file, "prompts", layout.name().to_owned(), expected);
    }
    Ok(())
}
