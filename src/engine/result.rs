//! What leaves the engine: results, and events for its owner.

use std::sync::Arc;

use image::RgbImage;

use super::frame::Header;
use super::refusal::Refusal;
use crate::pixels::Mask;
use crate::prompt::{BoxPrompt, Point};

/// The mask of one object on one frame.
#[derive(Debug, Clone)]
pub struct ObjectResult {
    pub id: u32,
    pub class_id: String,
    /// The detector's own name for the object, empty for others.
    pub tag: String,
    /// The detector's own score for the object; `None` for others, and where the detector sent no score.
    pub detection_score: Option<f64>,
    /// Predicted IoU of `mask`.
    pub iou: f32,
    /// Whether the object is there at all, a logit; `None` for families without such a head.
    pub object_score: Option<f32>,
    pub candidate_ious: Vec<f32>,
    pub mask: Mask,
    /// What pointed at it, for the overlay.
    pub points: Vec<Point>,
    pub bbox: Option<BoxPrompt>,
    /// Why tracking could not find it on this frame; its mask is empty then.
    pub lost: Option<String>,
}

/// Milliseconds of one result.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StageMs {
    /// The image waited for the encoder.
    pub wait: f32,
    /// The message's pixels to RGB.
    pub convert: f32,
    /// Pixels of the camera to the network's input.
    pub preprocess: f32,
    pub encode: f32,
    pub decode: f32,
    /// Low-resolution logits to masks in the camera's image.
    pub postprocess: f32,
    /// From the image's arrival (or the prompt's, for a frame that was kept) to the masks.
    pub total: f32,
}

impl StageMs {
    /// This and a further decoding on the same frame: decoding adds up, the frame was encoded once.
    pub(super) fn then(self, next: StageMs) -> StageMs {
        let (decode, postprocess) = (self.decode + next.decode, self.postprocess + next.postprocess);
        StageMs { decode, postprocess, ..next }
    }
}

/// What a result answers. Those of one source are in the order of `docs/interfaces.md`, "Order".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// A new frame of the camera.
    Camera,
    /// A click, a box, a mask, a PromptArray, or taking one back.
    Prompt,
    /// Boxes of the detector of that name.
    Detector(&'static str),
    /// A [`Segment`] question.
    Question,
}

/// Everything that is known about one frame at this time.
#[derive(Debug, Clone)]
pub struct FrameResult {
    pub header: Header,
    pub source: Source,
    pub image: Arc<RgbImage>,
    pub objects: Vec<Arc<ObjectResult>>,
    /// The first corner of a box that waits for the second.
    pub corner: Option<Point>,
    /// Objects changed since the last result: even an empty answer says something (after a clear).
    pub prompted: bool,
    pub ms: StageMs,
}

/// What the engine tells its owner.
#[derive(Debug)]
pub enum Event {
    Result(FrameResult),
    Refused(Refusal),
    /// A tracked object is not followed any more, or again.
    Tracking {
        id: u32,
        lost: bool,
        reason: String,
    },
    /// What a person who points should know.
    Note(String),
}

/// Where results go. Called from the engine's threads; while it blocks, the decoder waits (that is the back-pressure:
/// newer frames replace each other meanwhile).
pub type EventSink = Box<dyn Fn(Event) + Send + Sync>;
