//! Text prompts: phrases such as "red cup", and the objects that they name.
//!
//! [`TextModel`] finds boxes, which become box prompts of the model that makes masks. OWLv2 is computed in three graphs, so that
//! each step runs once:
//!
//! ```text
//! phrase ──> tokenizer ──> text tower ──> Features (kept by phrase, or from a bank) ──┐
//! image ──> padded square ──> image tower ──> Sight ──────────────────────────────────┴──> class head ──> boxes
//! ```
//!
//! Files import each other from the top of this list to the bottom:
//!
//! * [`model`]: the model of a folder; `network`: its image tower and class head.
//! * [`encoder`]: phrases to features, by the text tower or from a [`bank`]; `tower`, `tokens`: the text tower and its tokenizer.
//! * [`selection`]: boxes of the class head's logits, with thresholds and without doubles.
//! * [`bank`]: features in a file, for robots without a text tower.
//! * `description`: the content of `bundle.json`; [`features`]: features of a phrase; [`error`]: reasons for refusals.
//! * [`identity`]: names of objects that stay from one search to the next; [`understood`]: the answer to phrases.
//! * [`phrase`]: phrases as people and programs write them, checked and without repetition.

pub mod bank;
mod description;
pub mod encoder;
pub mod error;
pub mod features;
pub mod identity;
pub mod model;
mod network;
pub mod phrase;
pub mod selection;
mod tokens;
mod tower;
pub mod understood;

pub use bank::Bank;
pub use encoder::TextEncoder;
pub use error::Error;
pub use features::Features;
pub use model::TextModel;
pub use network::Sight;
pub use phrase::{Phrase, PhraseError, parse_phrases};
pub use selection::{Limits, TextDetection};
pub use tokens::PhraseTokenizer;
pub use understood::{RefusedPhrase, Understood};
