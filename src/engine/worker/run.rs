//! The decoder's thread: prompts in, masks out. It owns the objects.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tracing::debug_span;

use super::decoder::Worker;
use crate::engine::metrics::Stage;
use crate::engine::objects::{History, Objects, Positions, RecentResults};
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::{Persistence, Segment};
use crate::engine::result::EventSink;
use crate::engine::session::{Decode, Session};
use crate::engine::state::{Held, MOST_PROMPTS, Shared, Work, next, next_interaction};
use crate::pixels::LastUpscaler;

/// While a prompt waits for a frame that never comes, how often its timeout is looked at.
const PATIENCE: Duration = Duration::from_millis(20);

pub fn run(shared: &Shared, decoder: &Session<dyn Decode>, events: &EventSink) {
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
}
