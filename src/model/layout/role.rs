//! One graph where another was expected: people swap files.

use super::{DecoderLayout, EncoderLayout, MemoryGraph, MemoryLayout, MemorySizes, Signature};
use crate::model::Error;

/// # Errors
/// [`Error::Role`] for another of a model's graphs, else [`Error::UnknownLayout`].
pub fn recognise_encoder(graph: &Signature) -> Result<EncoderLayout, Error> {
    EncoderLayout::recognise(graph).map_err(|e| role_or(graph, "an image encoder", e))
}

/// # Errors
/// [`Error::Role`] for another of a model's graphs, else [`Error::UnknownLayout`].
pub fn recognise_decoder(graph: &Signature) -> Result<DecoderLayout, Error> {
    DecoderLayout::recognise(graph).map_err(|e| role_or(graph, "a mask decoder", e))
}

/// # Errors
/// As [`MemoryGraph::check`], and [`Error::Role`] for another of a model's graphs.
pub fn recognise_memory(which: MemoryGraph, graph: &Signature, of: &MemorySizes) -> Result<MemoryLayout, Error> {
    which.check(graph, of).map_err(|e| role_or(graph, which.role(), e))
}

/// What a graph is where it is not what was expected, or else `unknown`.
fn role_or(graph: &Signature, expected: &'static str, unknown: Error) -> Error {
    let memory = MemoryGraph::ALL.into_iter().map(|which| (which.role(), which.is(graph)));
    let roles = [
        ("an image encoder", EncoderLayout::recognise(graph).is_ok()),
        ("a mask decoder", DecoderLayout::recognise(graph).is_ok()),
    ];
    match roles.into_iter().chain(memory).find(|(role, is)| *is && *role != expected) {
        Some((found, _)) => Error::Role { file: graph.file.clone(), found, expected },
        None => unknown,
    }
}
