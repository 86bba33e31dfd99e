//! The decoder's thread: prompts in, masks out. It owns the objects.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tracing::debug_span;

use super::command::{Event, FrameResult, Persistence, Refusal, RefusalKind, Segment, Source, StageMs};
use super::follow::Positions;
use super::history::History;
use super::kept::KeptFrame;
use super::metrics::Stage;
use super::objects::Objects;
use super::results::RecentResults;
use super::schedule::{MOST_PROMPTS, Work, next, next_interaction};
use super::state::{Held, Shared};
use super::{Decode, EventSink, Session, Settings};
use crate::model::network::MemorySpec;
use crate::model::{DecodeOptions, Decoded};
use crate::pixels::LastUpscaler;
use crate::prompt::Prompt;

/// Objects decoded in one go: one turn. Clicks are answered between two turns.
pub(super) const CHUNK: usize = 32;

/// While a prompt waits for a frame that never comes, how often its timeout is looked at.
const PATIENCE: Duration = Duration::from_millis(20);

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

pub(super) fn run(shared: &Shared, decoder: &Session<dyn Decode>, events: &EventSink) {
    let settings = shared.lock().settings.clone();
    let (low_res_side, mask_threshold, memory) = {
        let mut decoder = decoder.session.blocking_lock();
        (decoder.low_res_side(), decoder.mask_threshold(), decoder.network().map(|n| n.spec()))
    };
    let (objects, history, results) = (Objects::default(), History::default(), RecentResults::default());
    let mut worker = Worker {
        shared,
        decoder,
        low_res_side,
        mask_threshold,
        events,
        settings,
        objects,
        history,
        results,
        memory,
        positions: Positions::default(),
        upscaler: LastUpscaler::default(),
        said_without_memory: false,
    };
    loop {
        let work = worker.wait();
        if matches!(work, Work::Stop) {
            return;
        }
        worker.guarded(work);
        worker.results.rest();
        worker.say_what_is_held();
    }
}

impl Worker<'_> {
    fn wait(&mut self) -> Work {
        let mut state = self.shared.lock();
        loop {
            if state.stop {
                return Work::Stop;
            }
            let work = next(&mut state);
            if state.has_click_to_resolve() {
                self.shared.resolve.notify_all();
            }
            // A frame is wanted now, or there is room for the next one.
            if state.has_encode_job() {
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

    fn guarded(&mut self, work: Work) {
        let (shared, events) = (self.shared, self.events);
        shared.guard(events, "the decoder's thread", || self.work(work));
    }

    /// Between two turns of a long piece of work: prompts of people that have become due, so many in a row at most.
    pub(super) fn answer_clicks(&mut self) {
        for _ in 0..MOST_PROMPTS {
            if self.shared.is_stopped() {
                return;
            }
            let work = next_interaction(&mut self.shared.lock());
            self.shared.encode.notify_all();
            self.shared.resolve.notify_all();
            match work {
                Some(work) => self.guarded(work),
                None => return,
            }
        }
    }

    fn say_what_is_held(&self) {
        let objects = || self.objects.iter();
        let (results, result_bytes) = self.results.usage();
        let held = Held {
            lasting: objects().filter(|o| o.persistence != Persistence::Once).count(),
            objects: self.objects.count(),
            object_bytes: objects().chain(self.history.objects()).map(|o| o.bytes()).sum(),
            results,
            result_bytes,
        };
        self.shared.lock().held = held;
        // Frames may be needed from now on.
        self.shared.encode.notify_all();
    }

    /// How long it took until it was this prompt's turn.
    fn waited(&self, since: Instant) {
        let ms = self.shared.clock.ms_since(since);
        self.shared.lock().metrics.record(Stage::PromptWait, ms);
    }

    fn work(&mut self, work: Work) {
        match work {
            Work::Interaction(what, frame, since) => {
                self.waited(since);
                let _span = debug_span!("prompt").entered();
                if let Err(refusal) = self.interact(what, frame, since) {
                    self.refuse(refusal);
                }
            }
            Work::Detections(frame, detections, since) => {
                self.waited(since);
                let _span = debug_span!("detections", boxes = detections.boxes.len()).entered();
                self.detect(&frame, detections, since);
            }
            Work::Segment(frame, segment, since) => {
                self.waited(since);
                let _span = debug_span!("segment").entered();
                let Segment { objects, all_candidates, reply, .. } = *segment;
                let shared = self.shared;
                // Caught here, so that the question has an answer.
                let answer = || self.segment(&frame, objects, all_candidates, since);
                let result = shared.catch("the decoder's thread", answer);
                let result = result.unwrap_or_else(|e| Err(Refusal::new(RefusalKind::InternalError, e)));
                if let Err(refusal) = &result {
                    if self.shared.is_stopped() {
                        return;
                    }
                    self.shared.lock().metrics.refuse(refusal.kind);
                }
                // Whoever asked may be gone by now.
                let _ = reply.send(result);
            }
            Work::Fresh(frame) => {
                let _span = debug_span!("frame").entered();
                self.decode_current(&frame);
            }
            Work::Finish(frame) => {
                let _span = debug_span!("frame").entered();
                self.finish(&frame);
            }
            Work::Refused(refusal, None) => self.refuse(refusal),
            Work::Refused(refusal, Some(segment)) => {
                self.shared.lock().metrics.refuse(refusal.kind);
                let _ = segment.reply.send(Err(refusal));
            }
            Work::Stop => {}
        }
    }

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
