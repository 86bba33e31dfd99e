//! SAM's prompt encoder: turns points, boxes and masks into the embeddings that the mask decoder takes.
//!
//! Reference: segment_anything/modeling/prompt_encoder.py (`PromptEncoder`, `PositionEmbeddingRandom`); equal to the
//! reference within 1e-5. Points and box corners become one [`Token`] each. The encoder embeds a token as random
//! Fourier features of its position plus a learnt vector for its label. A mask becomes a dense embedding by three
//! convolutions.

mod encoder;
mod mask_downscaling;
mod positions;
mod token;

pub use encoder::PromptEncoder;
pub use token::{Token, TokenLabel, tokens};
