//! The generator's thread: it segments everything in an image, one generation after the other.
//!
//! * `run`: the loop, and the outcome of each generation.
//! * `networks`: the encoder and the decoder as the generator uses them, in turns with prompts and frames.
//! * `masks`: the generated masks as results.

mod masks;
mod networks;
mod run;

pub use run::run;
