//! Recognition of a graph in its role. A graph of another role gets an error of its own, because people swap files.

use super::{DecoderLayout, EncoderLayout, MemoryGraph, MemoryLayout, MemorySizes, Signature};
use crate::model::error::Error;

/// Recognises an image encoder.
///
/// # Errors
/// [`Error::Role`] for a graph of another role, otherwise [`Error::UnknownLayout`].
pub fn recognise_encoder(graph: &Signature) -> Result<EncoderLayout, Error> {
    EncoderLayout::recognise(graph).map_err(|e| role_or(graph, "an image encoder", e))
}

/// Recognises a mask decoder.
///
/// # Errors
/// [`Error::Role`] for a graph of another role, otherwise [`Error::UnknownLayout`].
pub fn recognise_decoder(graph: &Signature) -> Result<DecoderLayout, Error> {
    DecoderLayout::recognise(graph).map_err(|e| role_or(graph, "a mask decoder", e))
}

/// Recognises one of the graphs of a memory.
///
/// # Errors
/// The errors of [`MemoryGraph::check`], and [`Error::Role`] for a graph of another role.
pub fn recognise_memory(memory: MemoryGraph, graph: &Signature, sizes: &MemorySizes) -> Result<MemoryLayout, Error> {
    memory.check(graph, sizes).map_err(|e| role_or(graph, memory.role(), e))
}

/// Returns [`Error::Role`] if the graph has another role than `expected`, otherwise `unknown`.
fn role_or(graph: &Signature, expected: &'static str, unknown: Error) -> Error {
    let memory = MemoryGraph::ALL.into_iter().map(|memory| (memory.role(), memory.matches(graph)));
    let roles = [
        ("an image encoder", EncoderLayout::recognise(graph).is_ok()),
        ("a mask decoder", DecoderLayout::recognise(graph).is_ok()),
    ];
    match roles.into_iter().chain(memory).find(|(role, matches)| *matches && *role != expected) {
        Some((found, _)) => Error::Role { file: graph.file.clone(), found, expected },
        None => unknown,
    }
}
