//! The mask decoder: prompts on an embedding to masks.
//!
//! * `inputs`: prompts to the tensors that the graph takes; `outputs`: the graph's outputs, split by object.
//! * `low_res_masks`: masks without up-sampling.
//! * `runner`: the session, with its buffers on one execution provider.

mod inputs;
mod low_res_masks;
mod outputs;
mod runner;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Instant;

use ort::session::{Session, SessionInputValue};
use ort::value::DynValue;
use tracing::debug_span;

pub use low_res_masks::LowResMasks;
pub(super) use outputs::RawOutput;

use super::candidates::{self, AvailableMasks, Candidates, DynamicMultimask, WantedMask};
use super::decoded::{Candidate, DecodeOptions, DecodeTimings, Decoded, Decodes, clamp_logits};
use super::embedding::Embedding;
use super::error::Error;
use super::grid_defaults::GridDefaults;
use super::info::ModelInfo;
use super::layout::{DecoderLayout, FusedInputs, IMAGE_EMBEDDINGS};
use super::memory::MemorySessions;
use super::prompt_encoder::{PromptEncoder, Token, tokens};
use super::runtime::failure::run_failed;
use super::runtime::session::OpenedSession;
use super::runtime::{ProviderReport, SessionOptions, binding};
use super::timing::milliseconds;
use crate::pixels::{Geometry, LastUpscaler, MaskUpscaler};
use crate::prompt::{LowResLogits, Prompt};
use inputs::{Inputs, ObjectTokens};
use runner::{Runner, TokenLimit};

/// Most tokens of all objects of one run together. 1024 tokens take 270 MB of attention on SAM's 64 x 64 cells.
const MAX_TOKENS_A_RUN: usize = 1024;

/// The mask decoder of one model, with a session of its own. It belongs to one thread.
pub struct MaskDecoder {
    runner: Runner,
    /// Limit of the prompt tokens, if TensorRT runs the graph.
    token_limit: Option<TokenLimit>,
    layout: DecoderLayout,
    pub(super) providers: ProviderReport,
    pub(super) info: ModelInfo,
    /// Factor from pixels of the square of the prompts to the pixels that the graph takes.
    scale: f32,
    /// Present if the graph takes prompt embeddings.
    prompt_encoder: Option<PromptEncoder>,
    /// Present if the bundle has a memory.
    pub(super) memory: Option<MemorySessions>,
    max_objects: usize,
    upscaler: LastUpscaler,
}

impl MaskDecoder {
    pub(super) fn new(
        session: Session,
        layout: DecoderLayout,
        providers: ProviderReport,
        info: ModelInfo,
        prompt_encoder: Option<PromptEncoder>,
        options: &SessionOptions,
    ) -> Result<Self, Error> {
        let runner = Runner::new(session, providers.used, &info.decoder.file, prompt_encoder.as_ref(), options)?;
        let max_objects = if layout.batched { options.max_objects.max(1) } else { 1 };
        let in_size = layout.fused.as_ref().is_some_and(|fused| fused.points_in_size);
        let scale = if in_size { info.low_res_size as f32 / info.prompt_side as f32 } else { 1.0 };
        Ok(MaskDecoder {
            runner,
            token_limit: None,
            layout,
            providers,
            info,
            scale,
            prompt_encoder,
            memory: None,
            max_objects,
            upscaler: LastUpscaler::default(),
        })
    }

    /// Returns the most objects of one run.
    pub(super) fn max_objects(&self) -> usize {
        self.max_objects
    }

    /// Makes the next run return the memory that trial runs took.
    pub(super) fn end_trial(&mut self) {
        self.runner.end_trial();
    }

    /// Limits TensorRT's engine to objects with `tokens` prompt tokens. `fallback` runs all other objects; without it they are
    /// refused.
    ///
    /// # Errors
    /// [`Error::Session`] if ONNX Runtime fails.
    pub(super) fn limit_tokens(
        &mut self,
        tokens: RangeInclusive<usize>,
        fallback: Option<OpenedSession>,
        options: &SessionOptions,
    ) -> Result<(), Error> {
        let runner = |OpenedSession { session, signature, report, .. }: OpenedSession| {
            Runner::new(session, report.used, &signature.file, self.prompt_encoder.as_ref(), options)
        };
        let fallback = fallback.map(runner).transpose()?;
        self.token_limit = Some(TokenLimit { tokens, fallback, logged: false });
        Ok(())
    }

