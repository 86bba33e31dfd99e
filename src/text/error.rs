//! Errors of text models. Each has what was found and what was expected.

use std::path::PathBuf;

use thiserror::Error as ThisError;

use super::phrase::MAX_PHRASES;
use crate::model;
use crate::pixels::PixelError;

/// Error of opening or running a text model.
#[derive(Debug, ThisError)]
pub enum Error {
    #[error("{} is no text model: {found}; expected the folder of a bundle that `promptseg-export owlv2` or `promptseg-export sam3` wrote", path.display())]
    NoTextModel { path: PathBuf, found: String },

    #[error("{}: {field} is {found}, expected {expected}", path.display())]
    Field { path: PathBuf, field: &'static str, found: String, expected: String },

    #[error("{file}: not a tokenizer: {reason}; expected the tokenizer.json of the checkpoint")]
    Tokenizer { file: String, reason: String },

    #[error(
        "the phrase '{phrase}' has {found} tokens with start and end, the model takes at most {most}; use fewer words"
    )]
    TooManyTokens { phrase: String, found: usize, most: usize },

    #[error(
        "the phrase '{phrase}' has the token {token}, the model knows tokens below {most}: tokenizer.json belongs to another model"
    )]
    UnknownToken { phrase: String, token: u32, most: usize },

    #[error(
        "the phrase '{phrase}' is not in the bank {}, and {} has no text tower to compute it; add it with `promptseg text-bank` on a \
         machine with the whole bundle", bank.display(), folder.display()
    )]
    NotInBank { phrase: String, bank: PathBuf, folder: PathBuf },

    #[error(
        "{} has no text tower ({missing} is missing) and no bank was given; expected the whole bundle, or a bank that `promptseg text-bank` \
         computed", folder.display()
    )]
    NoTextTower { folder: PathBuf, missing: &'static str },

    #[error(
        "{} is a bank of the model {found}, the model {expected} is open; compute it again: promptseg text-bank {} PHRASE... -o {}",
        path.display(), folder.display(), path.display()
    )]
    ForeignBank { path: PathBuf, found: String, expected: String, folder: PathBuf },

    #[error("{}: not a bank of text features: {reason}; expected a file that `promptseg text-bank` wrote", path.display())]
    Bank { path: PathBuf, reason: String },

    #[error("{found} phrases, expected 1 to {MAX_PHRASES}")]
    Phrases { found: usize },

    #[error("the features of the phrase '{phrase}' belong to another text model; compute them with this model")]
    ForeignFeatures { phrase: String },

    #[error("the {field} is {found}, expected {expected}")]
    Limit { field: &'static str, found: String, expected: &'static str },

    #[error(transparent)]
    Model(#[from] model::Error),

    /// An image that cannot be encoded, for instance one without pixels.
    #[error(transparent)]
    Pixels(#[from] PixelError),
}
