//! The results of one picture, before they are written.

use image::RgbImage;
use promptseg::depth::{NoSurface, Object3d};
use promptseg::model::{Candidate, DecodeTimings, Decoded, EncodeTimings, ProviderReport};
use promptseg::prompt::Prompt;

use crate::text::Named;

/// A picture with the masks of its objects.
pub struct Answer {
    pub image: RgbImage,
    /// Prompt of each object.
    pub prompts: Vec<Prompt>,
    /// What a phrase named each object; empty without `--text`.
    pub named: Vec<Named>,
    /// Masks of each object, in the order of the prompts.
    pub objects: Vec<Decoded>,
    pub encode: EncodeTimings,
    pub decode: DecodeTimings,
    /// The best mask of each object in metres, in the order of the prompts; empty without `--depth`.
    pub in_depth: Vec<Result<Object3d, NoSurface>>,
}

/// Returns the candidates of an object in the decoder's order: all of them with `--all`, otherwise the best alone.
pub fn candidates(decoded: &Decoded) -> Vec<&Candidate> {
    let mut list: Vec<_> = std::iter::once(&decoded.best).chain(&decoded.others).collect();
    list.sort_by_key(|candidate| candidate.index);
    list
}

/// The model and the execution provider that computed the masks, for JSON.
pub struct Origin {
    pub model: String,
    pub encoder: ProviderReport,
}
