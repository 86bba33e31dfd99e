//! Requests to the engine: prompts, detectors' boxes, `segment` requests.

use tokio::sync::oneshot;

use super::frame::{Frame, Stamp};
use super::kept::KeptFrames;
use super::persistence::Persistence;
use super::refusal::Refusal;
use super::result::FrameResult;
use crate::model::Decoded;
use crate::pixels::{Mask, MaskInput};
use crate::prompt::{BoxPrompt, Point, Prompt};

/// Frame that a prompt refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameRef {
    /// Newest encoded frame.
    Newest,
    /// Frame of that stamp.
    At(Stamp),
}

impl From<Stamp> for FrameRef {
    /// Converts a stamp; a message without a stamp refers to the newest frame.
    fn from(stamp: Stamp) -> Self {
        if stamp == Stamp::NONE { FrameRef::Newest } else { FrameRef::At(stamp) }
    }
}

/// Prompts of one object in a message.
#[derive(Debug, Clone, Default)]
pub struct ObjectPrompt {
    /// Id, 1 to 65535; 0 requests the next free id.
    pub id: u32,
    pub class_id: String,
    /// The sender's id of the object, passed through. With id 0 it names the object that has this tag.
    pub tag: String,
    pub prompt: Prompt,
    /// Mask prompt as received. It becomes `prompt.mask` once the frame is known.
    pub mask: Option<MaskInput>,
    /// Adds to the prompts of the object and feeds its previous logits back; false: replaces the prompts.
    pub refine: bool,
}

/// Box of an upstream detector, or its mask.
#[derive(Debug, Clone)]
pub struct DetectedBox {
    pub bbox: BoxPrompt,
    /// Mask that the detector made itself, with its certain part. `None`: the mask is decoded from the box.
    pub mask: Option<Decoded>,
    pub class_id: String,
    /// The detector's id of the object, passed through.
    pub tag: String,
    /// The detector's score, passed through; `None` if the detector sent no score.
    pub score: Option<f64>,
}

/// Operation of a PromptArray on the current objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Replaces all objects.
    Set,
    /// Adds objects; an existing object is refined or replaced.
    Add,
    /// Removes the named objects.
    Remove,
    /// Removes all objects.
    Clear,
}

/// Meaning of a foreground click; a background click is always a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClickMode {
    /// Point on the object.
    #[default]
    Point,
    /// Corner of a box: two clicks make a box.
    Box,
}

impl std::str::FromStr for ClickMode {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "point" => Ok(ClickMode::Point),
            "box" => Ok(ClickMode::Box),
            other => Err(format!("'{other}' is none of point, box")),
        }
    }
}

/// A prompt that is resolved later: a click in metres, whose pixel depends on frames and transforms that may not have
/// arrived. It keeps its place in the queue. The prompts behind it wait for at most `prompt_timeout`.
pub trait DeferredPrompt: std::fmt::Debug + Send {
    /// Returns the prompt once it can be resolved. The engine calls this method repeatedly, on a separate thread and
    /// without a lock. `is_last`: the timeout has passed, so that `None` is a refusal.
    fn resolve(&mut self, kept: &KeptFrames, is_last: bool) -> Option<Result<Interaction, Refusal>>;
}

/// Prompts of a person or a program, processed strictly in order.
#[derive(Debug)]
pub enum Interaction {
    /// Click on the current object.
    Click { at: FrameRef, point: Point, mode: ClickMode, persistence: Persistence },
    /// Box of the current object.
    Region { at: FrameRef, bbox: BoxPrompt, persistence: Persistence },
    /// Mask prompt of the current object.
    Mask { at: FrameRef, mask: MaskInput, persistence: Persistence },
    /// A PromptArray.
    Prompts { at: FrameRef, operation: Operation, objects: Vec<ObjectPrompt>, persistence: Persistence },
    /// Prompt that is resolved later. `None` while the resolver holds the prompt.
    Deferred(Option<Box<dyn DeferredPrompt>>),
    /// Ends the current object: the next click starts an object.
    NewObject,
    /// Removes all objects.
    Clear,
    /// Undoes the last prompt. The reply describes the undone prompt, or why there is none.
    Undo { reply: oneshot::Sender<Result<String, String>> },
    /// Request of an operator, which gets an answer.
    Operator(OperatorRequest),
}

