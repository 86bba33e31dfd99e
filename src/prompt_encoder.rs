//! SAM's prompt encoder: points, boxes and masks to the embeddings that the mask decoder takes.
//!
//! Reference: segment_anything/modeling/prompt_encoder.py (`PromptEncoder`, `PositionEmbeddingRandom`); equal to it
//! within 1e-5. Sparse prompts become one token each: random Fourier features of the position plus a learnt embedding
//! of the kind. A mask prompt becomes a dense embedding by three convolutions, [`mask`].

mod mask;

use std::f32::consts::TAU;

use nalgebra::{DMatrix, DVector, RowVector2};

use crate::model::Error;
use crate::pixels::Geometry;
use crate::prompt::{Label, Prompt};
use crate::weights::Weights;
use mask::MaskDownscaling;

/// What a sparse token stands for, with the numbers that SAM's graphs use for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenLabel {
    /// Not a point: fills up where there is no box.
    Pad,
    Background,
    Foreground,
    TopLeft,
    BottomRight,
}

impl TokenLabel {
    /// -1, 0, 1, 2, 3.
    pub fn number(self) -> f32 {
        match self {
            TokenLabel::Pad => -1.0,
            TokenLabel::Background => 0.0,
            TokenLabel::Foreground => 1.0,
            TokenLabel::TopLeft => 2.0,
            TokenLabel::BottomRight => 3.0,
        }
    }
}

/// A sparse token, in pixels of the model's square picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Token {
    pub x: f32,
    pub y: f32,
    pub label: TokenLabel,
}

impl Token {
    pub const PAD: Token = Token { x: 0.0, y: 0.0, label: TokenLabel::Pad };
}

/// The sparse tokens of a prompt. A mask alone has none.
///
/// SAM (`SamPredictor.predict_torch`): the points, then the corners of the box, or a pad token where there is no box.
/// SAM 2 (`box_as_points`, `SAM2ImagePredictor._predict`): the corners of the box, then the points, then always a pad
/// token.
pub fn tokens(prompt: &Prompt, geometry: &Geometry, box_as_points: bool) -> Vec<Token> {
    let token = |x: f32, y: f32, label: TokenLabel| {
        let (x, y) = geometry.to_model(x, y);
        Token { x, y, label }
    };
    let corners = prompt
        .bbox
        .map(|b| [token(b.x_min, b.y_min, TokenLabel::TopLeft), token(b.x_max, b.y_max, TokenLabel::BottomRight)]);
    let mut tokens = Vec::with_capacity(prompt.points.len() + 3);
    if box_as_points {
        tokens.extend(corners.into_iter().flatten());
    }
    for p in &prompt.points {
        let label = match p.label {
            Label::Background => TokenLabel::Background,
            Label::Foreground => TokenLabel::Foreground,
        };
        tokens.push(token(p.x, p.y, label));
    }
    match corners {
        Some(corners) if !box_as_points => tokens.extend(corners),
        _ if !tokens.is_empty() => tokens.push(Token::PAD),
        _ => {}
    }
    tokens
}

/// The learnt part of the prompt encoder, and the sizes that it was made for.
#[derive(Debug, Clone)]
pub struct PromptEncoder {
    /// `[2, C / 2]`: frequencies of the positions.
    gaussian: DMatrix<f32>,
    /// Background, foreground, top-left, bottom-right; `C` each.
    kinds: [DVector<f32>; 4],
    not_a_point: DVector<f32>,
    no_mask: DVector<f32>,
    downscaling: MaskDownscaling,
    image_size: usize,
    /// Channels, height, width of the embedding.
    shape: [usize; 3],
}

impl PromptEncoder {
    /// Reads the parameters from a safetensors file by SAM's own names, with or without the `prompt_encoder.` in
    /// front. `image_size` is the side of the model's picture, `embedding_shape` `[1, C, h, w]`; `file` is the file's
    /// name in messages.
    ///
    /// # Errors
    /// [`Error::BundleField`] for a shape that is none of SAM's, [`Error::Weights`] for a file that is not safetensors, [`Error::MissingTensor`] and [`Error::Tensor`] for
    /// parameters that are not there or have another type or shape.
    pub fn load(content: &[u8], file: &str, image_size: usize, embedding_shape: &[usize]) -> Result<Self, Error> {
        let shape @ [c, ..] = match *embedding_shape {
            [_, c, h, w] if c % 2 == 0 && ![c, h, w].contains(&0) => [c, h, w],
            _ => {
                return Err(Error::BundleField {
                    file: file.to_owned(),
                    field: "embedding_shape",
                    found: format!("{embedding_shape:?}"),
                    expected: "[1, C, h, w], nothing of it 0, and an even C: a sine and a cosine for each frequency"
                        .to_owned(),
                });
            }
        };
        let weights = Weights::read(content, file)?;
        let half = c / 2;
        let gaussian = weights.get("pe_layer.positional_encoding_gaussian_matrix", &[2, half])?;
        let vector = |name: &str| weights.get(name, &[1, c]).map(DVector::from_vec);
        Ok(PromptEncoder {
            gaussian: DMatrix::from_row_slice(2, half, &gaussian),
            kinds: [
                vector("point_embeddings.0.weight")?,
                vector("point_embeddings.1.weight")?,
                vector("point_embeddings.2.weight")?,
                vector("point_embeddings.3.weight")?,
            ],
            not_a_point: vector("not_a_point_embed.weight")?,
            no_mask: vector("no_mask_embed.weight")?,
            downscaling: MaskDownscaling::load(&weights, c)?,
            image_size,
            shape,
        })
    }

