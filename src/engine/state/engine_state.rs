//! What the threads share: the newest-frame slot, the kept frames and the queues.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::demand::Demand;
use super::query::Batch;
use super::queue::Queue;
use super::recent_images::RecentImages;
use crate::engine::clock::Clock;
use crate::engine::frame::{Frame, Stamp};
use crate::engine::kept::{KeptFrame, KeptFrames};
use crate::engine::metrics::{Metrics, Usage};
use crate::engine::refusal::Refusal;
use crate::engine::request::{Interaction, Segment};
use crate::engine::settings::Settings;

/// A stamp that is older than the newest one by more than this (seconds) is of a clock that was set back; by less, its
/// image is late.
const LATE: f64 = 1.0;

/// Frames whose answer still lacks objects. More than that would be prompts on as many frames within one turn.
const MAX_UNFINISHED: usize = 4;

/// What the decoder's thread holds, as it says itself after each piece of work.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    /// Objects that belong on every new frame.
    pub lasting: usize,
    pub objects: usize,
    pub object_bytes: usize,
    pub results: usize,
    pub result_bytes: usize,
}

#[derive(Debug, Default)]
pub struct State {
    pub stop: bool,
    pub clock: Clock,
    pub settings: Settings,
    pub metrics: Metrics,
    /// The newest-frame slot: a camera faster than the encoder costs no memory and no delay.
    pub incoming: Option<(Frame, Instant)>,
    /// Frames that were passed over, for prompts that carry their stamps; that of the prompt whose turn it is first.
    pub wanted: Queue<Frame>,
    /// Images that came with questions.
    pub own: Queue<(Frame, Box<Segment>)>,
    /// Which of the three the encoder did last: they take turns, so that none starves.
    pub(super) last_job: usize,
    /// Whether the encoder is at work, or about to be.
    pub encoding: bool,
    /// Stamp of the camera's frame on the encoder.
    pub encoding_stamp: Option<Stamp>,
    pub demand: Demand,
    /// When the last frame of the camera could not be encoded; `None` when it could.
    pub encoder_failed: Option<Instant>,
    /// Encoded frames since the start.
    pub encoded: u64,
    pub recent: RecentImages,
    /// Stamps of the last images that could not be encoded, with the reasons.
    pub(super) refused_images: VecDeque<(Stamp, String)>,
    pub newest_stamp: Option<Stamp>,
    pub kept: KeptFrames,
    /// A newly encoded frame of the camera that the current objects were not decoded on yet.
    pub fresh: Option<Arc<KeptFrame>>,
    /// Frames whose answer to a prompt lacks objects that others wait longer for.
    pub unfinished: VecDeque<Arc<KeptFrame>>,
    /// When the click in metres whose turn it is was taken to be resolved.
    pub resolving: Option<Instant>,
    /// When it was tried last, by the system's clock: this is a period, not a time-out.
    pub looked_at_click: Option<Instant>,
    /// Worked off strictly in order.
    pub interactions: Queue<Interaction>,
    pub batches: Queue<Batch>,
    /// Prompts since somebody else had a turn.
    pub prompts_in_a_row: usize,
    /// Whether that was a batch.
    pub last_was_batch: bool,
    /// Whether the last frame was one whose answer lacked objects, not a new one.
    pub last_was_unfinished: bool,
    pub held: Held,
}

impl State {
    /// Takes a frame of the camera into the newest-frame slot; what was there is kept as an image.
    pub fn take_frame(&mut self, frame: Frame) {
        self.metrics.frames_in += 1;
        let (stamp, limits) = (frame.header.stamp, self.settings.keep);
        let late = |newest: Stamp| stamp < newest && newest.seconds() - stamp.seconds() <= LATE;
        if self.newest_stamp.is_some_and(late) {
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

    /// Keeps a frame of the camera that was encoded as the newest one.
    pub fn keep_newest(&mut self, frame: Arc<KeptFrame>) {
        // What came meanwhile is newer; nobody may need it.
        self.demand.is_behind = self.incoming.is_some() && !self.newest_is_needed();
        self.encoder_failed = None;
        self.fresh = Some(Arc::clone(&frame));
        let limits = self.settings.keep;
        self.kept.insert(frame, &limits);
    }

    /// Queues a prompt.
    ///
    /// # Errors
    /// Too many are waiting already.
    pub fn queue_interaction(&mut self, item: Interaction) -> Result<(), Refusal> {
        self.demand.pointed = Some(self.clock.now());
        let bytes = item.bytes();
        self.interactions.room(bytes, self.settings.keep.bytes)?;
        self.interactions.push(item, bytes, self.clock.now());
        Ok(())
    }

    /// As [`State::queue_interaction`]; a question that does not fit comes back, so that it can be answered.
    pub fn queue_batch(&mut self, item: Batch) -> Result<(), (Batch, Refusal)> {
        match self.batches.room(item.bytes(), self.settings.keep.bytes) {
            Ok(()) => {
                self.add_batch(item, self.clock.now());
                Ok(())
            }
            Err(refusal) => Err((item, refusal)),
        }
    }

    /// Queues what has its place already.
    pub fn add_batch(&mut self, item: Batch, since: Instant) {
        let bytes = item.bytes();
        self.batches.push(item, bytes, since);
    }

    /// Queues a question on an image of its own.
    pub fn queue_own(&mut self, frame: Frame, segment: Box<Segment>) -> Result<(), (Box<Segment>, Refusal)> {
        let bytes = frame.bytes() + segment.bytes();
        match self.own.room(bytes, self.settings.keep.bytes) {
            Ok(()) => {
                self.own.push((frame, segment), bytes, self.clock.now());
                Ok(())
            }
            Err(refusal) => Err((segment, refusal)),
        }
    }

    /// The objects that the answer on this frame lacks are decoded when it is their turn.
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

    pub fn usage(&self) -> Usage {
        Usage {
            kept_frames: self.kept.len(),
            kept_bytes: self.kept.bytes(),
            images: self.recent.count(),
            image_bytes: self.recent.bytes(),
            prompts: self.interactions.len(),
            prompt_bytes: self.interactions.bytes(),
            batches: self.batches.len(),
            batch_bytes: self.batches.bytes(),
            to_encode: self.wanted.len() + self.own.len(),
            to_encode_bytes: self.wanted.bytes() + self.own.bytes(),
            is_idle: !self.newest_is_needed(),
            in_flight: usize::from(self.incoming.is_some()) + usize::from(self.encoding),
            objects: self.held.objects,
            object_bytes: self.held.object_bytes,
            results: self.held.results,
            result_bytes: self.held.result_bytes,
        }
    }
}