    pub(super) fn layout(&self) -> &DecoderLayout {
        &self.layout
    }

    pub(super) fn info(&self) -> &ModelInfo {
        &self.info
    }

    pub(super) fn info_mut(&mut self) -> &mut ModelInfo {
        &mut self.info
    }

    /// Decodes each object in a run of its own from now on, because the graph cannot run a batch.
    pub(super) fn disable_batches(&mut self) {
        self.info.batched = false;
        self.max_objects = 1;
    }

    pub(super) fn fused_mut(&mut self) -> Option<&mut FusedInputs> {
        self.layout.fused.as_mut()
    }

    /// Returns which execution provider runs the decoder.
    pub fn providers(&self) -> &ProviderReport {
        &self.providers
    }

    /// Returns which execution providers run the memory attention and the memory encoder, if the bundle has them.
    pub fn memory_providers(&self) -> Option<[&ProviderReport; 2]> {
        self.memory.as_ref().map(MemorySessions::providers)
    }

    pub(super) fn set_memory(&mut self, memory: MemorySessions) {
        self.info.memory = Some(memory.info().clone());
        self.memory = Some(memory);
    }

    /// Returns the side of the square of low-resolution logits, in cells.
    pub fn low_res_side(&self) -> usize {
        self.info.low_res_size
    }

    /// Returns the defaults of the automatic mask generator for the model.
    pub fn grid_defaults(&self) -> GridDefaults {
        self.info.grid_defaults
    }

    /// Returns why the model cannot decode a grid of clicks; none if it can.
    pub fn grid_refusal(&self) -> Option<String> {
        self.info.grid_refusal()
    }

    /// Returns the threshold of the masks: cells with logits above it are inside.
    pub fn mask_threshold(&self) -> f32 {
        self.info.mask_threshold
    }

    /// Decodes one mask for each prompt (or its candidates) on an embedding of the same model. Prompts are in pixels of the
    /// encoded image and have passed [`Prompt::check`].
    ///
    /// Objects with equally many tokens share a run if the graph allows it. Padding an object with not-a-point tokens would
    /// change its mask.
    ///
    /// # Errors
    /// [`Error::PromptKind`] and [`Error::MaskSide`] for prompts that this model does not take,
    /// [`Error::ForeignEmbedding`] for an embedding of another model, [`Error::Session`] if ONNX Runtime fails.
    pub fn decode(
        &mut self,
        embedding: &Embedding,
        prompts: &[Prompt],
        options: &DecodeOptions,
    ) -> Result<Decodes, Error> {
        self.check(embedding, prompts)?;
        let start = Instant::now();
        let wanted = prompts.iter().map(|prompt| self.wanted_masks(prompt, options)).collect::<Vec<_>>();
        let raw = debug_span!("run decoder", objects = prompts.len())
            .in_scope(|| self.run_all(embedding, prompts, &wanted))?;
        let run_ms = milliseconds(start);
        let start = Instant::now();
        let _span = debug_span!("postprocess").entered();
        let mut last = std::mem::take(&mut self.upscaler);
        let upscaler = last.get(self.info.low_res_size, &embedding.geometry);
        let finish = |(prompt, raw): (&Prompt, RawOutput)| self.finish(prompt, raw, upscaler, options);
        let objects = prompts.iter().zip(raw).map(finish).collect();
        self.upscaler = last;
        Ok(Decodes { objects, timings: DecodeTimings { run_ms, postprocess_ms: milliseconds(start) } })
    }

    /// Decodes all of the decoder's masks for each prompt.
    pub(super) fn all_masks(&mut self, embedding: &Embedding, prompts: &[Prompt]) -> Result<Vec<RawOutput>, Error> {
        let all = (0..self.layout.masks.unwrap_or_default()).map(WantedMask::Mask).collect::<Vec<_>>();
        self.run_all(embedding, prompts, &vec![all; prompts.len()])
    }

