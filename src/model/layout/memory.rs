//! The two graphs of a memory: recognised by what their tensors are called, then checked for types and shapes.

use super::{Signature, TensorSpec};
use crate::model::Error;

const EMBEDDING: &str = "image_embeddings";
const POINTER_TIMES: &str = "pointer_times";
const OBJECT_SCORE: &str = "object_score_logits";

/// What the shapes are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySizes {
    /// Channels, height and width of the image embedding.
    pub embedding: [usize; 3],
    /// Side of the low-resolution logits.
    pub low_res: usize,
    /// Rows of the table of temporal encodings.
    pub frames: usize,
    /// Tokens and channels of one spatial memory.
    pub tokens: usize,
    pub channels: usize,
}

/// One of the two graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryGraph {
    Attention,
    Encoder,
}

/// How one of them is spoken to: which input it may be without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLayout {
    /// The attention knows how far away a pointer is; SAM 2.0 does not.
    pub pointer_times: bool,
    /// The memory encoder is told whether the object is there; SAM 2.0's is not.
    pub object_score: bool,
}

/// A tensor as it is to be.
struct Expected {
    name: &'static str,
    /// None for an axis of any length.
    shape: Vec<Option<usize>>,
    optional: bool,
}

impl Expected {
    fn written(&self) -> String {
        let axis = |n: &Option<usize>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
        format!("{} f32[{}]", self.name, self.shape.iter().map(axis).collect::<Vec<_>>().join(","))
    }

    /// An axis that is fixed here may be unknown in the graph, but not the other way round.
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

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            MemoryGraph::Attention => "memory attention",
            MemoryGraph::Encoder => "memory encoder",
        }
    }

    /// What [`Error::Role`] calls it.
    pub fn role(self) -> &'static str {
        match self {
            MemoryGraph::Attention => "a memory attention",
            MemoryGraph::Encoder => "a memory encoder",
        }
    }

    fn inputs(self, of: &MemorySizes) -> Vec<Expected> {
        let [c, h, w] = of.embedding.map(Some);
        let (one, tokens, channels, side) = (Some(1), Some(of.tokens), Some(of.channels), Some(of.low_res));
        let tensor = |name, shape: &[Option<usize>], optional| Expected { name, shape: shape.to_vec(), optional };
        let embedding = tensor(EMBEDDING, &[one, c, h, w], false);
        match self {
            MemoryGraph::Attention => vec![
                embedding,
                tensor("memories", &[None, tokens, channels], false),
                tensor("memory_times", &[None, Some(of.frames)], false),
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

    fn output(self, of: &MemorySizes) -> Expected {
        let [c, h, w] = of.embedding.map(Some);
        let (name, shape) = match self {
            MemoryGraph::Attention => ("conditioned_embeddings", vec![Some(1), c, h, w]),
            MemoryGraph::Encoder => ("memory_features", vec![Some(1), Some(of.tokens), Some(of.channels)]),
        };
        Expected { name, shape, optional: false }
    }

    /// Whether a graph has this one's tensors, by their names.
    pub fn is(self, graph: &Signature) -> bool {
        self.faults(graph, &MemorySizes { embedding: [0; 3], low_res: 0, frames: 0, tokens: 0, channels: 0 }).is_empty()
    }

    /// Tensors that are missing or too many.
    fn faults(self, graph: &Signature, of: &MemorySizes) -> Vec<String> {
        let (inputs, output) = (self.inputs(of), self.output(of));
        let missing = inputs.iter().filter(|t| !t.optional && graph.input(t.name).is_none());
        let mut faults: Vec<_> = missing.map(|t| format!("no input `{}`", t.name)).collect();
        let extra = graph.inputs.iter().filter(|t| inputs.iter().all(|known| known.name != t.name));
        faults.extend(extra.map(|t| format!("input {t} is too many")));
        if graph.output(output.name).is_none() {
            faults.push(format!("no output `{}`", output.name));
        }
        faults
    }

    /// # Errors
    /// [`Error::UnknownLayout`] for a graph with other tensors, [`Error::Tensor`] for one of another type or shape than
    /// `bundle.json` says.
    pub fn check(self, graph: &Signature, of: &MemorySizes) -> Result<MemoryLayout, Error> {
        let (inputs, output) = (self.inputs(of), self.output(of));
        let faults = self.faults(graph, of);
        if !faults.is_empty() {
            let list = inputs.iter().map(Expected::written).collect::<Vec<_>>().join(", ");
            let nearest = format!("{} {list} -> {}, but {}", self.name(), output.written(), faults.join(", "));
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
                expected: format!("{} by bundle.json", expected.written()),
            });
        }
        let has = |name: &str| graph.input(name).is_some();
        Ok(MemoryLayout { pointer_times: has(POINTER_TIMES), object_score: has(OBJECT_SCORE) })
    }
}
