//! Text prompts: phrases such as "red cup", and the objects that they name.
//!
//! [`TextModel`] opens two kinds of models. OWLv2 finds boxes, which become box prompts of the model that makes masks. SAM 3's image
//! model makes the masks itself. Both are computed in three graphs, so that each step runs once:
//!
//! ```text
//! phrase ──> tokenizer ──> text tower ──> Features (kept by phrase, or from a bank) ──┐
//! image ──> square ──> image tower ──> Sight ─────────────────────────────────────────┴──> class head ──> boxes      (OWLv2)
//!                                                                                          detector ──> masks        (SAM 3)
//! ```
//!
//! Files import each other from the top of this list to the bottom:
//!
//! * [`model`]: the model of a folder; `network`: its graphs that look at images, those of `owlv2` or of `sam3`; `image_tower`: the graph that
//!   both begin with.
//! * [`encoder`]: phrases to features, by the text tower or from a [`bank`]; `tower`, `tokens`: the text tower and its tokenizer.
//! * `opening`: the graphs on the fastest provider of each, with trial runs.
//! * `selection`: boxes of the class head's logits, with thresholds and without doubles; `instances`: masks of the detector, with
//!   thresholds; [`detection`]: the objects, and the limits of a search.
//! * [`bank`]: features in a file, for robots without a text tower.
//! * [`description`], [`fields`]: the content of `bundle.json`; [`features`]: features of a phrase; [`error`]: reasons for refusals.
//! * [`identity`]: names of objects that stay from one search to the next; [`understood`]: the answer to phrases.
//! * [`phrase`]: phrases as people and programs write them, checked and without repetition.

pub mod bank;
pub mod description;
pub mod detection;
pub mod encoder;
pub mod error;
pub mod features;
pub mod fields;
pub mod identity;
mod image_tower;
mod instances;
pub mod model;
mod network;
mod opening;
mod owlv2;
pub mod phrase;
mod sam3;
mod selection;
mod tokens;
mod tower;
pub mod understood;

pub use bank::Bank;
pub use description::TextBundle;
pub use detection::{Limits, TextDetection};
pub use encoder::TextEncoder;
pub use error::Error;
pub use features::Features;
pub use model::TextModel;
pub use network::{Answers, Sight, TextDetections};
pub use phrase::{Phrase, PhraseError, parse_phrases};
pub use sam3::Answer;
pub use tokens::PhraseTokenizer;
pub use understood::{RefusedPhrase, Understood};
