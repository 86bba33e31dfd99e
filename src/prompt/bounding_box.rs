//! Box prompts.

use std::str::FromStr;

use super::error::PromptError;
use super::numbers::{parse_numbers, scale};

/// A box by its corners, in pixels of the camera's image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoxPrompt {
    pub x_min: f32,
    pub y_min: f32,
    pub x_max: f32,
    pub y_max: f32,
}

impl BoxPrompt {
    /// Returns the box on the same picture at another size (width and height, in pixels).
    #[must_use]
    pub fn scaled(self, from: (u32, u32), to: (u32, u32)) -> BoxPrompt {
        let (x, y) = scale(from, to);
        BoxPrompt { x_min: self.x_min * x, y_min: self.y_min * y, x_max: self.x_max * x, y_max: self.y_max * y }
    }

    /// Returns the part of the box inside an image of `width` x `height` pixels.
    ///
    /// # Errors
    /// [`PromptError::NotFinite`], or [`PromptError::BoxWithoutArea`] if that part has no area.
    pub(super) fn check(self, width: u32, height: u32) -> Result<BoxPrompt, PromptError> {
        let BoxPrompt { x_min, y_min, x_max, y_max } = self;
        for (x, y) in [(x_min, y_min), (x_max, y_max)] {
            if !x.is_finite() || !y.is_finite() {
                return Err(PromptError::NotFinite { x, y });
            }
        }
        let clamped = BoxPrompt {
            x_min: x_min.clamp(0.0, width as f32),
            y_min: y_min.clamp(0.0, height as f32),
            x_max: x_max.clamp(0.0, width as f32),
            y_max: y_max.clamp(0.0, height as f32),
        };
        if clamped.x_max <= clamped.x_min || clamped.y_max <= clamped.y_min {
            return Err(PromptError::BoxWithoutArea { x_min, y_min, x_max, y_max, width, height });
        }
        Ok(clamped)
    }
}

/// Parses two corners, `X0,Y0,X1,Y1`.
impl FromStr for BoxPrompt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match parse_numbers(text)?[..] {
            [x_min, y_min, x_max, y_max] if x_min < x_max && y_min < y_max => {
                Ok(BoxPrompt { x_min, y_min, x_max, y_max })
            }
            [_, _, _, _] => Err("no area; expected X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1".to_owned()),
            ref other => Err(format!("{} numbers; expected X0,Y0,X1,Y1", other.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_without_area_is_refused() {
        assert!("5,5,1,9".parse::<BoxPrompt>().unwrap_err().contains("X0 < X1"));
    }
}
