//! The sessions of a memory: memory attention and memory encoder.

use std::sync::Arc;
use std::time::Instant;

use half::bf16;
use half::slice::HalfFloatSliceExt as _;
use ort::value::{DynValue, Tensor, TensorRef};

use super::graph_session::{self, GraphSession};
use super::info::MemoryInfo;
use super::sizes;
use super::weights::MemoryWeights;
use crate::model::bundle::{Bundle, MEMORY_WEIGHTS, MemorySection};
use crate::model::embedding::Embedding;
use crate::model::error::Error;
use crate::model::layout::{IMAGE_EMBEDDINGS, MemoryGraph, MemoryLayout, MemorySizes};
use crate::model::network::{Memories, MemorySpec, ObjectPointer, SpatialMemory};
use crate::model::precision::Precision;
use crate::model::runtime::engine_cache::EngineRecord;
use crate::model::runtime::session::SessionRequest;
use crate::model::runtime::shape_profile::ShapeProfile;
use crate::model::runtime::{ProviderReport, binding};
use crate::model::timing::milliseconds;

/// The memory of one model, with two sessions. It belongs to the mask decoder and to the decoder's thread.
pub struct MemorySessions {
    attention: GraphSession,
    encoder: GraphSession,
    pub(super) weights: MemoryWeights,
    sizes: MemorySizes,
    info: MemoryInfo,
    /// Buffer for the memories of a frame, used again for each frame.
    gathered: Vec<f32>,
}

/// Files of a memory that passed their checks, before the sessions are opened.
pub struct MemoryFiles {
    section: MemorySection,
    sizes: MemorySizes,
    weights: MemoryWeights,
    attention: MemoryLayout,
}

impl MemorySessions {
    /// Checks the files of a bundle's memory before a session is opened. Returns none if the bundle has no memory.
    ///
    /// # Errors
    /// The error of the first file that is damaged or has another role or shape.
    pub fn check(bundle: &Bundle, precision: Option<Precision>) -> Result<Option<MemoryFiles>, Error> {
        let Some(section) = bundle.manifest.memory else { return Ok(None) };
        let sizes = sizes::sizes(&section, &bundle.manifest);
        let attention = graph_session::check(bundle, MemoryGraph::Attention, precision, &sizes)?;
        graph_session::check(bundle, MemoryGraph::Encoder, precision, &sizes)?;
        let content = bundle.read(MEMORY_WEIGHTS)?;
        let weights = MemoryWeights::load(&content, &bundle.label(MEMORY_WEIGHTS), sizes.embedding[0])?;
        Ok(Some(MemoryFiles { section, sizes, weights, attention }))
    }

