//! SAM 2's memory: a frame as it is seen with what is remembered, and what of it is remembered. Two graphs beside the
//! decoder's, and a few weights; which memories are looked at is decided by `video`.
//!
//! Reference: `_prepare_memory_conditioned_features`, `_encode_new_memory` and `_use_mask_as_output` of
//! sam2/modeling/sam2_base.py.

mod graph;
mod network;
mod section;
mod weights;

use std::sync::Arc;
use std::time::Instant;

use half::bf16;
use half::slice::HalfFloatSliceExt as _;
use ort::value::{DynValue, Tensor, TensorRef};

use super::bundle::{Bundle, MEMORY_WEIGHTS};
use super::engines::Kept;
use super::execution::ShapeProfile;
use super::layout::{MemoryGraph, MemoryLayout, MemorySizes, Signature};
use super::provider::ProviderReport;
use super::session::Request;
use super::{Embedding, Error, Precision, binding};
use crate::model::network::{Memories, MemorySpec, ObjectPointer, SpatialMemory};
use graph::GraphSession;
pub use section::Section;
use weights::MemoryWeights;

/// The embedding that the memory stands in for, of all that an encoder makes.
pub(super) const EMBEDDING: &str = "image_embeddings";

/// What there is to know about a memory without its sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryInfo {
    pub spec: MemorySpec,
    /// Of one spatial memory, `[N, C]`.
    pub shape: [usize; 2],
    /// Inputs and outputs of the two graphs.
    pub attention: Signature,
    pub encoder: Signature,
}

/// The memory of one model, with its own sessions. It belongs to the decoder, and to its thread.
pub(super) struct Memory {
    attention: GraphSession,
    encoder: GraphSession,
    weights: MemoryWeights,
    sizes: MemorySizes,
    info: MemoryInfo,
    /// The memories of a frame one after the other, used again for each.
    gathered: Vec<f32>,
}

/// The files of a memory that were looked at, before its sessions.
pub(super) struct Checked {
    section: Section,
    sizes: MemorySizes,
    weights: MemoryWeights,
    attention: MemoryLayout,
}

impl Memory {
    /// Looks at the files of a bundle's memory before anything large is opened; none where it has no memory.
    ///
    /// # Errors
    /// What is wrong with a file, or with what it is.
    pub fn check(bundle: &Bundle, asked: Option<Precision>) -> Result<Option<Checked>, Error> {
        let Some(section) = bundle.manifest.memory else { return Ok(None) };
        let sizes = section.sizes(&bundle.manifest);
        let attention = graph::check(bundle, MemoryGraph::Attention, asked, &sizes)?;
        graph::check(bundle, MemoryGraph::Encoder, asked, &sizes)?;
        let content = bundle.read(MEMORY_WEIGHTS)?;
        let weights = MemoryWeights::load(&content, &bundle.label(MEMORY_WEIGHTS), sizes.embedding[0])?;
        Ok(Some(Checked { section, sizes, weights, attention }))
    }

    /// The memory of a bundle that was looked at, and the engines of what of it runs on TensorRT.
    pub fn open(bundle: &Bundle, checked: Checked, request: &Request<'_>) -> Result<(Memory, Vec<Kept>), Error> {
        let Checked { section, sizes, weights, attention: layout } = checked;
        let spec = section.spec(&bundle.manifest);
        let profile = attention_profile(&spec, &sizes, layout.pointer_times);
        let request = Request { profile: &profile, ..*request };
        let (attention, attention_engines) = GraphSession::open(bundle, MemoryGraph::Attention, &sizes, &request)?;
        let request = Request { profile: &ShapeProfile::default(), ..request };
        let (encoder, encoder_engines) = GraphSession::open(bundle, MemoryGraph::Encoder, &sizes, &request)?;
        let info = MemoryInfo {
            spec,
            shape: section.shape,
            attention: attention.signature.clone(),
            encoder: encoder.signature.clone(),
        };
        let memory = Memory { attention, encoder, weights, sizes, info, gathered: Vec::new() };
        Ok((memory, attention_engines.into_iter().chain(encoder_engines).collect()))
    }

    pub fn info(&self) -> &MemoryInfo {
        &self.info
    }

    /// Of the attention and of the memory encoder.
    pub fn providers(&self) -> [&ProviderReport; 2] {
        [&self.attention.report, &self.encoder.report]
    }

