//! The worker: what the decoder's thread owns, and what all its work uses.

use std::sync::Arc;

use tracing::debug_span;

use crate::engine::kept::KeptFrame;
use crate::engine::metrics::Stage;
use crate::engine::objects::{History, Objects, Positions, RecentResults};
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::result::{Event, EventSink, FrameResult, Source, StageMs};
use crate::engine::session::{Decode, Session};
use crate::engine::settings::Settings;
use crate::engine::state::Shared;
use crate::model::network::MemorySpec;
use crate::model::{DecodeOptions, Decoded};
use crate::pixels::LastUpscaler;
use crate::prompt::Prompt;

/// Objects decoded in one go: one turn. Clicks are answered between two turns.
pub(super) const CHUNK: usize = 32;

/// The thread's own. What it does with frames and prompts is in `current`, `interact` and `batch`.
pub(super) struct Worker<'a> {
    pub shared: &'a Shared,
    pub decoder: &'a Session<dyn Decode>,
    /// Side of the square of low-resolution logits.
    pub low_res_side: usize,
    pub mask_threshold: f32,
    pub events: &'a EventSink,
    pub settings: Settings,
    pub objects: Objects,
    pub history: History,
    pub results: RecentResults,
    /// What the model's memory is made for, where it has one.
    pub memory: Option<MemorySpec>,
    pub positions: Positions,
    /// Of the last frame that an object was followed to.
    pub upscaler: LastUpscaler,
    /// Whether it was said that the model has no memory.
    pub said_without_memory: bool,
}

impl Worker<'_> {
    /// Between two turns: an error once the engine stops. What is under way is left then, and nobody is told.
    pub(super) fn go_on(&self) -> Result<(), Refusal> {
        if self.shared.is_stopped() { Err(Refusal::new(RefusalKind::ModelFailed, "stopped")) } else { Ok(()) }
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        self.shared.refuse(self.events, refusal);
    }

    pub(super) fn decode(
        &mut self,
        frame: &KeptFrame,
        prompts: &[Prompt],
        all: bool,
    ) -> Result<(Vec<Decoded>, StageMs), Refusal> {
        let mut ms = encoding_ms(frame);
        let options = DecodeOptions {
            candidates: self.settings.candidates,
            all_masks: all,
            logits: false,
            stability_offset: self.settings.stability_offset,
        };
        let mut objects = Vec::with_capacity(prompts.len());
        for chunk in prompts.chunks(CHUNK) {
            self.go_on()?;
            // One chunk is one turn: a click on another camera goes between two chunks of this one.
            let mut decoder = self.decoder.session.blocking_lock();
            let _span = debug_span!("decode", stamp = %frame.header.stamp, objects = chunk.len()).entered();
            // As in the encoder: a panic loses this prompt, not the node.
            let decoded = self.shared.catch("the mask decoder", || decoder.decode(&frame.embedding, chunk, &options));
            let decoded = decoded.and_then(|decoded| decoded);
            let decoded = decoded.map_err(|e| Refusal::new(RefusalKind::ModelFailed, e))?;
            ms.decode += decoded.timings.run_ms as f32;
            ms.postprocess += decoded.timings.postprocess_ms as f32;
            objects.extend(decoded.objects);
        }
        Ok((objects, ms))
    }

    /// Hands out everything that is known about a frame now. `prompted`: its objects changed; `masks`: so many are new.
    pub(super) fn publish(&mut self, frame: &KeptFrame, source: Source, ms: StageMs, prompted: bool, masks: usize) {
        self.results.shrink(frame.number, self.settings.keep.bytes);
        let objects = self.results.of(frame.number, &self.objects);
        self.count(source, ms, masks);
        let (header, image) = (frame.header.clone(), Arc::clone(&frame.image));
        let corner = self.objects.corner.and_then(|corner| corner.on(frame.embedding.image_size()));
        (self.events)(Event::Result(FrameResult { header, source, image, objects, corner, prompted, ms }));
    }

    /// Counts a result.
    pub(super) fn count(&self, source: Source, ms: StageMs, masks: usize) {
        let mut state = self.shared.lock();
        state.metrics.results += 1;
        state.metrics.masks += masks as u64;
        if masks > 0 {
            let total = if source == Source::Camera { Stage::ImageToMasks } else { Stage::PromptToMasks };
            for (stage, ms) in [(Stage::Decode, ms.decode), (Stage::Postprocess, ms.postprocess), (total, ms.total)] {
                state.metrics.record(stage, ms);
            }
        }
    }
}

/// What the frame cost before it had prompts.
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

pub(super) fn unknown(id: u32) -> Refusal {
    Refusal::new(RefusalKind::UnknownObject, format!("there is no object {id}"))
}

pub(super) fn bad_prompt(message: String) -> Refusal {
    Refusal::new(RefusalKind::BadPrompt, message)
}
