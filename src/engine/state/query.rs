//! Requests that change no object. They may overtake each other.

use std::sync::Arc;

use crate::engine::kept::KeptFrame;
use crate::engine::request::{Detections, Segment};

/// A request that changes no object.
#[derive(Debug)]
pub enum Query {
    Detections(Detections),
    Segment(Box<Segment>),
    /// A `segment` request with an image of its own, which is encoded.
    EncodedImage(Arc<KeptFrame>, Box<Segment>),
}

impl Query {
    pub fn bytes(&self) -> usize {
        match self {
            Query::Detections(detections) => detections.bytes(),
            Query::Segment(segment) => segment.bytes(),
            Query::EncodedImage(frame, segment) => frame.bytes() + segment.bytes(),
        }
    }
}
