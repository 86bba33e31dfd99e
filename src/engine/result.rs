//! Output of the engine: results, and events for its owner.

use std::sync::Arc;

use image::RgbImage;

use super::frame::Header;
use super::persistence::Persistence;
use super::refusal::Refusal;
use crate::pixels::Mask;
use crate::prompt::{BoxPrompt, Point};

/// Mask of one object on one frame.
#[derive(Debug, Clone)]
pub struct ObjectResult {
    pub id: u32,
    pub class_id: String,
    /// The sender's id of the object (that of a detector or a tracker); empty for objects of other sources.
    pub tag: String,
    /// The detector's score of the object; `None` for objects of other sources, and if the detector sent no score.
    pub detection_score: Option<f64>,
    /// Lifetime of the object; `None` for boxes of a detector and masks of everything.
    pub persistence: Option<Persistence>,
    /// Predicted IoU of `mask`. The detector's score, for a mask that the detector made itself.
    pub iou: f32,
    /// Object score, a logit: above 0 the object is visible. `None` for model families without this head. For a mask that a text
    /// model made, the logit of its phrase being in the image.
    pub object_score: Option<f32>,
    pub candidate_ious: Vec<f32>,
    pub mask: Mask,
    /// Part of `mask` that the model is certain of ([`crate::model::Candidate::certain`]). `None` unless it was needed when the
    /// mask was decoded ([`super::Engine::set_certain_masks`]), and for masks of everything. Detectors that make masks themselves
    /// always give it.
    pub certain: Option<Mask>,
    /// Point prompts, for the overlay.
    pub points: Vec<Point>,
    /// Box prompt, for the overlay.
    pub bbox: Option<BoxPrompt>,
    /// Why the object was not found on this frame; `None` if it was found. The mask of a lost object is empty.
    pub lost: Option<String>,
}

/// Durations of one result, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StageMs {
    /// Wait of the image for the encoder.
    pub wait: f32,
    /// Conversion of the message's pixels to RGB.
    pub convert: f32,
    /// Conversion of RGB to the network's input.
    pub preprocess: f32,
    pub encode: f32,
    pub decode: f32,
    /// Conversion of low-resolution logits to masks at the size of the image.
    pub postprocess: f32,
    /// From the arrival of the image (or of the prompt, on a kept frame) to the masks.
    pub total: f32,
}

impl StageMs {
    /// Returns these durations with those of a further decoding on the same frame: durations of decoding add up, the frame
    /// was encoded once.
    pub(super) fn plus_decoding(self, next: StageMs) -> StageMs {
        let (decode, postprocess) = (self.decode + next.decode, self.postprocess + next.postprocess);
        StageMs { decode, postprocess, ..next }
    }
}

/// Origin of a result. The order of results of one source is in `docs/interfaces.md`, "Order".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResultSource {
    /// New frame of the camera.
    Camera,
    /// Click, box, mask or PromptArray, or undoing one of them.
    Prompt,
    /// Boxes of the detector of that name.
    Detector(&'static str),
    /// `segment` request.
    Segment,
    /// Masks of everything.
    Everything,
}

/// All results on one frame so far.
#[derive(Debug, Clone)]
pub struct FrameResult {
    pub header: Header,
    pub source: ResultSource,
    pub image: Arc<RgbImage>,
    pub objects: Vec<Arc<ObjectResult>>,
    /// First corner of a box that waits for the second.
    pub corner: Option<Point>,
    /// Id of the object that clicks belong to.
    pub current: Option<u32>,
    /// The objects changed since the last result. A result without objects is meaningful then (after `clear`).
    pub prompted: bool,
    pub ms: StageMs,
}

/// Event for the owner of the engine.
#[derive(Debug)]
pub enum Event {
    Result(FrameResult),
    Refused(Refusal),
    /// A tracked object was lost, or found again.
    Tracking {
        id: u32,
        lost: bool,
        reason: String,
    },
    /// Note for the person who prompts.
    Note(String),
}

/// Receiver of events. The engine's threads call it. While it blocks, the decoder waits and newer frames replace each
/// other: this is the back-pressure.
pub type EventSink = Box<dyn Fn(Event) + Send + Sync>;
