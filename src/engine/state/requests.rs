//! Queue and refusal of requests whose client waits for a reply.

use super::client_request::ClientRequest;
use super::engine_state::EngineState;
use super::query::Query;
use crate::engine::generation::GenerationEnd;
use crate::engine::refusal::Refusal;
use crate::engine::request::SegmentOn;

impl EngineState {
    /// Refuses a request, and counts that. Returns the refusal if there is no client: the owner reports and counts it.
    pub fn refuse_request(&mut self, request: ClientRequest, refusal: Refusal) -> Option<Refusal> {
        match request {
            ClientRequest::Segment(segment) => {
                self.metrics.refuse(refusal.kind);
                // The receiver may have been dropped.
                let _ = segment.reply.send(Err(refusal));
                None
            }
            ClientRequest::Generation(generation) => {
                self.metrics.generations.refused += 1;
                if generation.client.is_none() {
                    return Some(refusal);
                }
                self.metrics.refuse(refusal.kind);
                let _ = generation.reply(Err(GenerationEnd::Refused(refusal)));
                None
            }
        }
    }

    /// Queues a request. It is refused if the queue is full.
    pub fn queue_request(&mut self, on: SegmentOn, request: ClientRequest) {
        let rejected = match on {
            SegmentOn::Image(frame) => self.queue_request_image(frame, request).err(),
            SegmentOn::Frame(_) => match self.queue_query(Query::Request(request)) {
                Err((Query::Request(request), refusal)) => Some((request, refusal)),
                _ => None,
            },
        };
        if let Some((request, refusal)) = rejected {
            // Only requests of clients come here.
            let _ = self.refuse_request(request, refusal);
        }
    }
}
