//! Layouts of graphs, recognised by names, types and shapes of the tensors, never by their positions.
//!
//! Known layouts are those of promptseg's own bundles (`external` with SAM's prompt encoder outside of the graph, `fused` with
//! prompts as coordinates) and the rows of [`known`], which other exporters make.

mod decoder;
mod encoder;
mod known;
mod memory;
mod role;
mod signature;

pub use decoder::{DecoderLayout, FusedInputs, PromptInput};
pub use encoder::{CONTENT, EncoderLayout, PictureForm, check_pair, embedding_shape};
pub use known::Family;
pub use memory::{IMAGE_EMBEDDINGS, MemoryGraph, MemoryLayout, MemorySizes};
pub(super) use role::{recognise_decoder, recognise_encoder, recognise_memory};
pub use signature::{Signature, TensorSpec};

#[cfg(test)]
pub(super) mod tests;
