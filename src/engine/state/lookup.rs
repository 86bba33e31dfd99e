//! The frame that a prompt is meant for: kept, on its way, or gone.

use std::sync::Arc;
use std::time::Instant;

use super::engine_state::State;
use crate::engine::frame::{Frame, Stamp};
use crate::engine::kept::KeptFrame;
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::FrameRef;
use crate::engine::settings::{EncodeMode, Settings};

/// Images of detections that may wait for the encoder: what a detector says is to be of now.
const MOST_OF_DETECTIONS: usize = 2;

/// Images that could not be encoded and whose reasons are remembered for prompts with their stamps: two seconds of a camera.
const MAX_REFUSED_IMAGES: usize = 64;

/// Who needs a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A prompt of a person or a program: all that are behind it wait with it.
    Prompt,
    Question,
    Detector,
}

/// Whether a prompt's frame is there.
#[derive(Debug)]
pub enum Resolved {
    Ready(Arc<KeptFrame>),
    Wait,
    Refused(Refusal),
}

impl State {
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

    fn encoder_busy(&self) -> bool {
        self.encoding_stamp.is_some() || self.incoming.is_some()
    }

    /// Whether the first frame of all is on its way: it may take long (TensorRT builds engines).
    pub fn first_is_coming(&self) -> bool {
        self.kept.is_empty() && self.encoder_busy() && self.encoder_failed.is_none()
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

pub fn no_image(settings: &Settings) -> Refusal {
    let Settings { prompt_timeout, image_topic, .. } = settings;
    let message = format!("no image within {prompt_timeout:?}: does the camera publish on '{image_topic}'?");
    Refusal::new(RefusalKind::NoImage, message)
}