    /// Opens both sessions: memory attention and memory encoder, each by its request. Also returns their engine caches.
    ///
    /// # Errors
    /// The errors of opening a session.
    pub fn open(
        bundle: &Bundle,
        files: MemoryFiles,
        requests: [&SessionRequest<'_>; 2],
    ) -> Result<(Self, [Option<EngineRecord>; 2]), Error> {
        let MemoryFiles { section, sizes, weights, attention: layout } = files;
        let spec = sizes::spec(&section, &bundle.manifest);
        let profile = attention_profile(&spec, &sizes, layout.pointer_times);
        let [attention_request, encoder_request] = requests;
        let request = SessionRequest { profile: &profile, ..*attention_request };
        let (attention, attention_engines) = GraphSession::open(bundle, MemoryGraph::Attention, &sizes, &request)?;
        let (encoder, encoder_engines) = GraphSession::open(bundle, MemoryGraph::Encoder, &sizes, encoder_request)?;
        let info = MemoryInfo {
            spec,
            shape: section.shape,
            attention: attention.signature.clone(),
            encoder: encoder.signature.clone(),
        };
        let memory = MemorySessions { attention, encoder, weights, sizes, info, gathered: Vec::new() };
        Ok((memory, [attention_engines, encoder_engines]))
    }

    /// Returns the description of the memory.
    pub fn info(&self) -> &MemoryInfo {
        &self.info
    }

    /// Returns which execution providers run the memory attention and the memory encoder.
    pub fn providers(&self) -> [&ProviderReport; 2] {
        [&self.attention.report, &self.encoder.report]
    }

    /// Checks number and sizes of memories. The limits are those of TensorRT's engine, on every provider.
    fn check_memories(&self, memories: &Memories) -> Result<(), Error> {
        let Memories { spatial, pointers } = memories;
        let MemorySizes { frames, tokens, channels, embedding: [c, ..], .. } = self.sizes;
        let (most_memories, most_pointers) = (self.info.spec.most_memories(), self.info.spec.most_pointers());
        let size = tokens * channels;
        let fits = |(features, time): &(SpatialMemory, usize)| features.len() == size && *time < frames;
        if !(1..=most_memories).contains(&spatial.len()) || !spatial.iter().all(fits) {
            let list = spatial.iter().map(|(features, time)| (features.len(), time)).collect::<Vec<_>>();
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

    /// Conditions a frame on memories. Returns the embedding, `[1, C, h, w]`, on the GPU if the memory attention runs there.
    ///
    /// # Errors
    /// [`Error::Tensor`] for memories of other sizes, [`Error::Session`] if ONNX Runtime fails.
    pub fn attend(&mut self, frame: &Embedding, memories: &Memories) -> Result<DynValue, Error> {
        self.check_memories(memories)?;
        let (m, p) = (memories.spatial.len(), memories.pointers.len());
        let MemorySizes { frames, tokens, channels, embedding: [c, ..], .. } = self.sizes;
        self.gathered.resize(m * tokens * channels, 0.0);
        for (slot, (features, _)) in self.gathered.chunks_exact_mut(tokens * channels).zip(&memories.spatial) {
            features.convert_to_f32_slice(slot);
        }
        let mut times = vec![0.0_f32; m * frames];
        for (row, (_, time)) in times.chunks_exact_mut(frames).zip(&memories.spatial) {
            row[*time] = 1.0;
        }
        let pointers = memories.pointers.iter().flat_map(|(pointer, _)| pointer.iter().copied()).collect::<Vec<f32>>();
        let distances = memories.pointers.iter().map(|(_, distance)| *distance).collect::<Vec<f32>>();
        let MemorySessions { attention, gathered, .. } = self;
        let failed = |e: ort::Error| attention.failed(&e);
        let shape = [m, tokens, channels];
        let (owned, borrowed);
        let spatial: &DynValue = if attention.report.used.on_gpu() {
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
            (IMAGE_EMBEDDINGS, attention.embedding(frame)?),
            ("memories", spatial),
            ("memory_times", &times),
            ("object_pointers", &pointers),
        ];
        if attention.layout.pointer_times {
            inputs.push(("pointer_times", &distances));
        }
        attention.run(&inputs, "conditioned_embeddings", true)
    }

    /// Returns the reports of memory attention and memory encoder, to add to them.
    pub fn providers_mut(&mut self) -> [&mut ProviderReport; 2] {
        [&mut self.attention.report, &mut self.encoder.report]
    }

    /// Runs both graphs for a disc on a frame, with as many memories and pointers as the model was trained for. Returns the
    /// values of their outputs, for the comparison of precisions, and the times of memory attention and memory encoder in
    /// milliseconds.
    ///
    /// # Errors
    /// [`Error::Session`] or [`Error::OutOfMemory`] if ONNX Runtime fails.
    pub fn trial_outputs(&mut self, frame: &Embedding) -> Result<(Vec<Vec<f32>>, [f64; 2]), Error> {
        let (side, spec) = (self.sizes.low_res, self.info.spec);
        let from_centre = |i: usize| (i as f32 + 0.5) / side as f32 - 0.5;
        let cell = |i: usize| 100.0 * (0.06 - from_centre(i % side).powi(2) - from_centre(i / side).powi(2));
        let mask = (0..side * side).map(cell).collect::<Vec<f32>>();
        let start = Instant::now();
        let features = self.encode(frame, &mask, true, 10.0)?;
        let encoder_ms = milliseconds(start);
        let pointer: ObjectPointer = self.weights.no_object.as_slice().into();
        let distance = |i: usize| i as f32 / (spec.pointers - 1) as f32;
        let memories = Memories {
            spatial: (0..spec.frames).map(|time| (Arc::clone(&features), time)).collect(),
            pointers: (0..spec.pointers).map(|i| (Arc::clone(&pointer), distance(i))).collect(),
        };
        let start = Instant::now();
        let conditioned = self.attend(frame, &memories)?;
        let attention_ms = milliseconds(start);
        let conditioned =
            if binding::is_on_device(&conditioned) { binding::to_host(&conditioned) } else { Ok(conditioned) };
        let conditioned = conditioned.and_then(|value| Ok(value.try_extract_tensor::<f32>()?.1.to_vec()));
        let conditioned = conditioned.map_err(|e| self.attention.failed(&e))?;
        Ok((vec![features.iter().map(|v| v.to_f32()).collect(), conditioned], [attention_ms, encoder_ms]))
    }

    /// Encodes the spatial memory of a frame with an object's low-resolution logits on it.
    ///
    /// # Errors
    /// [`Error::Tensor`] if `mask` has another size, [`Error::Session`] if ONNX Runtime fails.
    pub fn encode(
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
            vec![(IMAGE_EMBEDDINGS, encoder.embedding(frame)?), ("low_res_masks", &mask), ("binarize", &binarize)];
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

/// Returns the shape profile of the memory attention: as many memories and pointers as a tracker may use.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_built_for_the_most_memories_of_a_tracker() {
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
