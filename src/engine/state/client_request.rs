//! Requests whose client waits for a reply.

use crate::engine::generation::Generation;
use crate::engine::request::{FrameRef, Segment, SegmentOn};

/// A request whose client waits for a reply, or a generation of the running mode.
#[derive(Debug)]
pub enum ClientRequest {
    Segment(Box<Segment>),
    Generation(Box<Generation>),
}

impl ClientRequest {
    /// Returns the frame that the request refers to; `None` for a request with an image of its own.
    pub fn at(&self) -> Option<FrameRef> {
        match self {
            ClientRequest::Segment(segment) => match segment.on {
                SegmentOn::Frame(at) => Some(at),
                SegmentOn::Image(_) => None,
            },
            ClientRequest::Generation(generation) => generation.at,
        }
    }

    /// Returns the bytes of the request without its image, which is queued separately.
    pub fn bytes(&self) -> usize {
        match self {
            ClientRequest::Segment(segment) => segment.bytes(),
            ClientRequest::Generation(generation) => size_of_val(&**generation),
        }
    }
}
