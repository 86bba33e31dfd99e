//! What the user points with: points, a box, a mask; validated against the image that they are meant for.

use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Points this far outside the image (pixels) are clamped to its border; farther ones are refused.
const CLAMP_MARGIN: f32 = 1.0;

/// Most points on one object. The decoder's attention grows with their square: a message of a hundred thousand would take
/// all memory.
pub const MAX_POINTS: usize = 1024;

/// What a point says about the object under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Label {
    /// The object is not here.
    Background,
    /// The object is here.
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
    pub fn foreground(x: f32, y: f32) -> Self {
        Point { x, y, label: Label::Foreground }
    }

    pub fn background(x: f32, y: f32) -> Self {
        Point { x, y, label: Label::Background }
    }
}

/// `X,Y`, or `X,Y,1` on the object and `X,Y,0` beside it.
impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match numbers(text)?[..] {
            [x, y] | [x, y, 1.0] => Ok(Point::foreground(x, y)),
            [x, y, 0.0] => Ok(Point::background(x, y)),
            [_, _, label] => Err(format!("label {label}; expected 1 (the object is here) or 0 (it is not)")),
            ref other => Err(format!("{} numbers; expected X,Y or X,Y,0", other.len())),
        }
    }
}

/// A box prompt, in pixels of the camera's image: corners, not centre and size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoxPrompt {
    pub x_min: f32,
    pub y_min: f32,
    pub x_max: f32,
    pub y_max: f32,
}

/// `X0,Y0,X1,Y1`: two corners.
impl FromStr for BoxPrompt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match numbers(text)?[..] {
            [x_min, y_min, x_max, y_max] if x_min < x_max && y_min < y_max => {
                Ok(BoxPrompt { x_min, y_min, x_max, y_max })
            }
            [_, _, _, _] => Err("no area; expected X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1".to_owned()),
            ref other => Err(format!("{} numbers; expected X0,Y0,X1,Y1", other.len())),
        }
    }
}

fn numbers(text: &str) -> Result<Vec<f32>, String> {
    let number = |part: &str| match part.trim().parse::<f32>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("'{part}' is not a number; expected numbers with commas between them")),
    };
    text.split(',').map(number).collect()
}

/// Low-resolution mask logits, square and row by row, in the model's own frame (256 x 256 for SAM): the answer of
/// an earlier prediction on the same image, fed back as a prompt. Shared, because the engine keeps them per object.
#[derive(Debug, Clone, PartialEq)]
pub struct LowResLogits {
    /// Side of the square, in cells.
    pub side: usize,
    /// `side * side` logits; above the model's mask threshold is inside.
    pub data: Arc<[f32]>,
}

/// Everything that points at one object. At least one of the three is there once it passed [`Prompt::check`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prompt {
    pub points: Vec<Point>,
    pub bbox: Option<BoxPrompt>,
    pub mask: Option<LowResLogits>,
}

/// Why a prompt was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PromptError {
    #[error("a prompt without point, box or mask; give at least one")]
    Empty,
    #[error("coordinate ({x}, {y}) is not finite")]
    NotFinite { x: f32, y: f32 },
    #[error("point ({x}, {y}) is outside the image of {width}x{height} pixels")]
    OutsideImage { x: f32, y: f32, width: u32, height: u32 },
    #[error("box ({x_min}, {y_min})..({x_max}, {y_max}) has no area within the image of {width}x{height} pixels")]
    BoxWithoutArea { x_min: f32, y_min: f32, x_max: f32, y_max: f32, width: u32, height: u32 },
    #[error("{found} points on one object, at most {MAX_POINTS} are possible; begin another object")]
    TooManyPoints { found: usize },
    #[error("only background points: say where the object is, with a foreground point, a box or a mask")]
    OnlyBackground,
    #[error("mask of {found} values, expected {expected} (a square of {side} x {side} logits)")]
    MaskSize { found: usize, expected: usize, side: usize },
    #[error("mask holds a value that is not finite")]
    MaskNotFinite,
}

impl Prompt {
    pub fn point(x: f32, y: f32) -> Self {
        Prompt { points: vec![Point::foreground(x, y)], ..Prompt::default() }
    }

    pub fn bbox(x_min: f32, y_min: f32, x_max: f32, y_max: f32) -> Self {
        Prompt { bbox: Some(BoxPrompt { x_min, y_min, x_max, y_max }), ..Prompt::default() }
    }

    #[must_use]
    pub fn with_point(mut self, point: Point) -> Self {
        self.points.push(point);
        self
    }

    #[must_use]
    pub fn with_mask(mut self, mask: LowResLogits) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Checks the prompt against an image of `width` x `height` pixels and returns it with points and box clamped
    /// to the image: a point may lie outside by up to one pixel (rounding of whoever clicked), a box by any amount as
    /// long as a part of it is inside (detectors do that at the border).
    pub fn check(&self, width: u32, height: u32) -> Result<Prompt, PromptError> {
        if self.points.is_empty() && self.bbox.is_none() && self.mask.is_none() {
            return Err(PromptError::Empty);
        }
        if self.points.len() > MAX_POINTS {
            return Err(PromptError::TooManyPoints { found: self.points.len() });
        }
        let points = self.points.iter().map(|p| check_point(*p, width, height)).collect::<Result<Vec<_>, _>>()?;
        let only_background = points.iter().all(|p| p.label == Label::Background);
        if only_background && self.bbox.is_none() && self.mask.is_none() {
            return Err(PromptError::OnlyBackground);
        }
        let bbox = self.bbox.map(|b| check_box(b, width, height)).transpose()?;
        if let Some(mask) = &self.mask {
            let expected = mask.side * mask.side;
            if mask.data.len() != expected || expected == 0 {
                return Err(PromptError::MaskSize { found: mask.data.len(), expected, side: mask.side });
            }
            if mask.data.iter().any(|v| !v.is_finite()) {
                return Err(PromptError::MaskNotFinite);
            }
        }
        Ok(Prompt { points, bbox, mask: self.mask.clone() })
    }
}