    /// Channels, height and width of a dense embedding, `[C, h, w]`.
    pub fn dense_shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Sparse embeddings of the tokens of one object, `[N, C]` row by row.
    pub fn sparse(&self, tokens: &[Token]) -> Vec<f32> {
        let mut embeddings = Vec::with_capacity(tokens.len() * self.shape[0]);
        for token in tokens {
            let kind = match token.label {
                TokenLabel::Pad => {
                    embeddings.extend(self.not_a_point.iter());
                    continue;
                }
                TokenLabel::Background => &self.kinds[0],
                TokenLabel::Foreground => &self.kinds[1],
                TokenLabel::TopLeft => &self.kinds[2],
                TokenLabel::BottomRight => &self.kinds[3],
            };
            // A pixel is pointed at in its centre.
            let side = self.image_size as f32;
            let position = self.position((token.x + 0.5) / side, (token.y + 0.5) / side);
            embeddings.extend(position.iter().zip(kind.iter()).map(|(p, k)| p + k));
        }
        embeddings
    }

    /// Dense embedding of a mask prompt, `[C, h, w]`. `logits` is the low-resolution mask, `4 h` rows of `4 w`.
    pub fn dense(&self, logits: &[f32]) -> Vec<f32> {
        let [_, h, w] = self.shape;
        self.downscaling.run(logits, 4 * h, 4 * w)
    }

    /// Dense embedding of an object without a mask prompt, `[C, h, w]`: one vector everywhere.
    pub fn dense_without_mask(&self) -> Vec<f32> {
        let [_, h, w] = self.shape;
        self.no_mask.iter().flat_map(|&v| std::iter::repeat_n(v, h * w)).collect()
    }

    /// Positional encoding of every cell of the embedding, `[C, h, w]` (`get_dense_pe`). Decoders in a bundle carry it
    /// as a constant.
    pub fn dense_positions(&self) -> Vec<f32> {
        let [c, h, w] = self.shape;
        let mut positions = vec![0.0; c * h * w];
        for y in 0..h {
            for x in 0..w {
                let cell = self.position((x as f32 + 0.5) / w as f32, (y as f32 + 0.5) / h as f32);
                for (channel, v) in cell.iter().enumerate() {
                    positions[(channel * h + y) * w + x] = *v;
                }
            }
        }
        positions
    }

    /// Random Fourier features of a position in `[0, 1]`: sines, then cosines.
    fn position(&self, x: f32, y: f32) -> DVector<f32> {
        let phase = RowVector2::new(2.0 * x - 1.0, 2.0 * y - 1.0) * &self.gaussian * TAU;
        let half = phase.len();
        DVector::from_fn(2 * half, |i, _| if i < half { phase[i].sin() } else { phase[i - half].cos() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::Resize;
    use crate::prompt::Point;

    #[test]
    fn the_order_of_tokens_is_that_of_the_family() {
        use TokenLabel::{Background as B, BottomRight as Br, Foreground as F, Pad, TopLeft as Tl};
        let geometry = Geometry::new(200, 100, 1000, Resize::Stretch);
        let clicks = Prompt::point(20.0, 10.0).with_point(Point::background(50.0, 60.0));
        let boxed = Prompt::bbox(10.0, 20.0, 30.0, 40.0);
        let both = Prompt { bbox: boxed.bbox, ..clicks.clone() };
        let labels = |prompt: &Prompt, box_as_points| {
            tokens(prompt, &geometry, box_as_points).iter().map(|t| t.label).collect::<Vec<_>>()
        };
        for (prompt, sam, sam2) in [
            (&clicks, vec![F, B, Pad], vec![F, B, Pad]),
            (&boxed, vec![Tl, Br], vec![Tl, Br, Pad]),
            (&both, vec![F, B, Tl, Br], vec![Tl, Br, F, B, Pad]),
            (&Prompt::default(), vec![], vec![]),
        ] {
            assert_eq!(labels(prompt, false), sam);
            assert_eq!(labels(prompt, true), sam2);
        }
        let corner = tokens(&boxed, &geometry, true)[1];
        assert_eq!((corner.x, corner.y), (150.0, 400.0));
    }
}
