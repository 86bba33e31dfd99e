//! What the threads share: the newest-frame slot, the kept frames and the queues.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::Settings;
use super::clock::Clock;
use super::command::{Detections, FrameRef, Interaction, Refusal, RefusalKind, Segment};
use super::demand::{Demand, EncodeMode};
use super::frame::{Frame, Stamp};
use super::kept::{KeptFrame, KeptFrames, RecentImages};
use super::metrics::{Metrics, Usage};
use super::queue::Queue;

/// A stamp that is older than the newest one by more than this (seconds) is of a clock that was set back; by less, its
/// image is late.
const LATE: f64 = 1.0;

/// Questions with an image of their own that may be encoded and wait for the decoder: each holds an embedding.
const MAX_OWN_ENCODED: usize = 2;

/// Images of detections that may wait for the encoder: what a detector says is to be of now.
const MOST_OF_DETECTIONS: usize = 2;

/// Frames whose answer still lacks objects. More than that would be prompts on as many frames within one turn.
const MAX_UNFINISHED: usize = 4;

/// Images that could not be encoded and whose reasons are remembered for prompts with their stamps: two seconds of a camera.
const MAX_REFUSED_IMAGES: usize = 64;

/// Questions that touch no object: they may overtake each other.
#[derive(Debug)]
pub(super) enum Batch {
    Detections(Detections),
    Segment(Box<Segment>),
    /// A question on an image of its own, which is encoded now.
    OnOwnImage(Arc<KeptFrame>, Box<Segment>),
}

impl Batch {
    fn bytes(&self) -> usize {
        match self {
            Batch::Detections(detections) => detections.bytes(),
            Batch::Segment(segment) => segment.bytes(),
            Batch::OnOwnImage(frame, segment) => frame.bytes() + segment.bytes(),
        }
    }
}

/// What the encoder is to do next.
#[derive(Debug)]
pub(super) enum EncodeJob {
    /// The camera's newest frame.
    Newest(Frame),
    /// A frame that was passed over, for a prompt that carries its stamp.
    Wanted(Frame),
    /// An image that came with a question.
    Own(Frame, Box<Segment>),
}

/// Who needs a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// A prompt of a person or a program: all that are behind it wait with it.
    Prompt,
    Question,
    Detector,
}

/// Whether a prompt's frame is there.
#[derive(Debug)]
pub(super) enum Resolved {
    Ready(Arc<KeptFrame>),
    Wait,
    Refused(Refusal),
}

