//! The prompt encoder: `PromptEncoder` of the reference.

use nalgebra::DVector;

use super::mask_downscaling::MaskDownscaling;
use super::positions::PositionEncoding;
use super::token::{Token, TokenLabel};
use crate::model::Error;
use crate::model::weights::Weights;

/// The learnt parameters of the prompt encoder, and the sizes of the model that they belong to.
///
/// `C`, `h` and `w` are the channels, height and width of the image embedding (256, 64, 64 for SAM).
#[derive(Debug, Clone)]
pub struct PromptEncoder {
    positions: PositionEncoding,
    /// `[C]` each: background, foreground, top-left corner, bottom-right corner.
    labels: [DVector<f32>; 4],
    /// `[C]`
    not_a_point: DVector<f32>,
    /// `[C]`
    no_mask: DVector<f32>,
    mask_downscaling: MaskDownscaling,
    /// Side of the square of the prompts, in pixels: for most models that of the encoder's picture.
    side: usize,
    /// `[C, h, w]`
    dense_shape: [usize; 3],
}

impl PromptEncoder {
    /// Reads the parameters from `content`, a safetensors file that names them as SAM does, with or without the prefix
    /// `prompt_encoder.`. `side` is the side of the square of the prompts in pixels, `embedding_shape` is
    /// `[1, C, h, w]`, and `file` is the file's name in error messages.
    ///
    /// # Errors
    /// * [`Error::BundleField`] if `embedding_shape` is not four numbers above 0 with an even `C`.
    /// * [`Error::Weights`] if `content` is not a safetensors file.
    /// * [`Error::MissingTensor`] if a parameter is missing, [`Error::Tensor`] if its type or shape differs.
    pub fn load(content: &[u8], file: &str, side: usize, embedding_shape: &[usize]) -> Result<Self, Error> {
        let dense_shape @ [c, ..] = match *embedding_shape {
            [_, c, h, w] if c % 2 == 0 && ![c, h, w].contains(&0) => [c, h, w],
            _ => {
                return Err(Error::BundleField {
                    file: file.to_owned(),
                    field: "embedding_shape",
                    found: format!("{embedding_shape:?}"),
                    expected: "[1, C, h, w], all above 0, with an even C (a sine and a cosine for each frequency)"
                        .to_owned(),
                });
            }
        };
        let weights = Weights::read(content, file)?;
        let vector = |name: &str| weights.get(name, &[1, c]).map(DVector::from_vec);
        Ok(PromptEncoder {
            positions: PositionEncoding::load(&weights, c)?,
            labels: [
                vector("point_embeddings.0.weight")?,
                vector("point_embeddings.1.weight")?,
                vector("point_embeddings.2.weight")?,
                vector("point_embeddings.3.weight")?,
            ],
            not_a_point: vector("not_a_point_embed.weight")?,
            no_mask: vector("no_mask_embed.weight")?,
            mask_downscaling: MaskDownscaling::load(&weights, c)?,
            side,
            dense_shape,
        })
    }

    /// Shape of a dense embedding, `[C, h, w]`.
    pub fn dense_shape(&self) -> [usize; 3] {
        self.dense_shape
    }

    /// Embeds the `N` tokens of one object (`_embed_points`, `_embed_boxes`). Returns `[N, C]`, row by row.
    pub fn sparse(&self, tokens: &[Token]) -> Vec<f32> {
        let mut embeddings = Vec::with_capacity(tokens.len() * self.dense_shape[0]);
        for token in tokens {
            let label = match token.label {
                TokenLabel::Pad => {
                    embeddings.extend(self.not_a_point.iter());
                    continue;
                }
                TokenLabel::Background => &self.labels[0],
                TokenLabel::Foreground => &self.labels[1],
                TokenLabel::TopLeft => &self.labels[2],
                TokenLabel::BottomRight => &self.labels[3],
            };
            // A token lies in the centre of its pixel.
            let side = self.side as f32;
            let position = self.positions.encode((token.x + 0.5) / side, (token.y + 0.5) / side);
            embeddings.extend(position.iter().zip(label.iter()).map(|(p, l)| p + l));
        }
        embeddings
    }

    /// Embeds a mask prompt (`_embed_masks`): `logits` is the low-resolution mask, `[4 h, 4 w]`. Returns `[C, h, w]`.
    pub fn dense(&self, logits: &[f32]) -> Vec<f32> {
        let [_, h, w] = self.dense_shape;
        self.mask_downscaling.run(logits, 4 * h, 4 * w)
    }

    /// Dense embedding of an object without a mask prompt, `[C, h, w]`: the same vector in each cell.
    pub fn dense_without_mask(&self) -> Vec<f32> {
        let [_, h, w] = self.dense_shape;
        self.no_mask.iter().flat_map(|&v| std::iter::repeat_n(v, h * w)).collect()
    }

    /// Positional encoding of each cell of the image embedding, `[C, h, w]` (`get_dense_pe`). The decoder graph of a
    /// bundle carries the same numbers as a constant.
    pub fn dense_positions(&self) -> Vec<f32> {
        let [_, h, w] = self.dense_shape;
        self.positions.encode_grid(h, w)
    }
}
