//! Point prompts.

use std::str::FromStr;

use super::error::PromptError;
use super::numbers::{parse_numbers, scale};

/// Largest distance of a point from the image, in pixels, at which the point is clamped to the border. Points farther
/// out are refused.
const CLAMP_MARGIN: f32 = 1.0;

/// Whether a point is on the object or beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Label {
    /// The point is not on the object.
    Background,
    /// The point is on the object.
    Foreground,
}

/// A click, in pixels of the camera's image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub x: f32,
    pub y: f32,
    pub label: Label,
}

impl Point {
    /// Makes a point on the object.
    pub fn foreground(x: f32, y: f32) -> Self {
        Point { x, y, label: Label::Foreground }
    }

    /// Makes a point beside the object.
    pub fn background(x: f32, y: f32) -> Self {
        Point { x, y, label: Label::Background }
    }

    /// Returns the point on the same picture at another size (width and height, in pixels).
    #[must_use]
    pub fn scaled(self, from: (u32, u32), to: (u32, u32)) -> Point {
        let (x, y) = scale(from, to);
        Point { x: self.x * x, y: self.y * y, label: self.label }
    }

    /// Returns the point clamped to an image of `width` x `height` pixels.
    ///
    /// # Errors
    /// [`PromptError::NotFinite`], or [`PromptError::OutsideImage`] if the point is more than one pixel outside the
    /// image.
    pub(super) fn check(self, width: u32, height: u32) -> Result<Point, PromptError> {
        let Point { x, y, label } = self;
        if !x.is_finite() || !y.is_finite() {
            return Err(PromptError::NotFinite { x, y });
        }
        let (right, bottom) = (width as f32 - 1.0, height as f32 - 1.0);
        let inside = |v: f32, last: f32| (-CLAMP_MARGIN..=last + CLAMP_MARGIN).contains(&v);
        if !inside(x, right) || !inside(y, bottom) {
            return Err(PromptError::OutsideImage { x, y, width, height });
        }
        Ok(Point { x: x.clamp(0.0, right.max(0.0)), y: y.clamp(0.0, bottom.max(0.0)), label })
    }
}

/// Parses `X,Y` or `X,Y,1` (a point on the object), or `X,Y,0` (a point beside it).
impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match parse_numbers(text)?[..] {
            [x, y] | [x, y, 1.0] => Ok(Point::foreground(x, y)),
            [x, y, 0.0] => Ok(Point::background(x, y)),
            [_, _, label] => Err(format!("label {label}; expected 1 (on the object) or 0 (beside it)")),
            ref other => Err(format!("{} numbers; expected X,Y or X,Y,0", other.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_not_points_are_refused() {
        assert_eq!("1, 2.5".parse(), Ok(Point::foreground(1.0, 2.5)));
        assert_eq!("-1,2,0".parse(), Ok(Point::background(-1.0, 2.0)));
        for (text, reason) in
            [("1", "1 numbers"), ("1,a", "'a' is not a number"), ("1,2,3", "label 3"), ("1,inf", "'inf'")]
        {
            let error = text.parse::<Point>().unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