    /// Refuses what the attention does not take. No more than TensorRT's engine is built for, wherever it runs.
    fn check_recalled(&self, recalled: &Memories) -> Result<(), Error> {
        let Memories { spatial: memories, pointers } = recalled;
        let MemorySizes { frames, tokens, channels, embedding: [c, ..], .. } = self.sizes;
        let (most_memories, most_pointers) = (self.info.spec.most_memories(), self.info.spec.most_pointers());
        let size = tokens * channels;
        let fits = |(features, time): &(SpatialMemory, usize)| features.len() == size && *time < frames;
        if !(1..=most_memories).contains(&memories.len()) || !memories.iter().all(fits) {
            let list = memories.iter().map(|(features, time)| (features.len(), time)).collect::<Vec<_>>();
            let expected = format!("1 to {most_memories}, each of {size} numbers at a time below {frames}");
            return Err(self.attention.mismatch("memories", format!("{} memories: {list:?}", list.len()), expected));
        }
        if !(1..=most_pointers).contains(&pointers.len()) || pointers.iter().any(|(pointer, _)| pointer.len() != c) {
            let list = pointers.iter().map(|(pointer, _)| pointer.len()).collect::<Vec<_>>();
            let expected = format!("1 to {most_pointers}, each of {c} numbers");
            let found = format!("{} pointers of {list:?}", list.len());
            return Err(self.attention.mismatch("object_pointers", found, expected));
        }
        Ok(())
    }

    /// The embedding of a frame as it is seen with memories, `[1, C, h, w]`. It stays on the GPU where the graph runs there.
    fn attend(&mut self, frame: &Embedding, recalled: &Memories) -> Result<DynValue, Error> {
        self.check_recalled(recalled)?;
        let (m, p) = (recalled.spatial.len(), recalled.pointers.len());
        let MemorySizes { frames, tokens, channels, embedding: [c, ..], .. } = self.sizes;
        self.gathered.resize(m * tokens * channels, 0.0);
        for (slot, (features, _)) in self.gathered.chunks_exact_mut(tokens * channels).zip(&recalled.spatial) {
            features.convert_to_f32_slice(slot);
        }
        let mut times = vec![0.0_f32; m * frames];
        for (row, (_, time)) in times.chunks_exact_mut(frames).zip(&recalled.spatial) {
            row[*time] = 1.0;
        }
        let pointers = recalled.pointers.iter().flat_map(|(pointer, _)| pointer.iter().copied()).collect::<Vec<f32>>();
        let distances = recalled.pointers.iter().map(|(_, distance)| *distance).collect::<Vec<f32>>();
        let Memory { attention, gathered, .. } = self;
        let failed = |e: ort::Error| attention.failed(&e);
        let shape = [m, tokens, channels];
        let (owned, borrowed);
        let memories: &DynValue = if attention.report.used.on_gpu() {
            owned = Tensor::from_array((shape, std::mem::take(gathered))).map_err(failed)?.into_dyn();
            &owned
        } else {
            borrowed = TensorRef::from_array_view((shape, gathered.as_slice())).map_err(failed)?.into_dyn();
            &borrowed
        };
        let times = Tensor::from_array(([m, frames], times)).map_err(failed)?.into_dyn();
        let pointers = Tensor::from_array(([p, c], pointers)).map_err(failed)?.into_dyn();
        let distances = Tensor::from_array(([p, 1], distances)).map_err(failed)?.into_dyn();
        let mut inputs: Vec<(&'static str, &DynValue)> = vec![
            (EMBEDDING, attention.embedding(frame)?),
            ("memories", memories),
            ("memory_times", &times),
            ("object_pointers", &pointers),
        ];
        if attention.layout.pointer_times {
            inputs.push(("pointer_times", &distances));
        }
        attention.run(&inputs, "conditioned_embeddings", true)
    }

