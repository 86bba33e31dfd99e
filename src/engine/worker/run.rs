//! The loop of the decoder's thread, and the dispatch of work.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tracing::debug_span;

use super::decoder::Worker;
use super::generation::leave_decoder;
use crate::engine::metrics::Stage;
use crate::engine::persistence::Persistence;
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::Segment;
use crate::engine::result::EventSink;
use crate::engine::session::{Decode, Session};
use crate::engine::state::{ClientRequest, MAX_PROMPTS_IN_A_ROW, SharedState, Work, WorkerUsage};

/// Time between two checks of the timeout of a request that waits for its frame.
const TIMEOUT_CHECK_PERIOD: Duration = Duration::from_millis(20);

pub fn run(shared: &SharedState, decoder: &Session<dyn Decode>, events: &EventSink) {
    let mut worker = Worker::new(shared, decoder, events);
    loop {
        let work = worker.wait_for_work();
        if matches!(work, Work::Stop) {
            return;
        }
        worker.perform_guarded(work);
        worker.results.end();
        worker.report_usage();
    }
}

impl Worker<'_> {
    fn wait_for_work(&mut self) -> Work {
        let mut state = self.shared.lock();
        loop {
            if state.stop {
                return Work::Stop;
            }
            let work = state.next_work();
            if state.has_deferred_prompt() {
                self.shared.resolve.notify_all();
            }
            // A request may need a frame now, or an encoded image of a request left the queue.
            if state.has_encode_job() {
                self.shared.encode.notify_all();
            }
            if let Some(work) = work {
                self.settings.clone_from(&state.settings);
                return work;
            }
            state = if state.interactions.is_empty() && state.queries.is_empty() {
                self.shared.decode.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.shared.decode.wait_timeout(state, TIMEOUT_CHECK_PERIOD).unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }

    /// Answers the prompts that are ready, [`MAX_PROMPTS_IN_A_ROW`] at most. Long work calls this method between two turns.
    pub(super) fn answer_prompts(&mut self) {
        for _ in 0..MAX_PROMPTS_IN_A_ROW {
            if self.shared.is_stopped() {
                return;
            }
            let work = self.shared.lock().next_interaction();
            self.shared.encode.notify_all();
            self.shared.resolve.notify_all();
            match work {
                Some(work) => self.perform_guarded(work),
                None => return,
            }
        }
    }

    fn report_usage(&self) {
        let objects = || self.objects.iter();
        let (results, result_bytes) = self.results.usage();
        let usage = WorkerUsage {
            persistent_objects: objects().filter(|o| o.persistence != Persistence::Once).count(),
            objects: self.objects.count(),
            object_bytes: objects().chain(self.history.objects()).map(|o| o.bytes()).sum(),
            results,
            result_bytes,
        };
        self.shared.lock().worker_usage = usage;
        // The first persistent object makes the camera's frames needed.
        self.shared.encode.notify_all();
    }

    /// Measures the wait of a request for its turn.
    fn record_wait(&self, since: Instant) {
        let ms = self.shared.clock.ms_since(since);
        self.shared.lock().metrics.record(Stage::PromptWait, ms);
    }

    fn perform_guarded(&mut self, work: Work) {
        let (shared, events) = (self.shared, self.events);
        shared.guard(events, "the decoder's thread", || self.perform(work));
    }

    fn perform(&mut self, work: Work) {
        match work {
            Work::Interaction(interaction, frame, since) => {
                self.record_wait(since);
                let _span = debug_span!("prompt").entered();
                if let Err(refusal) = self.interact(interaction, frame, since) {
                    self.refuse(refusal);
                }
            }
            Work::Detections(frame, detections, since) => {
                self.record_wait(since);
                let _span = debug_span!("detections", boxes = detections.boxes.len()).entered();
                self.detect(&frame, detections, since);
            }
            Work::Request(frame, ClientRequest::Segment(segment), since) => {
                self.record_wait(since);
                let _span = debug_span!("segment").entered();
                let Segment { objects, all_candidates, reply, .. } = *segment;
                let shared = self.shared;
                // Panics are caught here, so that the sender gets a reply.
                let answer = || self.segment(&frame, objects, all_candidates, since);
                let result = shared.catch("the decoder's thread", answer);
                let result = result.unwrap_or_else(|e| Err(Refusal::new(RefusalKind::InternalError, e)));
                if let Err(refusal) = &result {
                    if self.shared.is_stopped() {
                        return;
                    }
                    self.shared.lock().metrics.refuse(refusal.kind);
                }
                // The receiver may have been dropped.
                let _ = reply.send(result);
            }
            Work::Request(frame, ClientRequest::Generation(generation), _) => self.start_generation(frame, generation),
            Work::Batch(turn) => leave_decoder(turn),
            Work::NewFrame(frame) => {
                let _span = debug_span!("frame").entered();
                self.decode_new_frame(&frame);
            }
            Work::UnfinishedFrame(frame) => {
                let _span = debug_span!("frame").entered();
                self.finish_frame(&frame);
            }
            Work::Refuse(refusal, None) => self.refuse(refusal),
            Work::Refuse(refusal, Some(request)) => self.refuse_request(request, refusal),
            Work::RefuseOperator(refusal, request) => self.answer_operator(request.reply, Err(refusal)),
            Work::Stop => {}
        }
    }
}
