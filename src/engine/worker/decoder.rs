//! The worker of the decoder's thread, with what all its work uses: decoding and publishing.

use std::sync::Arc;

use tracing::debug_span;

use crate::engine::kept::KeptFrame;
use crate::engine::metrics::Stage;
use crate::engine::objects::{FramePositions, History, ObjectSet, RecentResults};
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::result::{Event, EventSink, FrameResult, ResultSource, StageMs};
use crate::engine::session::{Decode, Session};
use crate::engine::settings::Settings;
use crate::engine::state::SharedState;
use crate::model::network::MemorySpec;
use crate::model::{Candidates, DecodeOptions, Decoded};
use crate::pixels::LastUpscaler;
use crate::prompt::Prompt;

/// Most objects that one turn decodes. Prompts are answered between two turns.
pub(super) const MAX_OBJECTS_PER_TURN: usize = 32;

/// State of the decoder's thread. The files of this folder implement one kind of work each.
pub(super) struct Worker<'a> {
    pub shared: &'a SharedState,
    pub decoder: &'a Session<dyn Decode>,
    /// Side of the square low-resolution logits.
    pub low_res_side: usize,
    pub mask_threshold: f32,
    pub events: &'a EventSink,
    pub settings: Settings,
    pub objects: ObjectSet,
    pub history: History,
    pub results: RecentResults,
    /// Why the model cannot decode a grid of clicks; `None` if it can.
    pub grid_refusal: Option<String>,
    /// Specification of the model's memory; `None` for a model without memory.
    pub memory_spec: Option<MemorySpec>,
    pub positions: FramePositions,
    /// Upscaler for the last frame to which an object was followed.
    pub upscaler: LastUpscaler,
    /// The owner was notified that the model has no memory.
    pub is_missing_memory_noted: bool,
}

impl<'a> Worker<'a> {
    pub fn new(shared: &'a SharedState, decoder: &'a Session<dyn Decode>, events: &'a EventSink) -> Self {
        let settings = shared.lock().settings.clone();
        let (low_res_side, mask_threshold, memory_spec, grid_refusal) = {
            let mut decoder = decoder.session.blocking_lock();
            let (memory_spec, grid_refusal) = (decoder.network().map(|n| n.spec()), decoder.grid_decoder().err());
            (decoder.low_res_side(), decoder.mask_threshold(), memory_spec, grid_refusal)
        };
        Worker {
            shared,
            decoder,
            low_res_side,
            mask_threshold,
            events,
            settings,
            objects: ObjectSet::default(),
            history: History::default(),
            results: RecentResults::default(),
            grid_refusal,
            memory_spec,
            positions: FramePositions::default(),
            upscaler: LastUpscaler::default(),
            is_missing_memory_noted: false,
        }
    }

    /// Returns an error if the engine stops. Work that takes several turns ends between two turns then, without a result.
    pub(super) fn check_running(&self) -> Result<(), Refusal> {
        if self.shared.is_stopped() { Err(Refusal::new(RefusalKind::ModelFailed, "stopped")) } else { Ok(()) }
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        self.shared.refuse(self.events, refusal);
    }

    /// Returns whether results need the certain parts of their masks.
    pub(super) fn needs_certain_masks(&self) -> bool {
        self.shared.lock().demand.needs_certain_masks
    }

    /// Decodes the masks of prompts on a frame, one object for each prompt. Returns the outputs and the durations.
    ///
    /// # Errors
    /// The model fails or panics, or the engine stops.
    pub(super) fn decode(
        &mut self,
        frame: &KeptFrame,
        prompts: &[Prompt],
        all_candidates: bool,
    ) -> Result<(Vec<Decoded>, StageMs), Refusal> {
        self.decode_among(self.settings.candidates, frame, prompts, all_candidates)
    }

    /// As [`Worker::decode`], with a choice among the candidate masks.
    pub(super) fn decode_among(
        &mut self,
        candidates: Candidates,
        frame: &KeptFrame,
        prompts: &[Prompt],
        all_candidates: bool,
    ) -> Result<(Vec<Decoded>, StageMs), Refusal> {
        let mut ms = encoding_ms(frame);
        let options = DecodeOptions {
            candidates,
            all_masks: all_candidates,
            logits: false,
            certain: self.needs_certain_masks(),
            stability_offset: self.settings.stability_offset,
        };
        let mut objects = Vec::with_capacity(prompts.len());
        for chunk in prompts.chunks(MAX_OBJECTS_PER_TURN) {
            self.check_running()?;
            // A chunk is a turn: the decoder may answer a click on another camera between two chunks.
            let mut decoder = self.decoder.session.blocking_lock();
            let _span = debug_span!("decode", stamp = %frame.header.stamp, objects = chunk.len()).entered();
            // A panic loses this prompt, not the node.
            let decoded = self.shared.catch("the mask decoder", || decoder.decode(&frame.embedding, chunk, &options));
            let decoded = decoded.and_then(|decoded| decoded);
            let decoded = decoded.map_err(|e| Refusal::new(RefusalKind::ModelFailed, e))?;
            ms.decode += decoded.timings.run_ms as f32;
            ms.postprocess += decoded.timings.postprocess_ms as f32;
            objects.extend(decoded.objects);
        }
        Ok((objects, ms))
    }

    /// Publishes all results on a frame. `prompted`: the objects changed; `masks`: number of new masks.
    pub(super) fn publish(
        &mut self,
        frame: &KeptFrame,
        source: ResultSource,
        ms: StageMs,
        prompted: bool,
        masks: usize,
    ) {
        self.results.shrink(frame.number, self.settings.keep.bytes);
        let objects = self.results.on_frame(frame.number, &self.objects);
        self.count(source, ms, masks);
        let (header, image) = (frame.header.clone(), Arc::clone(&frame.image));
        let corner = self.objects.corner.and_then(|corner| corner.on(frame.embedding.image_size()));
        let current = self.objects.current;
        (self.events)(Event::Result(FrameResult { header, source, image, objects, corner, current, prompted, ms }));
    }

    /// Counts a result and its durations.
    pub(super) fn count(&self, source: ResultSource, ms: StageMs, masks: usize) {
        let mut state = self.shared.lock();
        state.metrics.results += 1;
        state.metrics.masks += masks as u64;
        if masks > 0 {
            let total = if source == ResultSource::Camera { Stage::ImageToMasks } else { Stage::PromptToMasks };
            for (stage, ms) in [(Stage::Decode, ms.decode), (Stage::Postprocess, ms.postprocess), (total, ms.total)] {
                state.metrics.record(stage, ms);
            }
        }
    }
}

/// Returns the durations of encoding a frame.
pub(super) fn encoding_ms(frame: &KeptFrame) -> StageMs {
    let encoded = &frame.embedding.timings;
    StageMs {
        wait: frame.wait_ms,
        convert: frame.convert_ms,
        preprocess: encoded.preprocess_ms as f32,
        encode: encoded.run_ms as f32,
        ..StageMs::default()
    }
}

pub(super) fn unknown_object(id: u32) -> Refusal {
    Refusal::new(RefusalKind::UnknownObject, format!("there is no object {id}"))
}

pub(super) fn bad_prompt(message: String) -> Refusal {
    Refusal::new(RefusalKind::BadPrompt, message)
}
