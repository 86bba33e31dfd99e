//! The decoder's thread: prompts in, masks out. It owns the objects.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tracing::debug_span;

use super::command::{Event, FrameResult, Refusal, RefusalKind, StageMs};
use super::history::History;
use super::kept::KeptFrame;
use super::objects::Objects;
use super::results::RecentResults;
use super::schedule::{Work, next};
use super::state::Shared;
use super::{Decode, EventSink, Session, Settings};
use crate::model::{DecodeOptions, Decoded};
use crate::prompt::Prompt;

/// Objects decoded in one go. Clicks are answered between two chunks of a large detection message.
pub(super) const CHUNK: usize = 32;

/// While a prompt waits for a frame that never comes, how often its timeout is looked at.
const PATIENCE: Duration = Duration::from_millis(20);

/// The thread's own. What it does with frames and prompts is in `current`, `interact` and `batch`.
pub(super) struct Worker<'a> {
    pub shared: &'a Shared,
    decoder: &'a Session<dyn Decode>,
    /// Side of the square of low-resolution logits.
    pub low_res_side: usize,
    pub mask_threshold: f32,
    pub events: &'a EventSink,
    pub settings: Settings,
    pub objects: Objects,
    pub history: History,
    pub results: RecentResults,
}

pub(super) fn run(shared: &Shared, decoder: &Session<dyn Decode>, events: &EventSink) {
    let settings = shared.lock().settings.clone();
    let (low_res_side, mask_threshold) = {
        let decoder = decoder.blocking_lock();
        (decoder.low_res_side(), decoder.mask_threshold())
    };
    let (objects, history, results) = (Objects::default(), History::default(), RecentResults::default());
    let mut worker =
        Worker { shared, decoder, low_res_side, mask_threshold, events, settings, objects, history, results };
    loop {
        let work = worker.wait();
        if matches!(work, Work::Stop) {
            return;
        }
        worker.work(work);
    }
}

impl Worker<'_> {
    fn wait(&mut self) -> Work {
        let mut state = self.shared.lock();
        loop {
            if state.stop {
                return Work::Stop;
            }
            let encoder_had_work = state.wanted.len();
            let work = next(&mut state);
            if state.wanted.len() > encoder_had_work {
                self.shared.encode.notify_all();
            }
            if let Some(work) = work {
                self.settings.clone_from(&state.settings);
                return work;
            }
            state = if state.interactions.is_empty() && state.batches.is_empty() {
                self.shared.decode.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.shared.decode.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }

    pub(super) fn work(&mut self, work: Work) {
        match work {
            Work::Interaction(what, frame, since) => {
                let _span = debug_span!("prompt").entered();
                if let Err(refusal) = self.interact(what, frame, since) {
                    self.refuse(refusal);
                }
            }
            Work::Detections(frame, detections, since) => {
                let _span = debug_span!("detections", boxes = detections.boxes.len()).entered();
                self.detect(&frame, detections, since);
            }
            Work::Segment(frame, segment, since) => {
                let _span = debug_span!("segment").entered();
                let result = self.segment(&frame, segment.objects, segment.all_candidates, since);
                if let Err(refusal) = &result {
                    self.shared.lock().metrics.refuse(refusal.kind);
                }
                // Whoever asked may be gone by now.
                let _ = segment.reply.send(result);
            }
            Work::Fresh(frame) => {
                let _span = debug_span!("frame").entered();
                self.decode_current(&frame);
            }
            Work::Refused(refusal, None) => self.refuse(refusal),
            Work::Refused(refusal, Some(segment)) => {
                self.shared.lock().metrics.refuse(refusal.kind);
                let _ = segment.reply.send(Err(refusal));
            }
            Work::Stop => {}
        }
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        self.shared.lock().metrics.refuse(refusal.kind);
        (self.events)(Event::Refused(refusal));
    }

    pub(super) fn decode(
        &mut self,
        frame: &KeptFrame,
        prompts: &[Prompt],
        all: bool,
    ) -> Result<(Vec<Decoded>, StageMs), Refusal> {
        let encoded = &frame.embedding.timings;
        let mut ms =
            StageMs { preprocess: encoded.preprocess_ms as f32, encode: encoded.run_ms as f32, ..StageMs::default() };
        let options = DecodeOptions {
            candidates: self.settings.candidates,
            all_masks: all,
            logits: false,
            stability_offset: self.settings.stability_offset,
        };
        let mut objects = Vec::with_capacity(prompts.len());
        for chunk in prompts.chunks(CHUNK) {
            // One chunk is one turn: a click on another camera goes between two chunks of this one.
            let mut decoder = self.decoder.blocking_lock();
            // As in the encoder: a panic loses this prompt, not the node.
            let decoded = catch_unwind(AssertUnwindSafe(|| decoder.decode(&frame.embedding, chunk, &options)))
                .unwrap_or_else(|_| Err("the mask decoder panicked".into()))
                .map_err(|e| Refusal::new(RefusalKind::ModelFailed, e))?;
            ms.decode += decoded.timings.run_ms as f32;
            ms.postprocess += decoded.timings.postprocess_ms as f32;
            objects.extend(decoded.objects);
        }
        Ok((objects, ms))
    }

    /// Hands out everything that is known about a frame now.
    pub(super) fn publish(&mut self, frame: &KeptFrame, ms: StageMs, prompted: bool, masks: usize) {
        let objects = self.results.of(frame.header.stamp, &self.objects);
        self.shared.lock().metrics.result(ms, masks);
        let (header, image) = (frame.header.clone(), Arc::clone(&frame.image));
        let corner = self.objects.corner;
        (self.events)(Event::Result(FrameResult { header, image, objects, corner, prompted, ms }));
    }
}

pub(super) fn unknown(id: u32) -> Refusal {
    Refusal::new(RefusalKind::UnknownObject, format!("there is no object {id}"))
}

pub(super) fn bad_prompt(message: String) -> Refusal {
    Refusal::new(RefusalKind::BadPrompt, message)
}
