//! Lookup of the frame that a prompt refers to: kept, pending, or gone.

use std::sync::Arc;
use std::time::Instant;

use super::engine_state::EngineState;
use crate::engine::frame::{Frame, Stamp};
use crate::engine::kept::KeptFrame;
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::FrameRef;
use crate::engine::settings::{EncodeMode, Settings};

/// Most images of detections that may wait for the encoder, so that detections refer to the present.
const MAX_DETECTION_IMAGES: usize = 2;

/// Number of images that could not be encoded whose reasons are stored: about two seconds of a camera.
const MAX_REFUSED_IMAGES: usize = 64;

/// Kind of the request that needs a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    /// Prompt of a person or a program. All prompts behind it wait with it.
    Prompt,
    /// `segment` request.
    Segment,
    /// Message of a detector.
    Detector,
}

/// Result of the lookup of a frame.
#[derive(Debug)]
pub enum FrameLookup {
    /// The frame is kept.
    Ready(Arc<KeptFrame>),
    /// The frame has not arrived yet, or waits for the encoder.
    Pending,
    /// The frame is gone or did not arrive in time.
    Refused(Refusal),
}

impl EngineState {
    /// Returns whether a prompt for the newest frame waits for the encoder, because newer images arrived that were not needed
    /// before.
    pub fn newest_is_pending(&self, since: Instant) -> bool {
        let is_encoding = self.encoding_stamp.is_some() && self.encoding_stamp == self.newest_stamp;
        // The prompt waits as long as the encoder takes: the kept frame is not the image that was prompted.
        let is_failing = self.encoder_failed.is_some_and(|at| at >= since);
        self.settings.encode != EncodeMode::Always
            && self.demand.is_behind
            && (self.incoming.is_some() || is_encoding)
            && self.kept.newest().is_none_or(|f| f.encoded < since)
            && (!is_failing || self.clock.since(since) < self.settings.prompt_timeout)
    }

    /// Looks up the frame that a prompt refers to. If only its image is kept, the image is queued for the encoder.
    pub fn find_frame(&mut self, at: FrameRef, since: Instant, requester: Requester) -> FrameLookup {
        let timeout = self.settings.prompt_timeout;
        let expired = self.clock.since(since) >= timeout;
        let stamp = match at {
            FrameRef::Newest => {
                return match self.kept.newest() {
                    Some(_) if self.newest_is_pending(since) => FrameLookup::Pending,
                    Some(frame) => FrameLookup::Ready(Arc::clone(frame)),
                    None if expired && !self.first_is_pending() => FrameLookup::Refused(no_image(&self.settings)),
                    None => FrameLookup::Pending,
                };
            }
            FrameRef::At(stamp) => stamp,
        };
        if let Some(frame) = self.kept.at(stamp) {
            return FrameLookup::Ready(Arc::clone(frame));
        }
        let in_slot = self.incoming.as_ref().is_some_and(|(f, _)| f.header.stamp == stamp);
        if self.encoding_stamp == Some(stamp) || in_slot || self.queue_wanted(stamp, requester) {
            return FrameLookup::Pending;
        }
        if let Some((_, reason)) = self.refused_images.iter().rev().find(|(s, _)| *s == stamp) {
            let message = format!("the image of stamp {stamp} was refused: {reason}");
            return FrameLookup::Refused(Refusal::new(RefusalKind::FrameGone, message));
        }
        let may_arrive = self.newest_stamp.is_none_or(|newest| stamp > newest);
        if may_arrive && !expired {
            return FrameLookup::Pending;
        }
        FrameLookup::Refused(self.frame_gone(stamp, may_arrive))
    }

    /// Stores why an image could not be encoded, for prompts with its stamp.
    pub fn store_refused_image(&mut self, stamp: Stamp, reason: &str) {
        if self.refused_images.len() == MAX_REFUSED_IMAGES {
            self.refused_images.pop_front();
        }
        self.refused_images.push_back((stamp, reason.to_owned()));
    }

    /// Returns whether the image of that stamp is kept, and queues it for the encoder if there is room.
    fn queue_wanted(&mut self, stamp: Stamp, requester: Requester) -> bool {
        let mut index = self.wanted.iter().position(|q| q.item.header.stamp == stamp);
        if index.is_none() {
            let Some(bytes) = self.recent.at(stamp).map(Frame::bytes) else { return false };
            let has_room = self.wanted.check_room(bytes, self.settings.keep.bytes).is_ok();
            let is_accepted = match requester {
                // At most one prompt waits for an image: prompts are processed in order.
                Requester::Prompt => true,
                Requester::Segment => has_room,
                Requester::Detector => has_room && self.wanted.len() < MAX_DETECTION_IMAGES,
            };
            if let Some(frame) = is_accepted.then(|| self.recent.take(stamp)).flatten() {
                index = Some(self.wanted.len());
                self.wanted.push(frame, bytes, self.clock.now());
            }
        }
        if let Some(index) = index.filter(|_| requester == Requester::Prompt) {
            self.wanted.move_to_front(index);
        }
        true
    }

    fn is_encoder_busy(&self) -> bool {
        self.encoding_stamp.is_some() || self.incoming.is_some()
    }

    /// Returns whether the first frame since the start is being encoded. This may take minutes, while TensorRT builds its
    /// engines.
    pub fn first_is_pending(&self) -> bool {
        self.kept.is_empty() && self.is_encoder_busy() && self.encoder_failed.is_none()
    }

    /// Returns why there is no frame of that stamp. `may_arrive`: the stamp is newer than all frames so far.
    fn frame_gone(&self, stamp: Stamp, may_arrive: bool) -> Refusal {
        let message = match self.kept.stamps() {
            Some((oldest, newest)) if may_arrive => {
                let timeout = self.settings.prompt_timeout;
                format!("no image of stamp {stamp} came within {timeout:?}; kept are {oldest} to {newest}")
            }
            Some((oldest, newest)) => format!(
                "the image of stamp {stamp} is gone (kept are {oldest} to {newest}); \
                 a larger 'keep.frames' or 'keep.images' keeps it"
            ),
            None if self.newest_stamp.is_some() => format!("no image of stamp {stamp}: none has been encoded yet"),
            None => format!("no image of stamp {stamp}: none has come yet"),
        };
        Refusal::new(RefusalKind::FrameGone, message)
    }
}

/// Returns the refusal of a prompt without any frame.
pub fn no_image(settings: &Settings) -> Refusal {
    let Settings { prompt_timeout, image_topic, .. } = settings;
    let message = format!("no image within {prompt_timeout:?}: does the camera publish on '{image_topic}'?");
    Refusal::new(RefusalKind::NoImage, message)
}
