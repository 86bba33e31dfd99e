//! What the encoder does next.

use std::time::Instant;

use super::engine_state::State;
use super::query::Batch;
use crate::engine::frame::Frame;
use crate::engine::request::Segment;

/// Questions with an image of their own that may be encoded and wait for the decoder: each holds an embedding.
const MAX_OWN_ENCODED: usize = 2;

/// What the encoder is to do next.
#[derive(Debug)]
pub enum EncodeJob {
    /// The camera's newest frame.
    Newest(Frame),
    /// A frame that was passed over, for a prompt that carries its stamp.
    Wanted(Frame),
    /// An image that came with a question.
    Own(Frame, Box<Segment>),
}

impl State {
    /// Whether anybody needs the camera's newest frame to be encoded.
    pub(super) fn newest_is_needed(&self) -> bool {
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
}
