//! What kind of graph is this? Recognised by tensor names, types and shapes, never by position.
//!
//! Known today: promptseg's own bundles (`external` with SAM's prompt encoder outside of the graph, `fused` with the
//! prompts as coordinates), and the official SAM export with its community encoders. Shapes have -1 where a dimension
//! is dynamic.

use std::fmt;

use ort::value::{Outlet, TensorElementType, ValueType};

use super::Error;

/// One input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    pub name: String,
    /// As ONNX Runtime writes it: `f32`, `i64`, ...; `not a tensor` for sequences and maps.
    pub dtype: String,
    /// -1 for a dynamic dimension.
    pub shape: Vec<i64>,
}

impl TensorSpec {
    pub(super) fn of(outlet: &Outlet) -> TensorSpec {
        let (dtype, shape) = match outlet.dtype() {
            ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => ("f32".to_owned(), shape.to_vec()),
            ValueType::Tensor { ty, shape, .. } => (ty.to_string(), shape.to_vec()),
            _ => ("not a tensor".to_owned(), Vec::new()),
        };
        TensorSpec { name: outlet.name().to_owned(), dtype, shape }
    }

    fn is_f32(&self, rank: usize) -> bool {
        self.dtype == "f32" && self.shape.len() == rank
    }

    /// A fixed dimension, `None` where it is dynamic or not there.
    fn fixed(&self, axis: usize) -> Option<usize> {
        self.shape.get(axis).and_then(|&d| usize::try_from(d).ok()).filter(|&d| d > 0)
    }

    fn dynamic(&self, axis: usize) -> bool {
        self.shape.get(axis).is_some_and(|&d| d < 0)
    }
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}[", self.name, self.dtype)?;
        for (i, d) in self.shape.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            if *d < 0 { write!(f, "{comma}?")? } else { write!(f, "{comma}{d}")? }
        }
        f.write_str("]")
    }
}

/// Inputs and outputs of one graph, with the file that it came from for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub file: String,
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
}

impl Signature {
    pub fn input(&self, name: &str) -> Option<&TensorSpec> {
        self.inputs.iter().find(|t| t.name == name)
    }

    pub fn output(&self, name: &str) -> Option<&TensorSpec> {
        self.outputs.iter().find(|t| t.name == name)
    }

    fn unknown(&self, known: &[&str]) -> Error {
        Error::UnknownLayout { file: self.file.clone(), found: self.to_string(), known: known.join("; ") }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |specs: &[TensorSpec]| specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "{} -> {}", list(&self.inputs), list(&self.outputs))
    }
}

const KNOWN_ENCODERS: &[&str] = &[
    "image | images | input_image f32[1,3,S,S] -> image_embeddings f32[1,C,S/16,S/16] (or the names of the decoder's inputs)",
];

const KNOWN_DECODERS: &[&str] = &[
    "promptseg external: image_embeddings f32[1,C,h,w], sparse_prompt_embeddings f32[?,?,C], dense_prompt_embeddings \
     f32[?,C,h,w] -> low_res_masks, iou_predictions",
    "promptseg fused: embeddings by name, point_coords f32[?,?,2], point_labels f32[?,?], mask_input f32[?,1,L,L], \
     has_mask_input f32[?] -> low_res_masks, iou_predictions",
    "official SAM: image_embeddings f32[1,C,h,w], point_coords f32[1,?,2], point_labels f32[1,?], mask_input f32[1,1,L,L], \
     has_mask_input f32[1], orig_im_size f32[2] -> masks, iou_predictions, low_res_masks",
];

/// How the picture goes into the image encoder and what comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderLayout {
    /// Name of the picture's tensor, f32 `[1, 3, S, S]`, normalised.
    pub image: String,
    /// `S`, where the graph fixes it.
    pub side: Option<usize>,
    /// Every output: embedding and high-resolution features, handed on by name.
    pub outputs: Vec<TensorSpec>,
}

impl EncoderLayout {
    pub fn recognise(graph: &Signature) -> Result<EncoderLayout, Error> {
        let unknown = || graph.unknown(KNOWN_ENCODERS);
        let image = match graph.inputs.as_slice() {
            [one] if ["image", "images", "input_image"].contains(&one.name.as_str()) => one,
            _ => return Err(unknown()),
        };
        let nchw = image.is_f32(4) && image.fixed(1).is_none_or(|c| c == 3) && image.fixed(0).is_none_or(|b| b == 1);
        let square = image.fixed(2) == image.fixed(3);
        if !nchw || !square || graph.outputs.is_empty() || graph.outputs.iter().any(|o| !o.is_f32(4)) {
            return Err(unknown());
        }
        Ok(EncoderLayout { image: image.name.clone(), side: image.fixed(2), outputs: graph.outputs.clone() })
    }
}

/// Where the prompts are turned into embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptInput {
    /// In Rust, by [`crate::prompt_encoder`]: the graph takes sparse and dense prompt embeddings.
    External,
    /// In the graph: it takes `point_coords`, `point_labels`, and the mask where `takes_mask` says so.
    Fused,
}

