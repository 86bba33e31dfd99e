//! One object: prompts, last mask, memory.

use super::memory::ObjectMemory;
use crate::engine::frame::PromptedFrame;
use crate::engine::persistence::Persistence;
use crate::prompt::{LowResLogits, Point, Prompt};

/// Largest relative difference of the aspect ratios of two images of the same view.
const MAX_ASPECT_DIFFERENCE: f32 = 0.01;

/// Returns whether two image sizes (width and height, in pixels) have the same aspect ratio.
fn same_proportions((w, h): (u32, u32), (width, height): (u32, u32)) -> bool {
    let (before, now) = (w as f32 / h.max(1) as f32, width as f32 / height.max(1) as f32);
    (before / now - 1.0).abs() <= MAX_ASPECT_DIFFERENCE
}

/// First corner of a box that waits for the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corner {
    pub point: Point,
    /// Width and height of the clicked image, in pixels.
    pub image_size: (u32, u32),
}

impl Corner {
    /// Returns the corner on an image of that size; `None` if the aspect ratio differs.
    pub fn on(&self, size: (u32, u32)) -> Option<Point> {
        same_proportions(self.image_size, size).then(|| self.point.scaled(self.image_size, size))
    }
}

/// One object, from its first prompt until it is cleared.
#[derive(Debug, Clone)]
pub struct Object {
    pub id: u32,
    pub class_id: String,
    /// The sender's id of the object; empty without one.
    pub tag: String,
    /// Width and height of the image that the prompts refer to, in pixels.
    pub image_size: (u32, u32),
    /// All prompts so far, in pixels of the image.
    pub prompt: Prompt,
    /// Input of the decoder at the last prompt: `prompt` and the logits that were fed back. An object with persistence
    /// `hold` is decoded from the same input on every frame, so that its mask is constant where the image is.
    pub repeated_prompt: Prompt,
    pub persistence: Persistence,
    /// Low-resolution logits of the last mask.
    pub previous_logits: Option<LowResLogits>,
    /// Area of the last mask as a fraction of the image. Tracking without memory compares areas.
    pub previous_area: f32,
    /// The object was not found on the last frame. Every further frame is tried.
    pub lost: bool,
    /// Number of the frame that was prompted last.
    pub prompted_on: Option<u64>,
    /// All prompts on that frame, for an object that is followed by memory.
    pub frame_prompt: Prompt,
    /// Memory of a model with memory; `None` before the first prompt, and for other models.
    pub memory: Option<ObjectMemory>,
}

impl Object {
    pub(super) fn new(id: u32, class_id: String, persistence: Persistence, image_size: (u32, u32)) -> Self {
        Object {
            id,
            class_id,
            tag: String::new(),
            image_size,
            prompt: Prompt::default(),
            repeated_prompt: Prompt::default(),
            persistence,
            previous_logits: None,
            previous_area: 0.0,
            lost: false,
            prompted_on: None,
            frame_prompt: Prompt::default(),
            memory: None,
        }
    }

    /// Returns whether an image of that size has the aspect ratio of the prompted image.
    pub fn fits(&self, size: (u32, u32)) -> bool {
        same_proportions(self.image_size, size)
    }

    /// Returns why the object is lost on an image of that size, which it does not fit.
    pub fn other_picture(&self, (width, height): (u32, u32)) -> String {
        let (w, h) = self.image_size;
        format!("the camera's picture was {w}x{h} and is {width}x{height} now: point at the object again")
    }

    /// Returns whether a further prompt on the frame refines the object. An object with persistence `once` is refined on
    /// the frame of its last prompt only, other objects on every frame of the same aspect ratio.
    pub(super) fn is_on(&self, frame: &PromptedFrame) -> bool {
        let persists = self.persistence != Persistence::Once || self.prompted_on == Some(frame.number);
        persists && self.fits(frame.size)
    }

    /// Scales the object's prompts to an image of that size.
    pub(super) fn scale_to(&mut self, size: (u32, u32)) {
        for prompt in [&mut self.prompt, &mut self.repeated_prompt, &mut self.frame_prompt] {
            *prompt = prompt.scaled(self.image_size, size);
        }
        self.image_size = size;
    }

    /// Returns the input of the decoder after a further prompt: all prompts with the previous logits, as in SAM's
    /// interactive use. The logits include the effect of an earlier mask prompt.
    pub fn refined(&self) -> Prompt {
        let mask = self.previous_logits.clone().or_else(|| self.prompt.mask.clone());
        Prompt { mask, ..self.prompt.clone() }
    }

    /// Returns the bytes of the logits and of the model's memory.
    pub fn bytes(&self) -> usize {
        let masks = [&self.prompt.mask, &self.repeated_prompt.mask, &self.previous_logits];
        let masks = masks.into_iter().flatten().map(|m| size_of_val(&*m.data)).sum::<usize>();
        masks + self.memory.as_ref().map_or(0, |m| m.track.bytes())
    }

    /// Replaces the logits so far with a mask prompt.
    pub(super) fn set_mask(&mut self, mask: LowResLogits) {
        self.prompt.mask = Some(mask);
        self.previous_logits = None;
    }
}
