//! Errors of prompts: each names what was found and what was expected.

use thiserror::Error;

/// Reason why a prompt was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PromptError {
    #[error("a prompt without point, box or mask; expected at least one of them")]
    Empty,
    #[error("coordinate ({x}, {y}) is not finite; expected pixels of the image")]
    NotFinite { x: f32, y: f32 },
    #[error("point ({x}, {y}) is outside the image of {width}x{height} pixels")]
    OutsideImage { x: f32, y: f32, width: u32, height: u32 },
    #[error("box ({x_min}, {y_min})..({x_max}, {y_max}) has no area within the image of {width}x{height} pixels")]
    BoxWithoutArea { x_min: f32, y_min: f32, x_max: f32, y_max: f32, width: u32, height: u32 },
    #[error("{found} points on one object, expected at most {most}; start another object")]
    TooManyPoints { found: usize, most: usize },
    #[error("only background points; add a foreground point, a box or a mask to say where the object is")]
    OnlyBackground,
    #[error("mask of {found} values, expected {expected} (a square of {side} x {side} logits)")]
    MaskSize { found: usize, expected: usize, side: usize },
    #[error("the mask has a value that is not finite; expected finite logits")]
    MaskNotFinite,
}