/// What the decoder's thread holds, as it says itself after each piece of work.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    /// Objects that belong on every new frame.
    pub lasting: usize,
    pub objects: usize,
    pub object_bytes: usize,
    pub results: usize,
    pub result_bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct State {
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
    last_job: usize,
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
    refused_images: VecDeque<(Stamp, String)>,
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

    /// Whether anybody needs the camera's newest frame to be encoded.
    fn newest_is_needed(&self) -> bool {
        let asks = |b: &Batch| !matches!(b, Batch::OnOwnImage(..));
        self.demand.needs_every_frame(self.settings.encode, self.settings.encode_linger, self.clock.now())
            || self.held.lasting > 0
            || !self.interactions.is_empty()
            || self.batches.iter().any(|q| asks(&q.item))
    }

    fn own_may_be_encoded(&self) -> bool {
        let encoded = self.batches.iter().filter(|q| matches!(q.item, Batch::OnOwnImage(..)));
        !self.own.is_empty() && encoded.count() < MAX_OWN_ENCODED
    }

    pub fn has_encode_job(&self) -> bool {
        let newest = self.incoming.is_some() && self.newest_is_needed();
        newest || !self.wanted.is_empty() || self.own_may_be_encoded()
    }

    /// The next job of the encoder. The camera's newest frame, frames that a prompt waits for, and images of questions
    /// take turns: each has at least every third.
    pub fn next_encode_job(&mut self) -> Option<(EncodeJob, Instant)> {
        for step in 1..=3 {
            let kind = (self.last_job + step) % 3;
            let job = match kind {
                0 if self.newest_is_needed() => {
                    self.incoming.take().map(|(frame, since)| (EncodeJob::Newest(frame), since))
                }
                1 => self.wanted.pop().map(|q| (EncodeJob::Wanted(q.item), q.since)),
                2 if self.own_may_be_encoded() => self.own.pop().map(|q| (EncodeJob::Own(q.item.0, q.item.1), q.since)),
                _ => None,
            };
            if job.is_some() {
                self.last_job = kind;
                return job;
            }
        }
        None
    }

    /// Whether a prompt for the newest frame waits for the encoder: newer images came, and nobody needed them until now.
    pub fn newest_is_coming(&self, since: Instant) -> bool {
        let is_at_work = self.encoding_stamp.is_some() && self.encoding_stamp == self.newest_stamp;
        // However long the encoder takes: another image would be answered than the one that was pointed at.
        let fails = self.encoder_failed.is_some_and(|at| at >= since);
        self.settings.encode != EncodeMode::Always
            && self.demand.is_behind
            && (self.incoming.is_some() || is_at_work)
            && self.kept.newest().is_none_or(|f| f.encoded < since)
            && (!fails || self.clock.since(since) < self.settings.prompt_timeout)
    }

    /// Finds the frame that a prompt is meant for, and has it encoded when only its image is left.
    pub fn resolve(&mut self, at: FrameRef, since: Instant, asker: Asker) -> Resolved {
        let timeout = self.settings.prompt_timeout;
        let expired = self.clock.since(since) >= timeout;
        let stamp = match at {
            FrameRef::Newest => {
                return match self.kept.newest() {
                    Some(_) if self.newest_is_coming(since) => Resolved::Wait,
                    Some(frame) => Resolved::Ready(Arc::clone(frame)),
                    None if expired && !self.first_is_coming() => Resolved::Refused(no_image(&self.settings)),
                    None => Resolved::Wait,
                };
            }
            FrameRef::At(stamp) => stamp,
        };
        if let Some(frame) = self.kept.at(stamp) {
            return Resolved::Ready(Arc::clone(frame));
        }
        let in_slot = self.incoming.as_ref().is_some_and(|(f, _)| f.header.stamp == stamp);
        if self.encoding_stamp == Some(stamp) || in_slot || self.is_wanted(stamp, asker) {
            return Resolved::Wait;
        }
        if let Some((_, reason)) = self.refused_images.iter().rev().find(|(s, _)| *s == stamp) {
            let message = format!("the image of stamp {stamp} was refused: {reason}");
            return Resolved::Refused(Refusal::new(RefusalKind::FrameGone, message));
        }
        let still_to_come = self.newest_stamp.is_none_or(|newest| stamp > newest);
        if still_to_come && !expired {
            return Resolved::Wait;
        }
        Resolved::Refused(self.frame_gone(stamp, still_to_come))
    }

    /// Remembers why an image could not be encoded, for prompts with its stamp.
    pub fn remember_refused(&mut self, stamp: Stamp, reason: &str) {
        if self.refused_images.len() == MAX_REFUSED_IMAGES {
            self.refused_images.pop_front();
        }
        self.refused_images.push_back((stamp, reason.to_owned()));
    }

    /// Whether the frame of that stamp waits for the encoder, or its image for room there.
    fn is_wanted(&mut self, stamp: Stamp, asker: Asker) -> bool {
        let mut place = self.wanted.iter().position(|q| q.item.header.stamp == stamp);
        if place.is_none() {
            let Some(bytes) = self.recent.at(stamp).map(Frame::bytes) else { return false };
            let has_room = self.wanted.room(bytes, self.settings.keep.bytes).is_ok();
            let is_taken = match asker {
                // It is the only one: the next prompt is not looked at before it.
                Asker::Prompt => true,
                Asker::Question => has_room,
                Asker::Detector => has_room && self.wanted.len() < MOST_OF_DETECTIONS,
            };
            if let Some(frame) = is_taken.then(|| self.recent.take(stamp)).flatten() {
                place = Some(self.wanted.len());
                self.wanted.push(frame, bytes, self.clock.now());
            }
        }
        if let Some(place) = place.filter(|_| asker == Asker::Prompt) {
            self.wanted.hurry(place);
        }
        true
    }

    /// Whether the prompt whose turn it is is a click in metres that nobody looks at.
    pub fn has_click_to_resolve(&self) -> bool {
        matches!(self.interactions.front().map(|q| &q.item), Some(Interaction::Later(Some(_))))
    }

    fn encoder_busy(&self) -> bool {
        self.encoding_stamp.is_some() || self.incoming.is_some()
    }

    /// Whether the first frame of all is on its way: it may take long (TensorRT builds engines).
    pub fn first_is_coming(&self) -> bool {
        self.kept.is_empty() && self.encoder_busy() && self.encoder_failed.is_none()
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

    fn frame_gone(&self, stamp: Stamp, still_to_come: bool) -> Refusal {
        let message = match self.kept.stamps() {
            Some((oldest, newest)) if still_to_come => {
                let timeout = self.settings.prompt_timeout;
                format!("no image of stamp {stamp} came within {timeout:?}; kept are {oldest} to {newest}")
            }
            Some((oldest, newest)) => format!(
                "the image of stamp {stamp} is gone (kept are {oldest} to {newest}); \
                 a longer 'keep_frames' or 'keep_images' keeps it"
            ),
            None if self.newest_stamp.is_some() => format!("no image of stamp {stamp}: none has been encoded yet"),
            None => format!("no image of stamp {stamp}: none has come yet"),
        };
        Refusal::new(RefusalKind::FrameGone, message)
    }
}

pub(super) fn no_image(settings: &Settings) -> Refusal {
    let Settings { prompt_timeout, image_topic, .. } = settings;
    let message = format!("no image within {prompt_timeout:?}: does the camera publish on '{image_topic}'?");
    Refusal::new(RefusalKind::NoImage, message)
}

/// The state with the conditions that the two threads sleep on.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Work for the encoder.
    pub encode: Condvar,
    /// A click in metres that may be resolved now.
    pub resolve: Condvar,
    /// Work for the decoder: a prompt, or a frame that one waited for.
    pub decode: Condvar,
    /// A newer frame of the camera, for an encoder's thread that waits for its turn.
    pub newer: Notify,
    pub clock: Clock,
}

impl Shared {
    pub fn new(settings: Settings, clock: Clock) -> Self {
        let state =
            Mutex::new(State { settings, clock: clock.clone(), metrics: Metrics::of_new_engine(), ..State::default() });
        Shared { state, clock, ..Shared::default() }
    }

    /// The state. A panic of another thread while it held the lock does not make the state unusable: every change
    /// under the lock is a plain move.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    pub fn wake_all(&self) {
        self.encode.notify_all();
        self.decode.notify_all();
        self.resolve.notify_all();
    }
}
