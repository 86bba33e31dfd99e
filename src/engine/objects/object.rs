//! One object: its prompts, its last mask, its memory.

use super::memory::Memory;
use crate::engine::frame::PromptedFrame;
use crate::engine::request::Persistence;
use crate::prompt::{LowResLogits, Point, Prompt};

/// A picture whose sides are in another proportion by more than this is another picture.
const SAME_PROPORTIONS: f32 = 0.01;

/// Whether two pictures (width and height, in pixels) can be the same one at two sizes.
fn same_proportions((w, h): (u32, u32), (width, height): (u32, u32)) -> bool {
    let (before, now) = (w as f32 / h.max(1) as f32, width as f32 / height.max(1) as f32);
    (before / now - 1.0).abs() <= SAME_PROPORTIONS
}

/// The first click of a box, waiting for the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corner {
    pub point: Point,
    /// Width and height of the picture that was clicked, in pixels.
    pub image: (u32, u32),
}

impl Corner {
    /// The corner on a picture of that size; `None` on a picture of other proportions.
    pub fn on(&self, size: (u32, u32)) -> Option<Point> {
        same_proportions(self.image, size).then(|| self.point.scaled(self.image, size))
    }
}

/// One object, from its first prompt until it is cleared.
#[derive(Debug, Clone)]
pub struct Object {
    pub id: u32,
    pub class_id: String,
    /// Width and height of the picture that the coordinates of its prompts are of, in pixels.
    pub image: (u32, u32),
    /// Everything the user said about it so far, in pixels of the image.
    pub prompt: Prompt,
    /// What its last prompt was decoded with: `prompt` and the logits that were fed back. Held objects are decoded with
    /// the same on every frame, so that a mask does not change where the picture does not.
    pub held: Prompt,
    pub persistence: Persistence,
    /// The low-resolution logits of its last mask.
    pub previous: Option<LowResLogits>,
    /// Area of its last mask as a fraction of the image; judges jumps while tracking.
    pub previous_area: f32,
    /// Tracking gave up on it; it is tried again on every frame.
    pub lost: bool,
    /// Number of the frame of its last prompt.
    pub prompted_on: Option<u64>,
    /// All that was said on that frame, where it is followed by memory.
    pub here: Prompt,
    /// What a model with memory keeps of it.
    pub memory: Option<Memory>,
}

impl Object {
    pub(super) fn new(id: u32, class_id: String, persistence: Persistence, image: (u32, u32)) -> Self {
        Object {
            id,
            class_id,
            image,
            prompt: Prompt::default(),
            held: Prompt::default(),
            persistence,
            previous: None,
            previous_area: 0.0,
            lost: false,
            prompted_on: None,
            here: Prompt::default(),
            memory: None,
        }
    }

    /// Whether the object can be in a picture of that size: its proportions are those of the picture that was prompted.
    pub fn fits(&self, size: (u32, u32)) -> bool {
        same_proportions(self.image, size)
    }

    /// Why an object is lost in a picture of that size, which it does not fit.
    pub fn other_picture(&self, (width, height): (u32, u32)) -> String {
        let (w, h) = self.image;
        format!("the camera's picture was {w}x{h} and is {width}x{height} now: point at the object again")
    }

    /// Whether a further prompt on the frame adds to the object's prompts: an object that lives on is on every frame of its
    /// picture, an object with persistence `once` on the frame of its last prompt only.
    pub(super) fn is_on(&self, frame: &PromptedFrame) -> bool {
        let lives = self.persistence != Persistence::Once || self.prompted_on == Some(frame.number);
        lives && self.fits(frame.size)
    }

    /// Scales the object's prompts to a picture of that size.
    pub(super) fn scale_to(&mut self, size: (u32, u32)) {
        for prompt in [&mut self.prompt, &mut self.held, &mut self.here] {
            *prompt = prompt.scaled(self.image, size);
        }
        self.image = size;
    }

    /// The prompt as the decoder gets it when the user has just said something more: with the previous logits, as
    /// SAM's interactive use does. They hold what an earlier mask prompt said.
    pub fn refined(&self) -> Prompt {
        let mask = self.previous.clone().or_else(|| self.prompt.mask.clone());
        Prompt { mask, ..self.prompt.clone() }
    }

    /// Memory of its logits, and of what a model keeps of it.
    pub fn bytes(&self) -> usize {
        let masks = [&self.prompt.mask, &self.held.mask, &self.previous];
        let masks = masks.into_iter().flatten().map(|m| size_of_val(&*m.data)).sum::<usize>();
        masks + self.memory.as_ref().map_or(0, |m| m.track.bytes())
    }

    /// A mask that somebody gave takes the place of the logits so far.
    pub(super) fn give_mask(&mut self, mask: LowResLogits) {
        self.prompt.mask = Some(mask);
        self.previous = None;
    }
}
