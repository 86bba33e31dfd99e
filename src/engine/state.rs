//! What the threads share: the newest-frame slot, the kept frames and the queues.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Settings;
use super::command::{Detections, FrameRef, Interaction, Refusal, RefusalKind, Segment};
use super::frame::{Frame, Stamp};
use super::kept::{KeptFrame, KeptFrames, RecentImages};
use super::metrics::Metrics;

/// Prompts that may wait at the same time; a program that floods the node must not fill its memory.
const MAX_QUEUE: usize = 256;

/// Something that waits for its turn, or for its frame.
#[derive(Debug)]
pub(super) struct Queued<T> {
    pub item: T,
    pub since: Instant,
}

/// Questions that touch no object: they may overtake each other.
#[derive(Debug)]
pub(super) enum Batch {
    Detections(Detections),
    Segment(Box<Segment>),
    /// A question on an image of its own, which is encoded now.
    OnOwnImage(Arc<KeptFrame>, Box<Segment>),
}

/// What the encoder is to do next.
#[derive(Debug)]
pub(super) enum EncodeJob {
    /// The camera's newest frame.
    Newest(Arc<Frame>, Instant),
    /// A frame that was passed over, for a prompt that carries its stamp.
    Wanted(Arc<Frame>, Instant),
    /// An image that came with a question.
    Own(Frame, Box<Segment>, Instant),
}

/// Whether a prompt's frame is there.
#[derive(Debug)]
pub(super) enum Resolved {
    Ready(Arc<KeptFrame>),
    Wait,
    Refused(Refusal),
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub stop: bool,
    pub settings: Settings,
    pub metrics: Metrics,
    /// The newest-frame slot: a camera faster than the encoder costs no memory and no delay.
    pub incoming: Option<(Arc<Frame>, Instant)>,
    pub wanted: VecDeque<EncodeJob>,
    /// Whether the last job was a wanted frame: they alternate with the camera's, so that neither starves.
    pub last_was_wanted: bool,
    /// Stamp of the frame on the encoder.
    pub encoding: Option<Stamp>,
    pub recent: RecentImages,
    pub newest_stamp: Option<Stamp>,
    pub kept: KeptFrames,
    /// A newly encoded frame of the camera that the current objects were not decoded on yet.
    pub fresh: Option<Arc<KeptFrame>>,
    /// Worked off strictly in order.
    pub interactions: VecDeque<Queued<Interaction>>,
    pub batches: VecDeque<Queued<Batch>>,
}

impl State {
    /// Queues a prompt.
    ///
    /// # Errors
    /// Too many are waiting already.
    pub fn queue_interaction(&mut self, item: Interaction) -> Result<(), Refusal> {
        let full = full(self.interactions.len());
        full.map(|()| self.interactions.push_back(Queued { item, since: Instant::now() }))
    }

    /// As [`State::queue_interaction`]; a question that does not fit comes back, so that it can be answered.
    pub fn queue_batch(&mut self, item: Batch) -> Result<(), (Batch, Refusal)> {
        match full(self.batches.len()) {
            Ok(()) => {
                self.batches.push_back(Queued { item, since: Instant::now() });
                Ok(())
            }
            Err(refusal) => Err((item, refusal)),
        }
    }

    /// Whether another image of its own may be encoded for a question.
    pub fn room_to_encode(&self) -> Result<(), Refusal> {
        full(self.wanted.len())
    }

    pub fn has_encode_job(&self) -> bool {
        self.incoming.is_some() || !self.wanted.is_empty()
    }

    /// The next job of the encoder: frames somebody waits for and the camera's newest one take turns.
    pub fn next_encode_job(&mut self) -> Option<EncodeJob> {
        let newest_first = self.last_was_wanted || self.wanted.is_empty();
        let newest = |s: &mut State| s.incoming.take().map(|(frame, since)| EncodeJob::Newest(frame, since));
        let job = if newest_first {
            newest(self).or_else(|| self.wanted.pop_front())
        } else {
            self.wanted.pop_front().or_else(|| newest(self))
        };
        self.last_was_wanted = matches!(job, Some(EncodeJob::Wanted(..) | EncodeJob::Own(..)));
        job
    }

    /// Finds the frame that a prompt is meant for, and has it encoded when only its image is left.
    pub fn resolve(&mut self, at: FrameRef, since: Instant) -> Resolved {
        let timeout = self.settings.prompt_timeout;
        let expired = since.elapsed() >= timeout;
        let stamp = match at {
            FrameRef::Newest => {
                return match self.kept.newest() {
                    Some(frame) => Resolved::Ready(Arc::clone(frame)),
                    None if expired && !self.encoder_busy() => Resolved::Refused(no_image(timeout)),
                    None => Resolved::Wait,
                };
            }
            FrameRef::At(stamp) => stamp,
        };
        if let Some(frame) = self.kept.at(stamp) {
            return Resolved::Ready(Arc::clone(frame));
        }
        let is_wanted = |j: &EncodeJob| matches!(j, EncodeJob::Wanted(f, _) if f.header.stamp == stamp);
        let in_slot = self.incoming.as_ref().is_some_and(|(f, _)| f.header.stamp == stamp);
        if self.encoding == Some(stamp) || in_slot || self.wanted.iter().any(is_wanted) {
            return Resolved::Wait;
        }
        if let Some(frame) = self.recent.take(stamp) {
            self.wanted.push_back(EncodeJob::Wanted(frame, Instant::now()));
            return Resolved::Wait;
        }
        let still_to_come = self.newest_stamp.is_none_or(|newest| stamp > newest);
        if still_to_come && !expired {
            return Resolved::Wait;
        }
        Resolved::Refused(self.frame_gone(stamp, still_to_come))
    }

    pub fn encoder_busy(&self) -> bool {
        self.encoding.is_some() || self.incoming.is_some()
    }

    fn frame_gone(&self, stamp: Stamp, still_to_come: bool) -> Refusal {
        let message = match (self.kept.oldest_stamp(), self.newest_stamp) {
            (Some(oldest), Some(newest)) if still_to_come => {
                format!(
                    "no image of stamp {stamp} came within {:?}; kept are {oldest} to {newest}",
                    self.settings.prompt_timeout
                )
            }
            (Some(oldest), Some(newest)) => format!(
                "the image of stamp {stamp} is gone (kept are {oldest} to {newest}); \
                 a longer 'keep_frames' or 'keep_images' keeps it"
            ),
            _ => format!("no image of stamp {stamp}: none has come yet"),
        };
        Refusal::new(RefusalKind::FrameGone, message)
    }
}

pub(super) fn no_image(timeout: Duration) -> Refusal {
    Refusal::new(RefusalKind::NoImage, format!("no image within {timeout:?}: does the camera publish on 'image'?"))
}

fn full(len: usize) -> Result<(), Refusal> {
    if len < MAX_QUEUE {
        return Ok(());
    }
    Err(Refusal::new(RefusalKind::QueueFull, format!("{MAX_QUEUE} prompts are waiting already")))
}

/// The state with the conditions that the two threads sleep on.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Work for the encoder.
    pub encode: Condvar,
    /// Work for the decoder: a prompt, or a frame that one waited for.
    pub decode: Condvar,
}

impl Shared {
    pub fn new(settings: Settings) -> Self {
        Shared { state: Mutex::new(State { settings, ..State::default() }), ..Shared::default() }
    }

    /// The state. A panic of another thread while it held the lock does not make the state unusable: every change
    /// under the lock is a plain move.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn wake_all(&self) {
        self.encode.notify_all();
        self.decode.notify_all();
    }
}
