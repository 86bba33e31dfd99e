//! Layouts of the two graphs of a memory: recognised by the names of their tensors, then checked for types and shapes.

use super::{Signature, TensorSpec};
use crate::model::error::Error;

/// Name of the image embedding that a memory conditions.
pub const IMAGE_EMBEDDINGS: &str = "image_embeddings";
const POINTER_TIMES: &str = "pointer_times";
const OBJECT_SCORE: &str = "object_score_logits";

/// Sizes that the shapes of the two graphs are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySizes {
    /// Channels, height and width of the image embedding.
    pub embedding: [usize; 3],
    /// Side of the square of low-resolution logits, in cells.
    pub low_res: usize,
    /// Rows of the table of temporal encodings.
    pub frames: usize,
    /// Number of tokens of one spatial memory.
    pub tokens: usize,
    /// Number of channels of one spatial memory.
    pub channels: usize,
}

/// One of the two graphs of a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryGraph {
    Attention,
    Encoder,
}

/// Optional inputs that a graph has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLayout {
    /// Whether the memory attention takes the distance of each pointer. SAM 2.0 does not.
    pub pointer_times: bool,
    /// Whether the memory encoder takes the logit of the object's presence. SAM 2.0 does not.
    pub object_score: bool,
}

/// A tensor that a graph must have.
struct ExpectedTensor {
    name: &'static str,
    /// None for an axis of any length.
    shape: Vec<Option<usize>>,
    optional: bool,
}

impl ExpectedTensor {
    /// Returns name, type and shape in words.
    fn text(&self) -> String {
        let axis = |n: &Option<usize>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
        format!("{} f32[{}]", self.name, self.shape.iter().map(axis).collect::<Vec<_>>().join(","))
    }

    /// Returns whether a tensor has the expected type and shape. An axis with an expected length may be dynamic in the graph; an
    /// axis of any length must be dynamic.
    fn fits(&self, found: &TensorSpec) -> bool {
        let axis = |(expected, found): (&Option<usize>, &i64)| match expected {
            Some(n) => *found < 0 || usize::try_from(*found) == Ok(*n),
            None => *found < 0,
        };
        found.is_f32(self.shape.len()) && self.shape.iter().zip(&found.shape).all(axis)
    }
}

impl MemoryGraph {
    pub const ALL: [MemoryGraph; 2] = [MemoryGraph::Attention, MemoryGraph::Encoder];

    /// Returns the name of the graph.
    pub fn name(self) -> &'static str {
        match self {
            MemoryGraph::Attention => "memory attention",
            MemoryGraph::Encoder => "memory encoder",
        }
    }

    /// Returns the name of the graph with its article, for [`Error::Role`].
    pub fn role(self) -> &'static str {
        match self {
            MemoryGraph::Attention => "a memory attention",
            MemoryGraph::Encoder => "a memory encoder",
        }
    }

    fn inputs(self, sizes: &MemorySizes) -> Vec<ExpectedTensor> {
        let [c, h, w] = sizes.embedding.map(Some);
        let (one, tokens, channels, side) = (Some(1), Some(sizes.tokens), Some(sizes.channels), Some(sizes.low_res));
        let tensor = |name, shape: &[Option<usize>], optional| ExpectedTensor { name, shape: shape.to_vec(), optional };
        let embedding = tensor(IMAGE_EMBEDDINGS, &[one, c, h, w], false);
        match self {
            MemoryGraph::Attention => vec![
                embedding,
                tensor("memories", &[None, tokens, channels], false),
                tensor("memory_times", &[None, Some(sizes.frames)], false),
                tensor("object_pointers", &[None, c], false),
                tensor(POINTER_TIMES, &[None, one], true),
            ],
            MemoryGraph::Encoder => vec![
                embedding,
                tensor("low_res_masks", &[one, one, side, side], false),
                tensor("binarize", &[one, one], false),
                tensor(OBJECT_SCORE, &[one, one], true),
            ],
        }
    }

    fn output(self, sizes: &MemorySizes) -> ExpectedTensor {
        let [c, h, w] = sizes.embedding.map(Some);
        let (name, shape) = match self {
            MemoryGraph::Attention => ("conditioned_embeddings", vec![Some(1), c, h, w]),
            MemoryGraph::Encoder => ("memory_features", vec![Some(1), Some(sizes.tokens), Some(sizes.channels)]),
        };
        ExpectedTensor { name, shape, optional: false }
    }

    /// Returns whether the tensors of `graph` have the names of this graph.
    pub fn matches(self, graph: &Signature) -> bool {
        self.faults(graph, &MemorySizes { embedding: [0; 3], low_res: 0, frames: 0, tokens: 0, channels: 0 }).is_empty()
    }

    /// Returns the tensors that are missing or too many, in words.
    fn faults(self, graph: &Signature, sizes: &MemorySizes) -> Vec<String> {
        let (inputs, output) = (self.inputs(sizes), self.output(sizes));
        let missing = inputs.iter().filter(|t| !t.optional && graph.input(t.name).is_none());
        let mut faults: Vec<_> = missing.map(|t| format!("no input `{}`", t.name)).collect();
        let extra = graph.inputs.iter().filter(|t| inputs.iter().all(|known| known.name != t.name));
        faults.extend(extra.map(|t| format!("input {t} is too many")));
        if graph.output(output.name).is_none() {
            faults.push(format!("no output `{}`", output.name));
        }
        faults
    }

    /// Recognises the layout of a graph and checks its shapes.
    ///
    /// # Errors
    /// [`Error::UnknownLayout`] for a graph with other tensors, [`Error::Tensor`] for a tensor whose type or shape differs from
    /// `bundle.json`.
    pub fn check(self, graph: &Signature, sizes: &MemorySizes) -> Result<MemoryLayout, Error> {
        let (inputs, output) = (self.inputs(sizes), self.output(sizes));
        let faults = self.faults(graph, sizes);
        if !faults.is_empty() {
            let list = inputs.iter().map(ExpectedTensor::text).collect::<Vec<_>>().join(", ");
            let nearest = format!("{} {list} -> {}, but {}", self.name(), output.text(), faults.join(", "));
            let (file, found) = (graph.file.clone(), graph.to_string());
            return Err(Error::UnknownLayout { file, what: self.role(), found, nearest });
        }
        let pairs = inputs.iter().map(|t| (t, graph.input(t.name))).chain([(&output, graph.output(output.name))]);
        for (expected, found) in pairs {
            let Some(found) = found.filter(|found| !expected.fits(found)) else { continue };
            return Err(Error::Tensor {
                file: graph.file.clone(),
                tensor: expected.name.to_owned(),
                found: found.to_string(),
                expected: format!("{} by bundle.json", expected.text()),
            });
        }
        let has = |name: &str| graph.input(name).is_some();
        Ok(MemoryLayout { pointer_times: has(POINTER_TIMES), object_score: has(OBJECT_SCORE) })
    }
}
