//! Requests that change no object. They may overtake each other.

use std::sync::Arc;

use super::client_request::ClientRequest;
use crate::engine::kept::KeptFrame;
use crate::engine::request::Detections;

/// A request that changes no object.
#[derive(Debug)]
pub enum Query {
    Detections(Detections),
    /// Boxes on a frame that their sender holds.
    FrameDetections(Arc<KeptFrame>, Detections),
    Request(ClientRequest),
    /// A request with an image of its own, which is encoded.
    EncodedImage(Arc<KeptFrame>, ClientRequest),
}

impl Query {
    pub fn bytes(&self) -> usize {
        match self {
            Query::Detections(detections) => detections.bytes(),
            Query::FrameDetections(frame, detections) => frame.bytes() + detections.bytes(),
            Query::Request(request) => request.bytes(),
            Query::EncodedImage(frame, request) => frame.bytes() + request.bytes(),
        }
    }
}
