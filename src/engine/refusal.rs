//! Reasons why the engine refuses an input.

/// Kind of a refusal. Diagnostics have one counter for each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefusalKind {
    BadImage,
    BadPrompt,
    BadMessage,
    BadSettings,
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
    TooManyClasses,
    UnknownClass,
    NoDepth,
    BadDepth,
    UnsupportedModel,
    NoTextModel,
    BadPhrase,
    UnknownPhrase,
    ModelFailed,
    InternalError,
}

impl RefusalKind {
    /// Returns the name in diagnostics.
    pub fn name(self) -> &'static str {
        match self {
            RefusalKind::BadImage => "bad_image",
            RefusalKind::BadPrompt => "bad_prompt",
            RefusalKind::BadMessage => "bad_message",
            RefusalKind::BadSettings => "bad_settings",
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
            RefusalKind::TooManyClasses => "too_many_classes",
            RefusalKind::UnknownClass => "unknown_class",
            RefusalKind::NoDepth => "no_depth",
            RefusalKind::BadDepth => "bad_depth",
            RefusalKind::UnsupportedModel => "unsupported_model",
            RefusalKind::NoTextModel => "no_text_model",
            RefusalKind::BadPhrase => "bad_phrase",
            RefusalKind::UnknownPhrase => "unknown_phrase",
            RefusalKind::ModelFailed => "model_failed",
            RefusalKind::InternalError => "internal_error",
        }
    }
}

/// Refusal of an input: what was found and what was expected.
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
