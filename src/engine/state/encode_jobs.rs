//! The next job of the encoder.

use std::time::Instant;

use super::client_request::ClientRequest;
use super::engine_state::EngineState;
use super::generations::CropJob;
use super::query::Query;
use crate::engine::frame::Frame;

/// Most encoded images of requests that may wait for the decoder. Each holds an embedding.
const MAX_ENCODED_REQUEST_IMAGES: usize = 2;

/// Kinds of jobs of the encoder.
const JOB_KINDS: usize = 4;

/// A job of the encoder.
#[derive(Debug)]
pub enum EncodeJob {
    /// Newest frame of the camera.
    Newest(Frame),
    /// Frame that was passed over, for a prompt that carries its stamp.
    Wanted(Frame),
    /// Image of a request.
    RequestImage(Frame, ClientRequest),
    /// Part of an image that a generation waits for.
    Crop(CropJob),
}

impl EngineState {
    /// Returns whether the camera's newest frame must be encoded.
    pub(super) fn newest_is_needed(&self) -> bool {
        let needs_camera = |query: &Query| !matches!(query, Query::EncodedImage(..) | Query::FrameDetections(..));
        self.demand.needs_every_frame(self.settings.encode, self.settings.encode_linger, self.clock.now())
            || self.demand.awaits_frame
            || self.worker_usage.persistent_objects > 0
            || !self.interactions.is_empty()
            || self.queries.iter().any(|q| needs_camera(&q.item))
    }

    fn request_image_may_be_encoded(&self) -> bool {
        let encoded = self.queries.iter().filter(|q| matches!(q.item, Query::EncodedImage(..)));
        !self.request_images.is_empty() && encoded.count() < MAX_ENCODED_REQUEST_IMAGES
    }

    pub fn has_encode_job(&self) -> bool {
        let newest = self.incoming.is_some() && self.newest_is_needed();
        newest || !self.wanted.is_empty() || self.request_image_may_be_encoded() || self.generations.crop.is_some()
    }

    /// Takes the next job of the encoder, with the arrival of its image. The camera's newest frame, frames that a prompt
    /// waits for, images of requests and crops of a generation take turns: each kind has at least every fourth turn.
    pub fn next_encode_job(&mut self) -> Option<(EncodeJob, Instant)> {
        for step in 1..=JOB_KINDS {
            let kind = (self.last_job + step) % JOB_KINDS;
            let job = match kind {
                0 if self.newest_is_needed() => {
                    self.incoming.take().map(|(frame, since)| (EncodeJob::Newest(frame), since))
                }
                1 => self.wanted.pop().map(|q| (EncodeJob::Wanted(q.item), q.since)),
                2 if self.request_image_may_be_encoded() => {
                    self.request_images.pop().map(|q| (EncodeJob::RequestImage(q.item.0, q.item.1), q.since))
                }
                3 => self.generations.crop.take().map(|crop| {
                    let since = crop.since;
                    (EncodeJob::Crop(crop), since)
                }),
                _ => None,
            };
            if job.is_some() {
                self.last_job = kind;
                return job;
            }
        }
        None
    }
}
