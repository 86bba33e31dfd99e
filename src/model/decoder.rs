//! The mask decoder: prompts on an embedding to masks.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Instant;

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, TensorElementType};
use tracing::debug_span;

use super::candidates::{self, Available, DynamicMultimask, Wanted};
use super::decoded::{Candidate, DecodeOptions, DecodeTimings, Decoded, Decodes, Raw};
use super::embedding::Embedding;
use super::encoder::milliseconds;
use super::inputs::{self, Inputs};
use super::layout::{DecoderLayout, FusedInputs};
use super::memory::{self, Memory};
use super::options::SessionOptions;
use super::provider::ProviderReport;
use super::runner::{Beyond, Runner};
use super::session::Opened;
use super::{Error, ModelInfo, binding, session};
use crate::model::prompt_encoder::{PromptEncoder, Token, tokens};
use crate::pixels::{Geometry, LastUpscaler, MaskUpscaler};
use crate::prompt::{LowResLogits, Prompt};

/// Tokens of all objects of one run: 1024 are 270 MB of attention on SAM's 64 x 64 cells.
const MAX_TOKENS_A_RUN: usize = 1024;

/// The mask decoder of one model, with its own session. It belongs to one thread.
pub struct MaskDecoder {
    runner: Runner,
    /// Where TensorRT runs the graph.
    beyond: Option<Beyond>,
    layout: DecoderLayout,
    pub(super) providers: ProviderReport,
    pub(super) info: ModelInfo,
    /// From pixels of the encoder's square to those that the graph takes.
    scale: f32,
    /// Only for [`PromptInput::External`].
    prompt_encoder: Option<PromptEncoder>,
    /// Of bundles that have one.
    pub(super) memory: Option<Memory>,
    max_objects: usize,
    upscaler: LastUpscaler,
}

