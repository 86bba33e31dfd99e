//! What can be asked of the engine, and what it answers.

use std::sync::Arc;

use image::RgbImage;
use tokio::sync::oneshot;

use super::frame::{Frame, Header, Stamp};
use super::kept::KeptFrames;
use crate::pixels::{Mask, MaskInput};
use crate::prompt::{BoxPrompt, Point, Prompt};

/// The frame that a prompt is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameRef {
    /// The newest encoded frame.
    Newest,
    /// The frame of that stamp.
    At(Stamp),
}

impl From<Stamp> for FrameRef {
    /// A message that was never stamped means the newest frame.
    fn from(stamp: Stamp) -> Self {
        if stamp == Stamp::NONE { FrameRef::Newest } else { FrameRef::At(stamp) }
    }
}

/// How long an object lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Persistence {
    /// On the frame that it was prompted on.
    Once,
    /// The same prompts on every frame from now on.
    #[default]
    Hold,
    /// Follows the object: the mask of one frame prompts the next.
    Track,
}

impl std::str::FromStr for Persistence {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "once" => Ok(Persistence::Once),
            "hold" => Ok(Persistence::Hold),
            "track" => Ok(Persistence::Track),
            other => Err(format!("'{other}' is none of once, hold, track")),
        }
    }
}

/// What a message says about one object.
#[derive(Debug, Clone, Default)]
pub struct ObjectPrompt {
    /// 1..=65535; 0 lets the engine choose the next free one.
    pub id: u32,
    pub class_id: String,
    pub prompt: Prompt,
    /// A mask that somebody gave; it becomes a mask prompt once the frame is known.
    pub mask: Option<MaskInput>,
    /// Add to the prompts that the object has and feed its previous logits back, instead of replacing them.
    pub refine: bool,
}

/// A box of an upstream detector.
#[derive(Debug, Clone)]
pub struct DetectedBox {
    pub bbox: BoxPrompt,
    pub class_id: String,
    /// The detector's own name for it, handed through.
    pub tag: String,
    /// The detector's own score, handed through; `None`: the detector sent no score.
    pub score: Option<f64>,
}

/// What a PromptArray does with the objects that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// These objects replace all others.
    Set,
    /// These objects join the others; one that exists is refined or replaced.
    Add,
    /// These objects go.
    Remove,
    /// All objects go.
    Clear,
}

/// What a foreground click means; a background click is always a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClickMode {
    /// A point on the object.
    #[default]
    Point,
    /// A corner: two of them are a box.
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

/// A prompt that is not resolved yet: a click in metres, whose pixel depends on the frames and the transforms that come. Its
/// turn is that of its arrival; those behind it wait with it, `prompt_timeout` at most.
pub trait Later: std::fmt::Debug + Send {
    /// Returns the prompt once it can be resolved. Called repeatedly, on a thread of its own and without a lock of the
    /// engine. `last`: time is up, so that `None` is a refusal.
    fn ready(&mut self, kept: &KeptFrames, last: bool) -> Option<Result<Interaction, Refusal>>;
}

/// Prompts from one person or program; they are worked off strictly in order.
#[derive(Debug)]
pub enum Interaction {
    /// A click on the current object.
    Click {
        at: FrameRef,
        point: Point,
        mode: ClickMode,
        persistence: Persistence,
    },
    /// A box for the current object.
    Region {
        at: FrameRef,
        bbox: BoxPrompt,
        persistence: Persistence,
    },
    /// A mask of the current object.
    Mask {
        at: FrameRef,
        mask: MaskInput,
        persistence: Persistence,
    },
    Prompts {
        at: FrameRef,
        operation: Operation,
        objects: Vec<ObjectPrompt>,
        persistence: Persistence,
    },
    /// One of the others, once it is resolved. `None` while that is being tried.
    Later(Option<Box<dyn Later>>),
    /// The next click starts an object of its own.
    NewObject,
    /// Forget every object.
    Clear,
    /// Take the last prompt back. The answer says what was taken back, or why nothing was.
    Undo {
        reply: oneshot::Sender<Result<String, String>>,
    },
}

impl Interaction {
    /// Bytes that it costs to keep it waiting.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Interaction::Mask { mask, .. } => mask.bytes(),
            Interaction::Prompts { objects, .. } => bytes_of(objects),
            _ => 0,
        }
    }
}

fn bytes_of(objects: &[ObjectPrompt]) -> usize {
    let bytes = |o: &ObjectPrompt| {
        let points = size_of_val(o.prompt.points.as_slice());
        size_of_val(o) + points + o.class_id.len() + o.mask.as_ref().map_or(0, MaskInput::bytes)
    };
    objects.iter().map(bytes).sum()
}

/// Boxes of a detector, on the detector's own frame.
#[derive(Debug)]
pub struct Detections {
    /// Who says so: those of one source are answered in the order of their stamps.
    pub source: &'static str,
    pub at: FrameRef,
    pub boxes: Vec<DetectedBox>,
}

/// One self-contained question: an image or a stamp, and prompts. Touches none of the current objects.
#[derive(Debug)]
pub struct Segment {
    pub on: SegmentOn,
    pub objects: Vec<ObjectPrompt>,
    /// Return every candidate, not the best one only.
    pub all_candidates: bool,
    pub reply: oneshot::Sender<Result<FrameResult, Refusal>>,
}

impl Detections {
    pub(super) fn bytes(&self) -> usize {
        self.boxes.iter().map(|b| size_of_val(b) + b.class_id.len() + b.tag.len()).sum()
    }
}

impl Segment {
    /// Without its image, which waits elsewhere.
    pub(super) fn bytes(&self) -> usize {
        bytes_of(&self.objects)
    }
}

/// Where a [`Segment`] question is to be answered.
#[derive(Debug)]
pub enum SegmentOn {
    Image(Frame),
    Frame(FrameRef),
}

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

/// Why an input was refused. One counter per kind in diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefusalKind {
    BadImage,
    BadPrompt,
    BadMessage,
    FrameGone,
    NoImage,
    UnknownObject,
    NoCameraInfo,
    BadCameraInfo,
    NoTransform,
    BadTransform,
    BehindCamera,
    OutsideImage,
    QueueFull,
    TooManyObjects,
    ModelFailed,
    InternalError,
}

impl RefusalKind {
    /// The name in diagnostics.
    pub fn name(self) -> &'static str {
        match self {
            RefusalKind::BadImage => "bad_image",
            RefusalKind::BadPrompt => "bad_prompt",
            RefusalKind::BadMessage => "bad_message",
            RefusalKind::FrameGone => "frame_gone",
            RefusalKind::NoImage => "no_image",
            RefusalKind::UnknownObject => "unknown_object",
            RefusalKind::NoCameraInfo => "no_camera_info",
            RefusalKind::BadCameraInfo => "bad_camera_info",
            RefusalKind::NoTransform => "no_transform",
            RefusalKind::BadTransform => "bad_transform",
            RefusalKind::BehindCamera => "behind_camera",
            RefusalKind::OutsideImage => "outside_image",
            RefusalKind::QueueFull => "queue_full",
            RefusalKind::TooManyObjects => "too_many_objects",
            RefusalKind::ModelFailed => "model_failed",
            RefusalKind::InternalError => "internal_error",
        }
    }
}

/// An input that was refused: what was wrong with it and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
}

impl Refusal {
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Refusal { kind, message: message.into() }
    }
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