fn check_point(p: Point, width: u32, height: u32) -> Result<Point, PromptError> {
    if !p.x.is_finite() || !p.y.is_finite() {
        return Err(PromptError::NotFinite { x: p.x, y: p.y });
    }
    let (right, bottom) = (width as f32 - 1.0, height as f32 - 1.0);
    let inside = |v: f32, last: f32| (-CLAMP_MARGIN..=last + CLAMP_MARGIN).contains(&v);
    if !inside(p.x, right) || !inside(p.y, bottom) {
        return Err(PromptError::OutsideImage { x: p.x, y: p.y, width, height });
    }
    Ok(Point { x: p.x.clamp(0.0, right.max(0.0)), y: p.y.clamp(0.0, bottom.max(0.0)), label: p.label })
}

fn check_box(b: BoxPrompt, width: u32, height: u32) -> Result<BoxPrompt, PromptError> {
    for (x, y) in [(b.x_min, b.y_min), (b.x_max, b.y_max)] {
        if !x.is_finite() || !y.is_finite() {
            return Err(PromptError::NotFinite { x, y });
        }
    }
    let clamped = BoxPrompt {
        x_min: b.x_min.clamp(0.0, width as f32),
        y_min: b.y_min.clamp(0.0, height as f32),
        x_max: b.x_max.clamp(0.0, width as f32),
        y_max: b.y_max.clamp(0.0, height as f32),
    };
    if clamped.x_max <= clamped.x_min || clamped.y_max <= clamped.y_min {
        let BoxPrompt { x_min, y_min, x_max, y_max } = b;
        return Err(PromptError::BoxWithoutArea { x_min, y_min, x_max, y_max, width, height });
    }
    Ok(clamped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_within_one_pixel_of_the_border_is_clamped() {
        let p = Prompt::point(-0.9, 480.0).check(640, 480).unwrap();
        assert_eq!(p.points[0], Point::foreground(0.0, 479.0));
    }

    #[test]
    fn a_point_farther_out_is_refused_with_both_sizes() {
        let e = Prompt::point(641.0, 10.0).check(640, 480).unwrap_err();
        assert_eq!(e, PromptError::OutsideImage { x: 641.0, y: 10.0, width: 640, height: 480 });
        assert!(e.to_string().contains("640x480"), "{e}");
    }

    #[test]
    fn coordinates_that_are_not_finite_are_refused() {
        for p in [Prompt::point(f32::NAN, 1.0), Prompt::bbox(0.0, f32::INFINITY, 4.0, 4.0)] {
            assert!(matches!(p.check(640, 480), Err(PromptError::NotFinite { .. })));
        }
    }

    #[test]
    fn a_box_keeps_what_lies_inside_the_image_and_needs_area_there() {
        let p = Prompt::bbox(-20.0, 10.0, 30.0, 900.0).check(640, 480).unwrap();
        assert_eq!(p.bbox.unwrap(), BoxPrompt { x_min: 0.0, y_min: 10.0, x_max: 30.0, y_max: 480.0 });
        for b in
            [Prompt::bbox(5.0, 5.0, 5.0, 9.0), Prompt::bbox(9.0, 5.0, 5.0, 9.0), Prompt::bbox(700.0, 0.0, 800.0, 9.0)]
        {
            assert!(matches!(b.check(640, 480), Err(PromptError::BoxWithoutArea { .. })));
        }
    }

    #[test]
    fn background_alone_and_nothing_at_all_are_refused() {
        let background = Prompt { points: vec![Point::background(1.0, 1.0)], ..Prompt::default() };
        assert_eq!(background.check(8, 8), Err(PromptError::OnlyBackground));
        assert_eq!(Prompt::default().check(8, 8), Err(PromptError::Empty));
    }

    #[test]
    fn points_are_counted() {
        let points = |n: usize| Prompt { points: vec![Point::foreground(1.0, 1.0); n], ..Prompt::default() };
        assert!(points(MAX_POINTS).check(8, 8).is_ok());
        let found = MAX_POINTS + 1;
        assert_eq!(points(found).check(8, 8), Err(PromptError::TooManyPoints { found }));
    }

    #[test]
    fn what_is_no_point_or_box_is_said() {
        assert_eq!("1, 2.5".parse(), Ok(Point::foreground(1.0, 2.5)));
        assert_eq!("-1,2,0".parse(), Ok(Point::background(-1.0, 2.0)));
        for (text, says) in
            [("1", "1 numbers"), ("1,a", "'a' is not a number"), ("1,2,3", "label 3"), ("1,inf", "'inf'")]
        {
            let said = text.parse::<Point>().unwrap_err();
            assert!(said.contains(says), "{said}");
        }
        assert!("5,5,1,9".parse::<BoxPrompt>().unwrap_err().contains("X0 < X1"));
    }

    #[test]
    fn a_mask_prompt_is_square_and_finite() {
        let mask = |side: usize, data: Vec<f32>| Prompt::default().with_mask(LowResLogits { side, data: data.into() });
        assert!(matches!(mask(2, vec![0.0; 3]).check(8, 8), Err(PromptError::MaskSize { found: 3, expected: 4, .. })));
        assert_eq!(mask(1, vec![f32::NAN]).check(8, 8), Err(PromptError::MaskNotFinite));
        assert!(mask(2, vec![1.0; 4]).check(8, 8).is_ok());
    }
}
