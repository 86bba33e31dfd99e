//! State that the threads share: the newest-frame slot, the kept frames and the queues.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::client_request::ClientRequest;
use super::demand::Demand;
use super::generations::Generations;
use super::query::Query;
use super::queue::Queue;
use super::recent_images::RecentImages;
use crate::engine::clock::Clock;
use crate::engine::frame::{Frame, Stamp};
use crate::engine::kept::{KeptFrame, KeptFrames};
use crate::engine::metrics::{Metrics, Usage};
use crate::engine::refusal::Refusal;
use crate::engine::request::Interaction;
use crate::engine::settings::Settings;

/// Largest age of a late image against the newest stamp, in seconds. An older stamp means that the clock was set back.
const MAX_LATENESS: f64 = 1.0;

/// Most frames whose answers lack objects. More of them would need prompts on as many frames within one turn.
const MAX_UNFINISHED: usize = 4;

/// Objects and results of the decoder's thread. It reports them after each piece of work.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorkerUsage {
    /// Objects that are decoded on every new frame.
    pub persistent_objects: usize,
    pub objects: usize,
    pub object_bytes: usize,
    pub results: usize,
    pub result_bytes: usize,
}

/// State that the threads share.
#[derive(Debug, Default)]
pub struct EngineState {
    pub stop: bool,
    pub clock: Clock,
    pub settings: Settings,
    pub metrics: Metrics,
    /// Newest-frame slot, with the arrival of the frame: a camera faster than the encoder causes no queue and no delay.
    pub incoming: Option<(Frame, Instant)>,
    /// Frames that were passed over, to be encoded for prompts that carry their stamps. The frame of the first prompt is the
    /// first.
    pub wanted: Queue<Frame>,
    /// Requests with images of their own.
    pub request_images: Queue<(Frame, ClientRequest)>,
    /// Kind of the last job of the encoder. The kinds take turns, so that none starves.
    pub(super) last_job: usize,
    /// The encoder encodes an image or waits for its session.
    pub encoding: bool,
    /// Stamp of the camera's frame on the encoder.
    pub encoding_stamp: Option<Stamp>,
    pub demand: Demand,
    /// Time at which encoding the last frame of the camera failed; `None` if it succeeded.
    pub encoder_failed: Option<Instant>,
    /// Number of encoded frames since the start.
    pub encoded: u64,
    pub recent: RecentImages,
    /// Stamps of the last images that could not be encoded, and the reasons.
    pub(super) refused_images: VecDeque<(Stamp, String)>,
    pub newest_stamp: Option<Stamp>,
    pub kept: KeptFrames,
    /// New frame of the camera on which the current objects were not decoded yet.
    pub fresh: Option<Arc<KeptFrame>>,
    /// Frames whose answer to a prompt lacks objects.
    pub unfinished: VecDeque<Arc<KeptFrame>>,
    /// Time at which the resolver took the first deferred prompt.
    pub resolving: Option<Instant>,
    /// Time of the last attempt to resolve that prompt, by the system's clock: it limits a period, not a time-out.
    pub last_resolve_attempt: Option<Instant>,
    /// Prompts, processed strictly in order.
    pub interactions: Queue<Interaction>,
    pub queries: Queue<Query>,
    pub generations: Generations,
    /// Number of prompts since the last turn of another kind.
    pub prompts_in_a_row: usize,
    /// The last turn of another kind was a query.
    pub last_was_query: bool,
    /// The last turn of a frame was an unfinished frame, not a new frame.
    pub last_was_unfinished: bool,
    pub worker_usage: WorkerUsage,
}

impl EngineState {
    /// Puts a frame of the camera into the newest-frame slot. The replaced frame is kept as an image.
    pub fn push_frame(&mut self, frame: Frame) {
        self.metrics.frames_in += 1;
        let (stamp, limits) = (frame.header.stamp, self.settings.keep);
        let is_late = |newest: Stamp| stamp < newest && newest.seconds() - stamp.seconds() <= MAX_LATENESS;
        if self.newest_stamp.is_some_and(is_late) {
            self.metrics.frames_late += 1;
            self.recent.push(frame, &limits);
            return;
        }
        self.newest_stamp = Some(stamp);
        let is_needed = self.newest_is_needed();
        self.demand.is_behind |= !is_needed;
        if let Some((passed_over, _)) = self.incoming.replace((frame, self.clock.now())) {
            match is_needed {
                true => self.metrics.frames_superseded += 1,
                false => self.metrics.frames_unneeded += 1,
            }
            self.recent.push(passed_over, &limits);
        }
    }