/// How a mask decoder is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderLayout {
    pub prompts: PromptInput,
    /// Inputs that are outputs of the encoder of the same name.
    pub embeddings: Vec<TensorSpec>,
    /// Several objects in one run.
    pub batched: bool,
    pub takes_mask: bool,
    /// The graph wants `orig_im_size` f32 `[2]`, height before width, for masks that are not used here.
    pub orig_im_size: bool,
    /// Masks per object where the graph fixes it: 4 is one for clear prompts and three candidates, 3 only candidates.
    pub masks: Option<usize>,
    /// Side of the low-resolution logits, where the graph fixes it.
    pub low_res_side: Option<usize>,
}

impl DecoderLayout {
    pub fn recognise(graph: &Signature) -> Result<DecoderLayout, Error> {
        let unknown = || graph.unknown(KNOWN_DECODERS);
        let low_res = graph.output("low_res_masks").filter(|t| t.is_f32(4) || t.is_f32(0)).ok_or_else(unknown)?;
        graph.output("iou_predictions").filter(|t| t.dtype == "f32").ok_or_else(unknown)?;
        let masks = low_res.fixed(1).or_else(|| graph.output("iou_predictions").and_then(|t| t.fixed(1)));
        let layout =
            if graph.input("sparse_prompt_embeddings").is_some() { Self::external(graph) } else { Self::fused(graph) };
        let mut layout = layout.ok_or_else(unknown)?;
        layout.masks = masks;
        layout.low_res_side = layout.low_res_side.or(low_res.fixed(2));
        if layout.embeddings.is_empty() || layout.embeddings.iter().any(|t| !t.is_f32(4)) {
            return Err(unknown());
        }
        Ok(layout)
    }

    fn external(graph: &Signature) -> Option<DecoderLayout> {
        let sparse = graph.input("sparse_prompt_embeddings").filter(|t| t.is_f32(3))?;
        let dense = graph.input("dense_prompt_embeddings").filter(|t| t.is_f32(4))?;
        (sparse.fixed(2) == dense.fixed(1)).then_some(())?;
        Some(DecoderLayout {
            prompts: PromptInput::External,
            embeddings: others(graph, &["sparse_prompt_embeddings", "dense_prompt_embeddings"]),
            batched: sparse.dynamic(0),
            takes_mask: true,
            orig_im_size: false,
            masks: None,
            low_res_side: None,
        })
    }

    fn fused(graph: &Signature) -> Option<DecoderLayout> {
        let coords = graph.input("point_coords").filter(|t| t.is_f32(3) && t.fixed(2).is_none_or(|d| d == 2))?;
        graph.input("point_labels").filter(|t| t.is_f32(2))?;
        let mask = graph.input("mask_input");
        let has_mask = graph.input("has_mask_input");
        // One without the other is no layout that anybody makes.
        (mask.is_some() == has_mask.is_some()).then_some(())?;
        if let (Some(mask), Some(has_mask)) = (mask, has_mask) {
            (mask.is_f32(4) && mask.fixed(2) == mask.fixed(3) && has_mask.is_f32(1)).then_some(())?;
        }
        let size = graph.input("orig_im_size");
        size.is_none_or(|t| t.is_f32(1)).then_some(())?;
        Some(DecoderLayout {
            prompts: PromptInput::Fused,
            embeddings: others(
                graph,
                &["point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"],
            ),
            batched: coords.dynamic(0) && has_mask.is_none_or(|t| t.dynamic(0)) && size.is_none(),
            takes_mask: mask.is_some(),
            orig_im_size: size.is_some(),
            masks: None,
            low_res_side: mask.and_then(|t| t.fixed(2)),
        })
    }

    /// Name of the layout for people.
    pub fn name(&self) -> &'static str {
        match (self.prompts, self.orig_im_size) {
            (PromptInput::External, _) => "promptseg external",
            (PromptInput::Fused, true) => "official SAM",
            (PromptInput::Fused, false) => "promptseg fused",
        }
    }
}

fn others(graph: &Signature, known: &[&str]) -> Vec<TensorSpec> {
    graph.inputs.iter().filter(|t| !known.contains(&t.name.as_str())).cloned().collect()
}

/// Checks that everything the decoder wants of the picture is made by the encoder, with shapes that agree.
pub fn check_pair(encoder: &Signature, decoder: &Signature, layout: &DecoderLayout) -> Result<(), Error> {
    for wanted in &layout.embeddings {
        let made = encoder.output(&wanted.name).ok_or_else(|| Error::MissingTensor {
            file: encoder.file.clone(),
            tensor: wanted.name.clone(),
            expected: format!("the kind that {} takes: {wanted}", decoder.file),
            found: encoder.outputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })?;
        let agree = made.shape.iter().zip(&wanted.shape).all(|(a, b)| *a < 0 || *b < 0 || a == b);
        if !agree || made.dtype != wanted.dtype {
            return Err(Error::Tensor {
                file: encoder.file.clone(),
                tensor: wanted.name.clone(),
                found: made.to_string(),
                expected: format!("{wanted} by {}", decoder.file),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