    /// What both graphs say to a disc on a frame, with all that may be remembered of it, to be compared.
    pub fn answers(&mut self, frame: &Embedding) -> Result<Vec<Vec<f32>>, Error> {
        let (side, spec) = (self.sizes.low_res, self.info.spec);
        let from_middle = |i: usize| (i as f32 + 0.5) / side as f32 - 0.5;
        let cell = |i: usize| 100.0 * (0.06 - from_middle(i % side).powi(2) - from_middle(i / side).powi(2));
        let mask = (0..side * side).map(cell).collect::<Vec<f32>>();
        let features = self.remember(frame, &mask, true, 10.0)?;
        let pointer: ObjectPointer = self.weights.no_object.as_slice().into();
        let distance = |i: usize| i as f32 / (spec.pointers - 1) as f32;
        let recalled = Memories {
            spatial: (0..spec.frames).map(|time| (Arc::clone(&features), time)).collect(),
            pointers: (0..spec.pointers).map(|i| (Arc::clone(&pointer), distance(i))).collect(),
        };
        let seen = self.attend(frame, &recalled)?;
        let seen = if binding::is_on_device(&seen) { binding::to_host(&seen) } else { Ok(seen) };
        let seen = seen.and_then(|seen| Ok(seen.try_extract_tensor::<f32>()?.1.to_vec()));
        Ok(vec![features.iter().map(|v| v.to_f32()).collect(), seen.map_err(|e| self.attention.failed(&e))?])
    }

    /// The spatial memory of a frame with low-resolution logits on it.
    fn remember(
        &mut self,
        frame: &Embedding,
        mask: &[f32],
        binarize: bool,
        object_score: f32,
    ) -> Result<SpatialMemory, Error> {
        let (side, encoder) = (self.sizes.low_res, &mut self.encoder);
        if mask.len() != side * side {
            let found = format!("{} logits", mask.len());
            return Err(encoder.mismatch("low_res_masks", found, format!("{side} x {side}")));
        }
        let failed = |e: ort::Error| encoder.failed(&e);
        let mask = TensorRef::from_array_view(([1, 1, side, side], mask)).map_err(failed)?.into_dyn();
        let number = |v: f32| Ok::<_, ort::Error>(Tensor::from_array(([1, 1], vec![v]))?.into_dyn());
        let binarize = number(f32::from(u8::from(binarize))).map_err(failed)?;
        let score = number(object_score).map_err(failed)?;
        let mut inputs: Vec<(&'static str, &DynValue)> =
            vec![(EMBEDDING, encoder.embedding(frame)?), ("low_res_masks", &mask), ("binarize", &binarize)];
        if encoder.layout.object_score {
            inputs.push(("object_score_logits", &score));
        }
        let features = encoder.run(&inputs, "memory_features", false)?;
        let (_, values) = features.try_extract_tensor::<f32>().map_err(|e| self.encoder.failed(&e))?;
        let expected = self.sizes.tokens * self.sizes.channels;
        if values.len() != expected {
            let found = format!("{} numbers", values.len());
            return Err(self.encoder.mismatch("memory_features", found, expected.to_string()));
        }
        Ok(values.iter().map(|v| bf16::from_f32(*v)).collect())
    }
}

/// As many memories and pointers as a tracker may look at.
fn attention_profile(spec: &MemorySpec, sizes: &MemorySizes, pointer_times: bool) -> ShapeProfile {
    let mut profile = ShapeProfile::default();
    let mut add = |name: &str, counts: [usize; 3], rest: &[usize]| {
        let [min, opt, max] = counts.map(|n| [&[n], rest].concat());
        profile.add(name, &min, &opt, &max);
    };
    let memories = [1, spec.frames, spec.most_memories()];
    add("memories", memories, &[sizes.tokens, sizes.channels]);
    add("memory_times", memories, &[spec.frames]);
    let pointers = [1, spec.pointers, spec.most_pointers()];
    add("object_pointers", pointers, &[sizes.embedding[0]]);
    if pointer_times {
        add("pointer_times", pointers, &[1]);
    }
    profile
}

/// Since a moment, as [`crate::model::network::StepTimings`] counts.
fn milliseconds(since: Instant) -> f32 {
    super::encoder::milliseconds(since) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_built_for_as_many_memories_as_may_be_asked_for() {
        let spec = MemorySpec { frames: 7, pointers: 16, low_res_side: 256, image_side: 1024, feature_bytes: 1 << 19 };
        let sizes = MemorySizes { embedding: [256, 64, 64], low_res: 256, frames: 7, tokens: 4096, channels: 64 };
        let profile = attention_profile(&spec, &sizes, true);
        // 16 prompted frames, and the 6 memories and 15 pointers of the frames before.
        let expected = "memories:22x4096x64,memory_times:22x7,object_pointers:31x256,pointer_times:31x1";
        assert_eq!(profile.max, expected);
        assert_eq!(profile.min, "memories:1x4096x64,memory_times:1x7,object_pointers:1x256,pointer_times:1x1");
        assert!(!attention_profile(&spec, &sizes, false).max.contains("pointer_times"));
    }
}
