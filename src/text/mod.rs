//! Text prompts: phrases such as "red cup", and the objects that they name.
//!
//! * [`phrase`]: phrases as people and programs write them, checked and without repetition.

pub mod phrase;

pub use phrase::{Phrase, PhraseError, parse_phrases};