    /// Runs the graph for all prompts. Each object gets the masks of `wanted`, or all masks if the graph cannot select.
    fn run_all(
        &mut self,
        embedding: &Embedding,
        prompts: &[Prompt],
        wanted: &[Vec<WantedMask>],
    ) -> Result<Vec<RawOutput>, Error> {
        let mut groups: BTreeMap<(usize, bool, bool, usize), Vec<ObjectTokens>> = BTreeMap::new();
        let separate_boxes = self.layout.fused.as_ref().is_some_and(|fused| fused.boxes.is_some());
        for (i, prompt) in prompts.iter().enumerate() {
            let tokens = self.tokens(prompt, &embedding.geometry);
            let rows = if self.layout.selects { wanted[i].len() } else { 0 };
            let key = (tokens.len(), prompt.mask.is_some(), separate_boxes && prompt.bbox.is_some(), rows);
            groups.entry(key).or_default().push((i, tokens));
        }
        let mut raw: Vec<Option<RawOutput>> = prompts.iter().map(|_| None).collect();
        for ((tokens, ..), group) in &groups {
            let mut rest = group.as_slice();
            while !rest.is_empty() {
                // The memory of the decoder's attention grows with tokens times objects.
                let most = (MAX_TOKENS_A_RUN / (*tokens).max(1)).clamp(1, self.max_objects);
                let (chunk, after) = rest.split_at(rest.len().min(most));
                let results = match self.run(embedding, None, prompts, wanted, chunk) {
                    // A smaller batch may fit into the memory.
                    Err(Error::OutOfMemory { reason, .. }) if chunk.len() > 1 => {
                        self.max_objects = chunk.len() / 2;
                        let most = self.max_objects;
                        tracing::warn!(
                            model = self.info.name,
                            "out of memory, from now on {most} objects in a run: {reason}"
                        );
                        continue;
                    }
                    outcome => outcome?,
                };
                for ((i, _), result) in chunk.iter().zip(results) {
                    raw[*i] = Some(result);
                }
                rest = after;
            }
        }
        Ok(raw.into_iter().flatten().collect())
    }

    /// Checks that the decoder can decode the prompts on the embedding.
    ///
    /// # Errors
    /// [`Error::ForeignEmbedding`], [`Error::PromptKind`] or [`Error::MaskSide`].
    pub(super) fn check(&self, embedding: &Embedding, prompts: &[Prompt]) -> Result<(), Error> {
        let info = &self.info;
        if let Some(missing) = self.layout.embeddings.iter().find(|t| embedding.names().all(|name| name != t.name)) {
            let made = embedding.names().collect::<Vec<_>>().join(", ");
            let reason = format!("it holds {made}, {} takes {missing}", info.name);
            return Err(Error::ForeignEmbedding { reason });
        }
        for prompt in prompts {
            self.check_kinds(prompt)?;
            if let Some(mask) = &prompt.mask {
                let (found, expected) = (mask.side, info.low_res_size);
                if found != expected || mask.data.len() != expected * expected {
                    return Err(Error::MaskSide { model: info.name.clone(), found, expected });
                }
            }
        }
        Ok(())
    }

    /// Returns the sparse tokens of a prompt. A mask alone has none, as in the reference, except for a graph that fails without
    /// a point: it gets the pad point.
    pub(super) fn tokens(&self, prompt: &Prompt, geometry: &Geometry) -> Vec<Token> {
        let mut tokens = tokens(prompt, geometry, self.info.box_as_points);
        if tokens.is_empty() && self.layout.fused.as_ref().is_some_and(|fused| !fused.without_points) {
            tokens.push(Token::PAD);
        }
        tokens
    }

    /// Describes the masks of the decoder.
    fn available_masks(&self, masks: usize) -> AvailableMasks {
        let ModelInfo { single_mask, multimask_for_several_prompts, .. } = self.info;
        AvailableMasks { masks, single_first: single_mask, multimask_for_several_prompts }
    }

    /// Returns the masks that the graph must compute for a prompt.
    fn wanted_masks(&self, prompt: &Prompt, options: &DecodeOptions) -> Vec<WantedMask> {
        let masks = self.layout.masks.unwrap_or_default();
        let considered = candidates::considered_masks(options.candidates, prompt, self.available_masks(masks));
        candidates::wanted_masks(considered, options.all_masks, masks, self.info.dynamic_multimask.is_some())
    }

