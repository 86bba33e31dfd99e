//! What can be asked of the engine: prompts, boxes of detectors, `segment` requests.

use tokio::sync::oneshot;

use super::frame::{Frame, Stamp};
use super::kept::KeptFrames;
use super::refusal::Refusal;
use super::result::FrameResult;
use crate::pixels::MaskInput;
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
