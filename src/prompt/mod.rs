//! Prompts: points, a box and a mask that point at one object, checked against the image that they belong to.
//!
//! Positions are in pixels of the camera's image, with the origin in its top-left corner.

mod bounding_box;
mod error;
mod logits;
mod numbers;
mod object;
mod point;

pub use bounding_box::BoxPrompt;
pub use error::PromptError;
pub use logits::LowResLogits;
pub use object::{MAX_POINTS, Prompt};
pub use point::{Label, Point};
