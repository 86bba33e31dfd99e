//! Settings of the engine. They may change while it runs.

use std::str::FromStr;
use std::time::Duration;

use crate::everything::{self, Overlap, Parts, Within};
use crate::model::{Candidates, GridDefaults, MEGABYTE};
use crate::pixels::PixelRect;
use crate::video::Limits;

/// Settings of an engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Topic of the camera, for error messages.
    pub image_topic: String,
    /// Limits of the kept frames.
    pub keep: KeepLimits,
    /// Frames that are encoded before a prompt needs them.
    pub encode: EncodeMode,
    /// Time after a prompt for which [`EncodeMode::Auto`] encodes every frame.
    pub encode_linger: Duration,
    /// Longest wait of a prompt for a frame that has not arrived.
    pub prompt_timeout: Duration,
    /// Choice among the model's candidate masks.
    pub candidates: Candidates,
    /// Offset of the stability score, in logits.
    pub stability_offset: f32,
    /// Least predicted IoU of an object that is tracked without memory. Below it the object is lost.
    pub track_min_iou: f32,
    /// Largest factor between the areas of an object, tracked without memory, on two frames. Above it the object is lost.
    pub track_max_area_jump: f32,
    /// Tracking by a model with memory.
    pub track: TrackSettings,
    /// Masks of everything in an image.
    pub everything: EverythingSettings,
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
            everything: EverythingSettings::default(),
        }
    }
}

/// Limits of the kept frames and images. The newest frame is always kept, and an older frame that was encoded for a prompt
/// stays beside it until the next frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepLimits {
    /// Number of encoded frames.
    pub frames: usize,
    /// Bytes of the encoded frames (embeddings and images). The images that were not encoded may take as many again.
    pub bytes: usize,
    /// Number of images that were passed over for a newer image, kept for prompts that carry their stamps.
    pub images: usize,
}

impl Default for KeepLimits {
    fn default() -> Self {
        KeepLimits { frames: 30, bytes: 512 * MEGABYTE, images: 30 }
    }
}

/// Frames of the camera that are encoded, in addition to those that a prompt waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EncodeMode {
    /// Every frame that the encoder has time for.
    #[default]
    Always,
    /// Frames while an output has a subscriber, an object persists, or a prompt arrived within `encode_linger`.
    Auto,
    /// Frames while an object persists.
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

/// Reason why objects are tracked by their masks.
pub const NO_MEMORY: &str = "the model has no memory, or track.memory is false";

/// Settings of tracking by a model with memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackSettings {
    /// Most objects at a time. An object holds about 6 MB and takes time on every frame.
    pub max_objects: usize,
    /// Number of recent frames whose memories condition the current frame.
    pub recent: usize,
    /// Number of prompted frames whose memories are kept and condition the current frame: the first and the last frames.
    pub conditioning: usize,
    /// Largest hole of a low-resolution mask that is filled, in connected cells.
    pub fill_holes: usize,
    /// Whether each pixel belongs to at most one object.
    pub separate: bool,
}

impl Default for TrackSettings {
    fn default() -> Self {
        TrackSettings { max_objects: 16, recent: 6, conditioning: 4, fill_holes: 8, separate: false }
    }
}

impl TrackSettings {
    /// Returns the limits of a track.
    pub(super) fn limits(&self) -> Limits {
        Limits { recent: self.recent, keep: Some(self.conditioning.max(1)), ..Limits::default() }
    }
}

/// Settings of the generations of one camera.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EverythingSettings {
    /// Period of the running mode, in which the newest frame is segmented again and again; `None`: no running mode.
    pub period: Option<Duration>,
    /// What a request does while a generation runs.
    pub when_busy: WhenBusy,
    /// Settings of the running mode, and of requests that have none of their own.
    pub generation: GenerationSettings,
}

/// What a request for everything does while another one is running or waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenBusy {
    /// It waits for the other one.
    #[default]
    Queue,
    /// It ends the other one.
    Supersede,
}

impl WhenBusy {
    pub const CHOICES: [&'static str; 2] = ["queue", "supersede"];
}

impl FromStr for WhenBusy {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "queue" => Ok(WhenBusy::Queue),
            "supersede" => Ok(WhenBusy::Supersede),
            other => Err(format!("'{other}' is none of {}", WhenBusy::CHOICES.join(", "))),
        }
    }
}

/// Settings of one generation.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationSettings {
    /// Settings of the generator, except those that [`GenerationSettings::of_generator`] adds.
    pub generator: everything::Settings,
    /// Clicks along each side of the image; `None`: the model's own default, as for the two thresholds.
    pub points_per_side: Option<u32>,
    pub pred_iou_thresh: Option<f32>,
    pub stability_score_thresh: Option<f32>,
    /// Whether masks are compared by their pixels, beside their boxes.
    pub mask_nms: MaskNms,
    /// Overlaps above which masks are duplicates or parts.
    pub overlap: Overlap,
    /// Masks with fewer pixels are dropped.
    pub min_area: u32,
    /// Most masks of one generation: the most certain ones.
    pub max_masks: usize,
}

impl Default for GenerationSettings {
    fn default() -> Self {
        GenerationSettings {
            generator: everything::Settings::default(),
            points_per_side: None,
            pred_iou_thresh: None,
            stability_score_thresh: None,
            mask_nms: MaskNms::Off,
            overlap: Overlap::default(),
            min_area: 0,
            max_masks: 1000,
        }
    }
}

impl GenerationSettings {
    /// Returns the settings of the generator for a part of the image; `None`: the whole image.
    pub(super) fn of_generator(&self, model: GridDefaults, region: Option<PixelRect>) -> everything::Settings {
        let overlap = |parts| Some(Overlap { parts, ..self.overlap });
        let mask_nms = match self.mask_nms {
            MaskNms::Off => None,
            MaskNms::Duplicates => overlap(Parts::Keep),
            MaskNms::Parts => overlap(Parts::Drop),
        };
        everything::Settings {
            points_per_side: self.points_per_side.unwrap_or(model.points_per_side),
            pred_iou_thresh: self.pred_iou_thresh.unwrap_or(model.pred_iou_thresh),
            stability_score_thresh: self.stability_score_thresh.unwrap_or(model.stability_score_thresh),
            mask_nms,
            within: region.map(Within::Rect),
            ..self.generator.clone()
        }
    }
}

/// Which masks are dropped because of a mask with a higher score that shares their pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaskNms {
    /// None: box NMS alone, as in the reference.
    #[default]
    Off,
    /// Masks of the same object.
    Duplicates,
    /// Also masks that are a part or the whole of a more certain mask.
    Parts,
}