/// Objects of one run: index of the prompt, and its sparse tokens.
type Group = Vec<(usize, Vec<Token>)>;

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
        let prompt_side = if in_size { info.low_res_size } else { info.prompt_side };
        let scale = prompt_side as f32 / info.image_size as f32;
        Ok(MaskDecoder {
            runner,
            beyond: None,
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

    pub(super) fn max_objects(&self) -> usize {
        self.max_objects
    }

    /// What was tried while the model was opened is over.
    pub(super) fn settle(&mut self) {
        self.runner.settle();
    }

    /// Limits the engine of TensorRT to objects of `tokens` prompt tokens. `other` runs all others; without it they are
    /// refused.
    ///
    /// # Errors
    /// [`Error::Session`] when ONNX Runtime fails.
    pub(super) fn limit(
        &mut self,
        tokens: RangeInclusive<usize>,
        other: Option<Opened>,
        options: &SessionOptions,
    ) -> Result<(), Error> {
        let runner = |Opened { session, signature, report, .. }: Opened| {
            Runner::new(session, report.used, &signature.file, self.prompt_encoder.as_ref(), options)
        };
        self.beyond = Some(Beyond { tokens, runner: other.map(runner).transpose()?, logged: false });
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

    /// Decodes each object in a run of its own from now on.
    pub(super) fn one_by_one(&mut self) {
        self.info.batched = false;
        self.max_objects = 1;
    }

    pub(super) fn fused_mut(&mut self) -> Option<&mut FusedInputs> {
        self.layout.fused.as_mut()
    }

    /// Which execution provider runs it.
    pub fn providers(&self) -> &ProviderReport {
        &self.providers
    }

    /// Which ones run the memory attention and the memory encoder, where the bundle has them.
    pub fn memory_providers(&self) -> Option<[&ProviderReport; 2]> {
        self.memory.as_ref().map(Memory::providers)
    }

    pub(super) fn set_memory(&mut self, memory: Memory) {
        self.info.memory = Some(memory.info().clone());
        self.memory = Some(memory);
    }

    /// Side of the square of low-resolution logits, in cells.
    pub fn low_res_side(&self) -> usize {
        self.info.low_res_size
    }

    /// Logits above this are inside.
    pub fn mask_threshold(&self) -> f32 {
        self.info.mask_threshold
    }

    /// Decodes one mask per prompt (or its candidates) on an embedding of the same model. Prompts are in pixels of the
    /// encoded image and have passed [`Prompt::check`].
    ///
    /// Objects share a run where the graph allows it: those with equally many tokens, since padding an object with
    /// not-a-point tokens would change its mask.
    ///
    /// # Errors
    /// [`Error::PromptKind`] and [`Error::MaskSide`] for prompts that this model does not take,
    /// [`Error::ForeignEmbedding`] for an embedding of another model, [`Error::Session`] when ONNX Runtime fails.
    pub fn decode(
        &mut self,
        embedding: &Embedding,
        prompts: &[Prompt],
        options: &DecodeOptions,
    ) -> Result<Decodes, Error> {
        self.check(embedding, prompts)?;
        let start = Instant::now();
        let wanted = prompts.iter().map(|prompt| self.wanted(prompt, options)).collect::<Vec<_>>();
        let raw = debug_span!("run decoder", objects = prompts.len())
            .in_scope(|| self.run_all(embedding, prompts, &wanted))?;
        let run_ms = milliseconds(start);
        let start = Instant::now();
        let _span = debug_span!("postprocess").entered();
        let mut last = std::mem::take(&mut self.upscaler);
        let upscaler = last.get(self.info.low_res_size, &embedding.geometry);
        let finish = |(prompt, raw): (&Prompt, Raw)| self.finish(prompt, raw, upscaler, options);
        let objects = prompts.iter().zip(raw).map(finish).collect();
        self.upscaler = last;
        Ok(Decodes { objects, timings: DecodeTimings { run_ms, postprocess_ms: milliseconds(start) } })
    }

    /// All of the decoder's masks for each prompt.
    pub(super) fn all_masks(&mut self, embedding: &Embedding, prompts: &[Prompt]) -> Result<Vec<Raw>, Error> {
        let all = (0..self.layout.masks.unwrap_or_default()).map(Wanted::Mask).collect::<Vec<_>>();
        self.run_all(embedding, prompts, &vec![all; prompts.len()])
    }

    /// What the graph puts out for each prompt: the masks of `wanted`, or all where it does not select.
    fn run_all(
        &mut self,
        embedding: &Embedding,
        prompts: &[Prompt],
        wanted: &[Vec<Wanted>],
    ) -> Result<Vec<Raw>, Error> {
        let mut groups: BTreeMap<(usize, bool, bool, usize), Group> = BTreeMap::new();
        let boxes_apart = self.layout.fused.as_ref().is_some_and(|fused| fused.boxes.is_some());
        for (i, prompt) in prompts.iter().enumerate() {
            let tokens = self.tokens(prompt, &embedding.geometry);
            let rows = if self.layout.selects { wanted[i].len() } else { 0 };
            let key = (tokens.len(), prompt.mask.is_some(), boxes_apart && prompt.bbox.is_some(), rows);
            groups.entry(key).or_default().push((i, tokens));
        }
        let mut raw: Vec<Option<Raw>> = prompts.iter().map(|_| None).collect();
        for ((tokens, ..), group) in &groups {
            let mut rest = group.as_slice();
            while !rest.is_empty() {
                // The decoder's attention takes memory by tokens and objects together.
                let most = (MAX_TOKENS_A_RUN / (*tokens).max(1)).clamp(1, self.max_objects);
                let (chunk, after) = rest.split_at(rest.len().min(most));
                let results = match self.run(embedding, None, prompts, wanted, chunk) {
                    // A smaller batch may fit.
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

    pub(super) fn check(&self, embedding: &Embedding, prompts: &[Prompt]) -> Result<(), Error> {
        let info = &self.info;
        if let Some(missing) = self.layout.embeddings.iter().find(|t| embedding.names().all(|name| name != t.name)) {
            let made = embedding.names().collect::<Vec<_>>().join(", ");
            let reason = format!("it holds {made}, {} takes {missing}", info.name);
            return Err(Error::ForeignEmbedding { reason });
        }
        for prompt in prompts {
            if let Some(kind) = info.refusal(prompt) {
                return Err(Error::PromptKind { model: info.name.clone(), kind, takes: info.takes() });
            }
            if let Some(mask) = &prompt.mask {
                let (found, expected) = (mask.side, info.low_res_size);
                if found != expected || mask.data.len() != expected * expected {
                    return Err(Error::MaskSide { model: info.name.clone(), found, expected });
                }
            }
        }
        Ok(())
    }

    /// The sparse tokens of a prompt. A mask alone has none, as in the reference; a graph that fails without a point gets
    /// the pad point.
    pub(super) fn tokens(&self, prompt: &Prompt, geometry: &Geometry) -> Vec<Token> {
        let mut tokens = tokens(prompt, geometry, self.info.box_as_points);
        if tokens.is_empty() && self.layout.fused.as_ref().is_some_and(|fused| !fused.without_points) {
            tokens.push(Token::PAD);
        }
        tokens
    }

    fn available(&self, masks: usize) -> Available {
        let ModelInfo { single_mask, multimask_for_several_prompts, .. } = self.info;
        Available { masks, single_first: single_mask, multimask_for_several_prompts }
    }

    /// The masks that the answer to a prompt is made of.
    fn wanted(&self, prompt: &Prompt, options: &DecodeOptions) -> Vec<Wanted> {
        let masks = self.layout.masks.unwrap_or_default();
        let considered = candidates::considered(options.candidates, prompt, self.available(masks));
        candidates::wanted(considered, options.all_masks, masks, self.info.dynamic_multimask.is_some())
    }

    /// One run for objects with equally many tokens and wanted masks, all with a mask prompt or all without. `seen` stands
    /// in for the image embedding: the frame as it is seen with a memory.
    pub(super) fn run(
        &mut self,
        embedding: &Embedding,
        seen: Option<&DynValue>,
        prompts: &[Prompt],
        wanted: &[Vec<Wanted>],
        chunk: &[(usize, Vec<Token>)],
    ) -> Result<Vec<Raw>, Error> {
        let file = self.info.decoder.file.clone();
        let tokens = inputs::count(self.layout.fused.as_ref(), &chunk[0].1);
        let runner = match &mut self.beyond {
            Some(beyond) if !beyond.tokens.contains(&tokens) => beyond.runner(&self.info.name, tokens)?,
            _ => &mut self.runner,
        };
        let provider = runner.provider;
        let failed = |e: ort::Error| session::failed(&file, provider, &e);
        let mut inputs: Inputs<'_> = Vec::new();
        // The memory may run on a GPU while this does not.
        let near = |value: &DynValue| !provider.on_gpu() && binding::is_on_device(value);
        let copied = seen.filter(|value| near(value)).map(binding::to_host).transpose().map_err(failed)?;
        let seen = copied.as_ref().or(seen);
        for spec in &self.layout.embeddings {
            let value = match seen.filter(|_| spec.name == memory::EMBEDDING) {
                Some(seen) => Some(seen),
                None => embedding.tensor_for(&spec.name, provider).map_err(failed)?,
            };
            if let Some(value) = value {
                inputs.push((Cow::Borrowed(spec.name.as_str()), SessionInputValue::from(value)));
            }
        }
        let side = self.info.low_res_size;
        if let Some(encoder) = &self.prompt_encoder {
            inputs::external(&mut inputs, encoder, prompts, chunk).map_err(failed)?;
        } else if let Some(fused) = &self.layout.fused {
            inputs::fused(&mut inputs, fused, side, self.scale, prompts, chunk).map_err(failed)?;
        }
        let rows = chunk.iter().map(|(i, _)| wanted[*i].as_slice()).collect::<Vec<_>>();
        if let (true, Some(masks)) = (self.layout.selects, self.layout.masks) {
            inputs::wanted(&mut inputs, masks, &rows).map_err(failed)?;
        }
        let outputs = runner.run(inputs, chunk.len())?;
        let get = |name: &str| {
            let value = outputs.get(name).ok_or_else(|| ort::Error::new(format!("no output `{name}`")));
            value.and_then(floats).map_err(failed)
        };
        let (shape, low_res) = get(&self.layout.low_res)?;
        let (_, ious) = get(&self.layout.iou)?;
        let scores = match &self.layout.object_score {
            Some(name) => get(name)?.1,
            None => Cow::default(),
        };
        let pointers = match &self.layout.pointers {
            Some(name) => get(name)?.1,
            None => Cow::default(),
        };
        let objects = chunk.len();
        // `[B, M, side, side]`, or with a batch of one image before.
        let masks = ious.len() / objects;
        let made = if self.layout.selects { rows[0].len() } else { masks };
        let square = shape.ends_with(&[side as i64, side as i64]);
        if !square || masks == 0 || ious.len() != objects * masks || low_res.len() != objects * made * side * side {
            return Err(Error::Tensor {
                file: file.clone(),
                tensor: self.layout.low_res.clone(),
                found: format!("{shape:?} with {} predicted IoUs", ious.len()),
                expected: format!("[{objects}, {made}, {side}, {side}] with an IoU for each mask"),
            });
        }
        let channels = self.info.embedding_shape[1];
        if self.layout.pointers.is_some() && pointers.len() != objects * made * channels {
            return Err(Error::Tensor {
                file: file.clone(),
                tensor: "object_pointers".to_owned(),
                found: format!("{} numbers", pointers.len()),
                expected: format!("[{objects}, {made}, {channels}]"),
            });
        }
        let cut = |i: usize| {
            let ious = ious[i * masks..(i + 1) * masks].to_vec();
            let indices = match self.layout.selects {
                true => rows[i].iter().map(|row| row.index(&ious)).collect(),
                false => (0..masks).collect(),
            };
            let low_res = low_res[i * made * side * side..(i + 1) * made * side * side].to_vec();
            let size = pointers.len() / objects;
            let pointers = pointers[i * size..(i + 1) * size].to_vec();
            Raw { low_res, indices, ious, object_score: scores.get(i).copied(), pointers }
        };
        Ok((0..objects).map(cut).collect())
    }

    /// The masks that are considered, or the candidates in the place of a single mask that is not stable.
    pub(super) fn trusted(&self, considered: Range<usize>, raw: &Raw) -> Range<usize> {
        let masks = raw.ious.len();
        let unstable = |rule: DynamicMultimask| !rule.is_stable(raw.mask(0));
        let falls_back = considered == (0..1) && masks > 1 && self.info.dynamic_multimask.is_some_and(unstable);
        if falls_back { 1..masks } else { considered }
    }

    fn finish(&self, prompt: &Prompt, raw: Raw, upscaler: &MaskUpscaler, options: &DecodeOptions) -> Decoded {
        let (info, side, masks) = (&self.info, self.info.low_res_size, raw.ious.len());
        let considered = candidates::considered(options.candidates, prompt, self.available(masks));
        let considered = self.trusted(considered, &raw);
        let best = candidates::best(&raw.ious, considered.clone());
        let candidate = |index: usize| {
            let low_res = raw.mask(index);
            let mask = upscaler.mask(low_res, info.mask_threshold, options.stability_offset);
            let logits = options.logits.then(|| upscaler.logits(low_res));
            // The mask is made of the logits as they are, only what is fed back is bounded.
            let data = match info.low_res_limit {
                Some(limit) => low_res.iter().map(|v| v.clamp(-limit, limit)).collect(),
                None => low_res.into(),
            };
            Candidate { index, iou: raw.ious[index], mask, low_res: LowResLogits { side, data }, logits }
        };
        let others = match options.all_masks {
            true => considered.clone().filter(|&i| i != best).map(candidate).collect(),
            false => Vec::new(),
        };
        let candidate_ious = raw.ious[considered].to_vec();
        Decoded { best: candidate(best), others, candidate_ious, object_score: raw.object_score }
    }
}

/// Shape and values of an output.
fn floats(value: &DynValue) -> ort::Result<(Vec<i64>, Cow<'_, [f32]>)> {
    if value.dtype().tensor_type() == Some(TensorElementType::Float16) {
        let (shape, values) = value.try_extract_tensor::<f16>()?;
        return Ok((shape.to_vec(), Cow::Owned(values.to_f32_vec())));
    }
    let (shape, values) = value.try_extract_tensor::<f32>()?;
    Ok((shape.to_vec(), Cow::Borrowed(values)))
}