    /// Keeps an encoded frame of the camera as the newest frame.
    pub fn keep_newest(&mut self, frame: Arc<KeptFrame>) {
        // A newer frame may have arrived in the meantime, which may not be needed.
        self.demand.is_behind = self.incoming.is_some() && !self.newest_is_needed();
        self.encoder_failed = None;
        self.fresh = Some(Arc::clone(&frame));
        let limits = self.settings.keep;
        self.kept.insert(frame, &limits);
    }

    /// Queues a prompt.
    ///
    /// # Errors
    /// The queue is full.
    pub fn queue_interaction(&mut self, item: Interaction) -> Result<(), Refusal> {
        self.demand.last_prompt = Some(self.clock.now());
        let bytes = item.bytes();
        self.interactions.check_room(bytes, self.settings.keep.bytes)?;
        self.interactions.push(item, bytes, self.clock.now());
        Ok(())
    }

    /// Queues a query.
    ///
    /// # Errors
    /// The queue is full. The query is returned, so that its sender gets a reply.
    pub fn queue_query(&mut self, item: Query) -> Result<(), (Query, Refusal)> {
        match self.queries.check_room(item.bytes(), self.settings.keep.bytes) {
            Ok(()) => {
                self.add_query(item, self.clock.now());
                Ok(())
            }
            Err(refusal) => Err((item, refusal)),
        }
    }

    /// Queues a query without a check of the limits.
    pub fn add_query(&mut self, item: Query, since: Instant) {
        let bytes = item.bytes();
        self.queries.push(item, bytes, since);
    }

    /// Queues a request with an image of its own.
    ///
    /// # Errors
    /// The queue is full. The request is returned, so that its client gets a reply.
    pub fn queue_request_image(
        &mut self,
        frame: Frame,
        request: ClientRequest,
    ) -> Result<(), (ClientRequest, Refusal)> {
        let bytes = frame.bytes() + request.bytes();
        match self.request_images.check_room(bytes, self.settings.keep.bytes) {
            Ok(()) => {
                self.request_images.push((frame, request), bytes, self.clock.now());
                Ok(())
            }
            Err(refusal) => Err((request, refusal)),
        }
    }

    /// Queues a frame whose answer lacks objects.
    pub fn finish_later(&mut self, frame: &Arc<KeptFrame>) {
        let is_fresh = self.fresh.as_ref().is_some_and(|f| f.number == frame.number);
        if is_fresh || self.unfinished.iter().any(|f| f.number == frame.number) {
            return;
        }
        if self.unfinished.len() == MAX_UNFINISHED {
            self.unfinished.pop_front();
        }
        self.unfinished.push_back(Arc::clone(frame));
    }

    /// Returns the current memory and queues.
    pub fn usage(&self) -> Usage {
        Usage {
            kept_frames: self.kept.len(),
            kept_bytes: self.kept.bytes(),
            images: self.recent.count(),
            image_bytes: self.recent.bytes(),
            prompts: self.interactions.len(),
            prompt_bytes: self.interactions.bytes(),
            queries: self.queries.len(),
            query_bytes: self.queries.bytes(),
            generations: self.generations.count(),
            to_encode: self.wanted.len() + self.request_images.len(),
            to_encode_bytes: self.wanted.bytes() + self.request_images.bytes(),
            is_idle: !self.newest_is_needed(),
            in_flight: usize::from(self.incoming.is_some()) + usize::from(self.encoding),
            objects: self.worker_usage.objects,
            object_bytes: self.worker_usage.object_bytes,
            results: self.worker_usage.results,
            result_bytes: self.worker_usage.result_bytes,
        }
    }
}
