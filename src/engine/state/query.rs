//! Requests that touch no object.

use std::sync::Arc;

use crate::engine::kept::KeptFrame;
use crate::engine::request::{Detections, Segment};

/// Questions that touch no object: they may overtake each other.
#[derive(Debug)]
pub enum Batch {
    Detections(Detections),
    Segment(Box<Segment>),
    /// A question on an image of its own, which is encoded now.
    OnOwnImage(Arc<KeptFrame>, Box<Segment>),
}

impl Batch {
    pub fn bytes(&self) -> usize {
        match self {
            Batch::Detections(detections) => detections.bytes(),
            Batch::Segment(segment) => segment.bytes(),
            Batch::OnOwnImage(frame, segment) => frame.bytes() + segment.bytes(),
        }
    }
}
