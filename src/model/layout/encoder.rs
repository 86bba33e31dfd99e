//! Layouts of image encoders: one picture in, one or more embeddings out.

use super::signature::FLOATS;
use super::signature::{Signature, TensorSpec};
use crate::model::error::Error;

/// Names that exporters give the picture.
const PICTURES: &[&str] = &["image", "images", "input_image", "input", "pixel_values", "batched_images"];

/// Known layouts, for messages.
const KNOWN: &str = "one picture `image`, `images`, `input_image`, `input` or `pixel_values` f32[1,3,S,S], `input_image` \
                     f32[?,?,3] in levels, or `batched_images` f32[?,3,?,?] from 0 to 1, or \
                     `image` u8[1,S,S,3] with `content_rows` and `content_columns` -> embeddings f32, with the \
                     names of the decoder's inputs; f16 in the place of f32";

/// Inputs of an encoder that takes levels: 1 in the rows and in the columns of the content, 0 in the padding.
pub const CONTENT: [&str; 2] = ["content_rows", "content_columns"];

/// Form of the picture that the encoder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureForm {
    /// `[1, 3, S, S]`, resized and normalised by promptseg.
    Square,
    /// `[h, w, 3]` from 0 to 255, resized by promptseg; the graph normalises and pads (samexporter `--use-preprocess`).
    Levels,
    /// `[1, S, S, 3]` from 0 to 255 in 8 bits, resized by promptseg; the graph normalises, and sets the padding to 0 by the inputs
    /// [`CONTENT`], `[1, 1, S, 1]` and `[1, 1, 1, S]`.
    Bytes,
    /// `[1, 3, h, w]` from 0 to 1, of the image's size; the graph resizes and normalises (EfficientSAM).
    Unit,
}

/// Input and outputs of an image encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderLayout {
    /// The picture's tensor.
    pub image: TensorSpec,
    pub form: PictureForm,
    /// `S`, if the graph fixes it.
    pub side: Option<usize>,
    /// All outputs: embedding and high-resolution features. The decoder takes them by name.
    pub outputs: Vec<TensorSpec>,
}

impl EncoderLayout {
    /// Recognises the layout of a graph.
    ///
    /// # Errors
    /// [`Error::UnknownLayout`] with the tensors of the graph.
    pub fn recognise(graph: &Signature) -> Result<EncoderLayout, Error> {
        let unknown = |nearest: &str| {
            Err(Error::UnknownLayout {
                file: graph.file.clone(),
                what: "an image encoder",
                found: graph.to_string(),
                nearest: nearest.to_owned(),
            })
        };
        let levels = levels_side(graph);
        let image = match graph.inputs.as_slice() {
            [image, ..] if levels.is_some() => image,
            [one] if PICTURES.contains(&one.name.as_str()) => one,
            _ => return unknown(KNOWN),
        };
        let one = |axis: usize| image.fixed(axis).is_none_or(|n| n == 1);
        let rgb = |axis: usize| image.fixed(axis).is_none_or(|n| n == 3);
        let planes = image.is_float(4) && one(0) && rgb(1) && image.fixed(2) == image.fixed(3);
        let form = if levels.is_some() {
            PictureForm::Bytes
        } else if planes && image.name == "batched_images" && image.fixed(2).is_none() {
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
        let side = if form == PictureForm::Square { image.fixed(2) } else { levels };
        Ok(EncoderLayout { image: image.clone(), form, side, outputs: graph.outputs.clone() })
    }
}

/// Returns the side of the square picture of a graph that takes levels in 8 bits; none if the graph takes something else.
fn levels_side(graph: &Signature) -> Option<usize> {
    let [image, content @ ..] = graph.inputs.as_slice() else { return None };
    let side = image.fixed(1)?;
    let s = i64::try_from(side).ok()?;
    let picture = PICTURES.contains(&image.name.as_str()) && image.dtype == "u8" && image.shape == [1, s, s, 3];
    let shapes = [[1, 1, s, 1], [1, 1, 1, s]];
    let padded = content.len() == CONTENT.len()
        && content
            .iter()
            .zip(CONTENT.iter().zip(shapes))
            .all(|(input, (name, shape))| input.name == *name && input.dtype == "f32" && input.shape == shape);
    (picture && padded).then_some(side)
}

/// Returns the shape of an embedding that the decoder takes, from the graph that fixes it; none if neither fixes it. The number of
/// images may be dynamic: it is 1.
pub fn embedding_shape(input: &TensorSpec, output: Option<&TensorSpec>) -> Option<Vec<usize>> {
    let size = |axis: usize| input.fixed(axis).or(output.and_then(|t| t.fixed(axis)));
    (0..input.shape.len()).map(|axis| size(axis).or((axis == 0).then_some(1))).collect()
}

/// Checks that the encoder makes every embedding that the decoder takes, with shapes that agree.
///
/// # Errors
/// [`Error::MissingTensor`] or [`Error::Tensor`] for the first embedding that does not fit.
pub fn check_pair(encoder: &Signature, decoder: &Signature, inputs: &[TensorSpec]) -> Result<(), Error> {
    for input in inputs {
        let output = encoder.output(&input.name).ok_or_else(|| Error::MissingTensor {
            file: encoder.file.clone(),
            tensor: input.name.clone(),
            expected: format!("the kind that {} takes: {input}", decoder.file),
            found: encoder.outputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })?;
        let agree = output.shape.iter().zip(&input.shape).all(|(a, b)| *a < 0 || *b < 0 || a == b);
        if !agree || output.shape.len() != input.shape.len() || output.dtype != input.dtype {
            return Err(Error::Tensor {
                file: encoder.file.clone(),
                tensor: input.name.clone(),
                found: output.to_string(),
                expected: format!("{input} by {}", decoder.file),
            });
        }
    }
    Ok(())
}