    /// Runs the graph once, for objects with equally many tokens and wanted masks, either all with a mask prompt or all without.
    /// `conditioned` replaces the image embedding: the frame conditioned on memories.
    pub(super) fn run(
        &mut self,
        embedding: &Embedding,
        conditioned: Option<&DynValue>,
        prompts: &[Prompt],
        wanted: &[Vec<WantedMask>],
        chunk: &[ObjectTokens],
    ) -> Result<Vec<RawOutput>, Error> {
        let file = self.info.decoder.file.clone();
        let tokens = inputs::token_count(self.layout.fused.as_ref(), &chunk[0].1);
        let runner = match &mut self.token_limit {
            Some(limit) if !limit.tokens.contains(&tokens) => limit.runner(&self.info.name, tokens)?,
            _ => &mut self.runner,
        };
        let provider = runner.provider;
        let failed = |e: ort::Error| run_failed(&file, provider, &e);
        let mut inputs: Inputs<'_> = Vec::new();
        // The memory attention may run on a GPU while the decoder runs on the CPU.
        let needs_copy = |value: &DynValue| !provider.on_gpu() && binding::is_on_device(value);
        let copy = conditioned.filter(|value| needs_copy(value)).map(binding::to_host).transpose().map_err(failed)?;
        let conditioned = copy.as_ref().or(conditioned);
        for spec in &self.layout.embeddings {
            let value = match conditioned.filter(|_| spec.name == IMAGE_EMBEDDINGS) {
                Some(conditioned) => Some(conditioned),
                None => embedding.tensor_for(&spec.name, provider).map_err(failed)?,
            };
            if let Some(value) = value {
                inputs.push((Cow::Borrowed(spec.name.as_str()), SessionInputValue::from(value)));
            }
        }
        let side = self.info.low_res_size;
        if let Some(encoder) = &self.prompt_encoder {
            inputs::push_embeddings(&mut inputs, encoder, prompts, chunk).map_err(failed)?;
        } else if let Some(fused) = &self.layout.fused {
            inputs::push_coordinates(&mut inputs, fused, side, self.scale, prompts, chunk).map_err(failed)?;
        }
        let rows = chunk.iter().map(|(i, _)| wanted[*i].as_slice()).collect::<Vec<_>>();
        if let (true, Some(masks)) = (self.layout.selects, self.layout.masks) {
            inputs::push_wanted_masks(&mut inputs, masks, &rows).map_err(failed)?;
        }
        let outputs = runner.run(inputs, chunk.len())?;
        outputs::split(&outputs, &self.layout, &self.info, provider, &rows)
    }

    /// Returns `considered`, or the candidates if `considered` is a single mask that is not stable.
    pub(super) fn replace_unstable(&self, considered: Range<usize>, raw: &RawOutput) -> Range<usize> {
        let masks = raw.ious.len();
        let unstable = |rule: DynamicMultimask| !rule.is_stable(raw.mask(0));
        let falls_back = considered == (0..1) && masks > 1 && self.info.dynamic_multimask.is_some_and(unstable);
        if falls_back { 1..masks } else { considered }
    }

    /// Returns the indices of the masks that answer a prompt.
    fn answering_masks(&self, candidates: Candidates, prompt: &Prompt, raw: &RawOutput) -> Range<usize> {
        let considered = candidates::considered_masks(candidates, prompt, self.available_masks(raw.ious.len()));
        self.replace_unstable(considered, raw)
    }

    /// Chooses the best mask of an object and makes masks of the image's size.
    fn finish(&self, prompt: &Prompt, raw: RawOutput, upscaler: &MaskUpscaler, options: &DecodeOptions) -> Decoded {
        let (info, side) = (&self.info, self.info.low_res_size);
        let considered = self.answering_masks(options.candidates, prompt, &raw);
        let best = candidates::best(&raw.ious, considered.clone());
        let candidate = |index: usize| {
            let low_res = raw.mask(index);
            let mask = upscaler.mask(low_res, info.mask_threshold, options.stability_offset);
            let certain =
                options.certain.then(|| upscaler.certain_mask(low_res, info.mask_threshold, options.stability_offset));
            let logits = options.logits.then(|| upscaler.logits(low_res));
            // The mask comes from the logits without the limit; only the returned logits are clamped.
            let data = clamp_logits(low_res, info.low_res_limit);
            Candidate { index, iou: raw.ious[index], mask, certain, low_res: LowResLogits { side, data }, logits }
        };
        let others = match options.all_masks {
            true => considered.clone().filter(|&i| i != best).map(candidate).collect(),
            false => Vec::new(),
        };
        let candidate_ious = raw.ious[considered].to_vec();
        Decoded { best: candidate(best), others, candidate_ious, object_score: raw.object_score }
    }
}
