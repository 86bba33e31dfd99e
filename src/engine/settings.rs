//! What can be changed while the engine runs.

use std::str::FromStr;
use std::time::Duration;

use crate::model::{Candidates, MEGABYTE};
use crate::video::Limits;

/// What can be changed while the engine runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Topic that the camera publishes on, for messages.
    pub image_topic: String,
    pub keep: KeepLimits,
    /// Which frames are encoded before a prompt asks for them.
    pub encode: EncodeMode,
    /// How long after a prompt [`EncodeMode::Auto`] encodes every frame.
    pub encode_linger: Duration,
    /// How long a prompt waits for a frame that has not come yet.
    pub prompt_timeout: Duration,
    /// Which of the model's candidates is the answer.
    pub candidates: Candidates,
    /// Offset of the stability score, in logits.
    pub stability_offset: f32,
    /// Without memory a tracked object below this predicted IoU is lost.
    pub track_min_iou: f32,
    /// Without memory a tracked object whose area changes by more than this factor between two frames is lost.
    pub track_max_area_jump: f32,
    /// How objects are followed by a model with memory.
    pub track: TrackSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            image_topic: "image".into(),
            keep: KeepLimits::default(),
            encode: EncodeMode::default(),
            encode_linger: Duration::from_secs(10),
            prompt_timeout: Duration::from_secs(1),
            candidates: Candidates::Auto,
            stability_offset: 1.0,
            track_min_iou: 0.5,
            track_max_area_jump: 3.0,
            track: TrackSettings::default(),
        }
    }
}

/// Bounds of what is kept. The newest frame is always kept, whatever the bounds say, and beside it, until the next one, an
/// older one that was encoded for a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepLimits {
    /// Encoded frames.
    pub frames: usize,
    /// Bytes of the encoded frames (embeddings and images), and as many again of images that were not encoded.
    pub bytes: usize,
    /// Images that were not encoded because a newer one came, kept for prompts that carry their stamp.
    pub images: usize,
}

impl Default for KeepLimits {
    fn default() -> Self {
        KeepLimits { frames: 30, bytes: 512 * MEGABYTE, images: 30 }
    }
}

/// Which frames of the camera are encoded, beside those that a prompt waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EncodeMode {
    /// Every frame that the encoder has time for.
    #[default]
    Always,
    /// While somebody listens, an object lives on, or somebody pointed a short time ago.
    Auto,
    /// While an object lives on.
    OnDemand,
}

impl EncodeMode {
    pub const CHOICES: [&'static str; 3] = ["auto", "always", "on_demand"];
}

impl FromStr for EncodeMode {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "auto" => Ok(EncodeMode::Auto),
            "always" => Ok(EncodeMode::Always),
            "on_demand" => Ok(EncodeMode::OnDemand),
            other => Err(format!("'{other}' is none of {}", EncodeMode::CHOICES.join(", "))),
        }
    }
}

/// Why objects are followed by their masks.
pub const NO_MEMORY: &str = "the model has no memory, or track_memory is false";

/// How objects are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackSettings {
    /// Most objects at a time; each holds about 6 MB, and costs its time on every frame.
    pub max_objects: usize,
    /// Frames before the one at hand that are looked at.
    pub recent: usize,
    /// Prompted frames of an object that are kept and looked at: the first, and the last ones.
    pub conditioning: usize,
    /// Cells of the background of a low-resolution mask that are filled where no more of them hang together.
    pub fill_holes: usize,
    /// Whether each place belongs to one object at most.
    pub separate: bool,
}

impl Default for TrackSettings {
    fn default() -> Self {
        TrackSettings { max_objects: 16, recent: 6, conditioning: 4, fill_holes: 8, separate: false }
    }
}

impl TrackSettings {
    pub(super) fn limits(&self) -> Limits {
        Limits { recent: self.recent, keep: Some(self.conditioning.max(1)), ..Limits::default() }
    }
}
