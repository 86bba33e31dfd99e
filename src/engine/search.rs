//! Frames that the owner of the engine searches itself, for objects that phrases name.

use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use super::kept::KeptFrame;
use super::metrics::TextCounts;
use super::refusal::Refusal;
use super::request::{Detections, FrameRef};
use super::settings::EncodeMode;
use super::state::{FrameLookup, Query, Requester};

impl Engine {
    /// Returns the newest encoded frame, unless its number is `seen` or nobody would see the answer. Without such a frame the
    /// next frame of the camera is encoded in every [`EncodeMode`], until [`Engine::end_search`].
    pub fn frame_to_search(&self, seen: Option<u64>) -> Option<Arc<KeptFrame>> {
        let mut state = self.shared.lock();
        let is_wanted = state.demand.has_subscribers || state.settings.encode == EncodeMode::Always;
        let is_current = is_wanted && !state.demand.is_behind;
        let frame = state.kept.newest().filter(|frame| is_current && seen != Some(frame.number)).cloned();
        state.demand.awaits_frame = is_wanted && frame.is_none();
        let has_job = state.demand.awaits_frame && state.has_encode_job();
        drop(state);
        if has_job {
            self.shared.encode.notify_all();
        }
        frame
    }

    /// Ends the wait of [`Engine::frame_to_search`] for a frame.
    pub fn end_search(&self) {
        self.shared.lock().demand.awaits_frame = false;
    }

    /// Returns the frame of a request that came at `since`, or `None` while the frame has not arrived or waits for the encoder.
    ///
    /// # Errors
    /// The frame is gone, or did not arrive in time. The refusal is not counted.
    pub fn find_frame(&self, at: FrameRef, since: Instant) -> Result<Option<Arc<KeptFrame>>, Refusal> {
        let lookup = self.shared.lock().find_frame(at, since, Requester::Segment);
        self.shared.encode.notify_all();
        match lookup {
            FrameLookup::Ready(frame) => Ok(Some(frame)),
            FrameLookup::Pending => Ok(None),
            FrameLookup::Refused(refusal) => Err(refusal),
        }
    }

    /// Queues boxes on a frame that the caller holds. The frame need not be kept any more.
    ///
    /// # Errors
    /// Too many messages are waiting. The refusal is counted.
    pub fn detections_on(&self, frame: Arc<KeptFrame>, detections: Detections) -> Result<(), Refusal> {
        self.queue_detections(Query::FrameDetections(frame, detections))
    }

    /// Changes the counters of searches.
    pub fn count_text(&self, change: impl FnOnce(&mut TextCounts)) {
        change(&mut self.shared.lock().metrics.text);
    }
}
