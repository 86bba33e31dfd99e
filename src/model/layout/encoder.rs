//! Image encoders: one picture in, one or more embeddings out.

use super::signature::FLOATS;
use super::{Signature, TensorSpec};
use crate::model::Error;

/// Names that exporters give to the picture.
const PICTURES: &[&str] = &["image", "images", "input_image", "input", "pixel_values", "batched_images"];

const KNOWN: &str = "one picture `image`, `images`, `input_image`, `input` or `pixel_values` f32[1,3,S,S], `input_image` \
                     f32[?,?,3] in levels, or `batched_images` f32[?,3,?,?] from 0 to 1 -> embeddings f32, with the \
                     names of the decoder's inputs; f16 in the place of f32";

/// What the encoder is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureForm {
    /// `[1, 3, S, S]`, resized and normalised here.
    Square,
    /// `[h, w, 3]` in levels, resized here; the graph normalises and pads (samexporter `--use-preprocess`).
    Levels,
    /// `[1, 3, h, w]` from 0 to 1 at the image's own size; the graph resizes and normalises (EfficientSAM).
    Unit,
}

/// How the picture goes into the image encoder and what comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderLayout {
    /// The picture's tensor.
    pub image: TensorSpec,
    pub form: PictureForm,
    /// `S`, where the graph fixes it.
    pub side: Option<usize>,
    /// Every output: embedding and high-resolution features, handed on by name.
    pub outputs: Vec<TensorSpec>,
}

impl EncoderLayout {
    /// # Errors
    /// [`Error::UnknownLayout`] with the tensors found.
    pub fn recognise(graph: &Signature) -> Result<EncoderLayout, Error> {
        let unknown = |nearest: &str| {
            Err(Error::UnknownLayout {
                file: graph.file.clone(),
                what: "an image encoder",
                found: graph.to_string(),
                nearest: nearest.to_owned(),
            })
        };
        let image = match graph.inputs.as_slice() {
            [one] if PICTURES.contains(&one.name.as_str()) => one,
            _ => return unknown(KNOWN),
        };
        let one = |axis: usize| image.fixed(axis).is_none_or(|n| n == 1);
        let rgb = |axis: usize| image.fixed(axis).is_none_or(|n| n == 3);
        let planes = image.is_float(4) && one(0) && rgb(1) && image.fixed(2) == image.fixed(3);
        let form = if planes && image.name == "batched_images" && image.fixed(2).is_none() {
            PictureForm::Unit
        } else if planes {
            PictureForm::Square
        } else if image.is_float(3) && image.dynamic(0) && image.dynamic(1) && rgb(2) {
            PictureForm::Levels
        } else {
            return unknown(&format!("{KNOWN}; here the picture is {image}"));
        };
        if graph.outputs.is_empty() || graph.outputs.iter().any(|o| !FLOATS.contains(&o.dtype.as_str())) {
            return unknown(&format!("{KNOWN}; here the outputs are of another type"));
        }
        let side = if form == PictureForm::Square { image.fixed(2) } else { None };
        Ok(EncoderLayout { image: image.clone(), form, side, outputs: graph.outputs.clone() })
    }
}

/// Shape of an embedding that the decoder wants, by whichever graph fixes it; none where neither does. Only the number
/// of images may be open, and that is one.
pub fn embedding_shape(wanted: &TensorSpec, made: Option<&TensorSpec>) -> Option<Vec<usize>> {
    let size = |axis: usize| wanted.fixed(axis).or(made.and_then(|t| t.fixed(axis)));
    (0..wanted.shape.len()).map(|axis| size(axis).or((axis == 0).then_some(1))).collect()
}

/// Checks that everything the decoder wants of the picture is made by the encoder, with shapes that agree.
pub fn check_pair(encoder: &Signature, decoder: &Signature, wanted: &[TensorSpec]) -> Result<(), Error> {
    for wanted in wanted {
        let made = encoder.output(&wanted.name).ok_or_else(|| Error::MissingTensor {
            file: encoder.file.clone(),
            tensor: wanted.name.clone(),
            expected: format!("the kind that {} takes: {wanted}", decoder.file),
            found: encoder.outputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })?;
        let agree = made.shape.iter().zip(&wanted.shape).all(|(a, b)| *a < 0 || *b < 0 || a == b);
        if !agree || made.shape.len() != wanted.shape.len() || made.dtype != wanted.dtype {
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