/// Request of an operator. Several operators share the objects, so that each request names its object.
#[derive(Debug)]
pub struct OperatorRequest {
    pub action: Action,
    /// Frame that the operator sees. It is published again after an action that changes its objects.
    pub shown: Option<Stamp>,
    pub reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// What an operator does.
#[derive(Debug)]
pub enum Action {
    /// Adds prompts to the object of that id, or starts an object for id 0. `persistence`: `None` keeps that of the object.
    Prompt { at: FrameRef, object: Box<ObjectPrompt>, persistence: Option<Persistence> },
    /// Decodes every candidate mask of the object again, on the frame that was prompted last.
    Candidates { id: u32 },
    /// Replaces the mask of the object with the candidate of that index.
    Choose { id: u32, index: usize },
    /// Sets the class of the object.
    Rename { id: u32, class_id: String },
    /// Prompts the object again, with another persistence.
    Persist { id: u32, persistence: Persistence },
    /// Removes the object.
    Remove { id: u32 },
    /// Removes all objects.
    Clear,
    /// Undoes the last prompt of anybody.
    Undo,
    /// Repeats the last prompt that was undone.
    Redo,
}

/// Answer to an operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The request is done. The id is 0 if the request was about no single object.
    Done { id: u32, description: String },
    /// There was nothing to do, with the reason.
    Nothing(String),
    /// Candidate masks in the decoder's order.
    Candidates(Vec<CandidateMask>),
}

/// One of the decoder's masks of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct CandidateMask {
    /// Index among the decoder's masks.
    pub index: usize,
    /// Predicted IoU.
    pub iou: f32,
    pub mask: Mask,
    /// The candidate is the mask of the object.
    pub is_current: bool,
}

impl Action {
    /// Returns the frame that the action refers to; `None` for actions without a frame.
    pub(super) fn frame(&self) -> Option<FrameRef> {
        match self {
            Action::Prompt { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// Returns whether the action changes objects on all frames, and not only on the frame of a prompt.
    pub(super) fn changes_all_frames(&self) -> bool {
        use Action::{Candidates, Choose, Clear, Persist, Prompt, Redo, Remove, Rename, Undo};
        match self {
            Rename { .. } | Remove { .. } | Clear | Undo | Redo => true,
            Prompt { .. } | Candidates { .. } | Choose { .. } | Persist { .. } => false,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Action::Prompt { object, .. } => prompt_bytes(std::slice::from_ref(object)),
            Action::Rename { class_id, .. } => class_id.len(),
            _ => 0,
        }
    }
}

impl Interaction {
    /// Returns the bytes of the request while it waits.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Interaction::Mask { mask, .. } => mask.bytes(),
            Interaction::Prompts { objects, .. } => prompt_bytes(objects),
            Interaction::Operator(request) => request.action.bytes(),
            _ => 0,
        }
    }
}

fn prompt_bytes(objects: &[ObjectPrompt]) -> usize {
    let bytes = |o: &ObjectPrompt| {
        let points = size_of_val(o.prompt.points.as_slice());
        size_of_val(o) + points + o.class_id.len() + o.mask.as_ref().map_or(0, MaskInput::bytes)
    };
    objects.iter().map(bytes).sum()
}

/// Boxes of a detector, on the frame that the detector saw.
#[derive(Debug)]
pub struct Detections {
    /// Name of the detector. Its messages are answered in the order of their stamps.
    pub source: &'static str,
    pub at: FrameRef,
    pub boxes: Vec<DetectedBox>,
}

/// A self-contained `segment` request: an image or a stamp, and prompts. It changes none of the current objects.
#[derive(Debug)]
pub struct Segment {
    pub on: SegmentOn,
    pub objects: Vec<ObjectPrompt>,
    /// Returns every candidate mask, not only the best.
    pub all_candidates: bool,
    pub reply: oneshot::Sender<Result<FrameResult, Refusal>>,
}

impl Detections {
    pub(super) fn bytes(&self) -> usize {
        let mask = |mask: &Decoded| {
            let certain = mask.best.certain.as_ref().map_or(0, |certain| certain.cropped.len());
            mask.best.mask.cropped.len() + certain + size_of_val(&*mask.best.low_res.data)
        };
        let bytes = |b: &DetectedBox| size_of_val(b) + b.class_id.len() + b.tag.len() + b.mask.as_ref().map_or(0, mask);
        self.boxes.iter().map(bytes).sum()
    }
}

impl Segment {
    /// Returns the bytes of the request without its image, which is queued separately.
    pub(super) fn bytes(&self) -> usize {
        prompt_bytes(&self.objects)
    }
}

/// Image of a [`Segment`] request.
#[derive(Debug)]
pub enum SegmentOn {
    Image(Frame),
    Frame(FrameRef),
}
