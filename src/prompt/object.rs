//! The prompt of one object: points, a box and a mask.

use super::bounding_box::BoxPrompt;
use super::error::PromptError;
use super::logits::LowResLogits;
use super::point::{Label, Point};

/// Most points on one object. The decoder's attention takes time and memory in proportion to the square of their
/// number.
pub const MAX_POINTS: usize = 1024;

/// Points, a box and a mask of one object. [`Prompt::check`] ensures that at least one of them is present.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prompt {
    pub points: Vec<Point>,
    pub bbox: Option<BoxPrompt>,
    pub mask: Option<LowResLogits>,
}

impl Prompt {
    /// Makes a prompt of one foreground point.
    pub fn point(x: f32, y: f32) -> Self {
        Prompt { points: vec![Point::foreground(x, y)], ..Prompt::default() }
    }

    /// Makes a prompt of a box.
    pub fn bbox(x_min: f32, y_min: f32, x_max: f32, y_max: f32) -> Self {
        Prompt { bbox: Some(BoxPrompt { x_min, y_min, x_max, y_max }), ..Prompt::default() }
    }

    /// Adds a point.
    #[must_use]
    pub fn with_point(mut self, point: Point) -> Self {
        self.points.push(point);
        self
    }

    /// Sets the mask.
    #[must_use]
    pub fn with_mask(mut self, mask: LowResLogits) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Returns the prompt on the same picture at another size (width and height, in pixels). Logits cover the picture
    /// whatever its size, and stay as they are.
    #[must_use]
    pub fn scaled(&self, from: (u32, u32), to: (u32, u32)) -> Prompt {
        let points = self.points.iter().map(|point| point.scaled(from, to)).collect();
        Prompt { points, bbox: self.bbox.map(|bbox| bbox.scaled(from, to)), mask: self.mask.clone() }
    }

    /// Checks the prompt against an image of `width` x `height` pixels. Returns the prompt with points and box clamped
    /// to the image: a point may be up to one pixel outside (rounding of the client), a box by any amount if a part of
    /// it is inside (detections at the border).
    ///
    /// # Errors
    /// [`PromptError`] for the first fault.
    pub fn check(&self, width: u32, height: u32) -> Result<Prompt, PromptError> {
        let Prompt { points, bbox, mask } = self;
        if points.is_empty() && bbox.is_none() && mask.is_none() {
            return Err(PromptError::Empty);
        }
        if points.len() > MAX_POINTS {
            return Err(PromptError::TooManyPoints { found: points.len(), most: MAX_POINTS });
        }
        let points = points.iter().map(|point| point.check(width, height)).collect::<Result<Vec<_>, _>>()?;
        let only_background = points.iter().all(|point| point.label == Label::Background);
        if only_background && bbox.is_none() && mask.is_none() {
            return Err(PromptError::OnlyBackground);
        }
        let bbox = bbox.map(|bbox| bbox.check(width, height)).transpose()?;
        mask.as_ref().map_or(Ok(()), LowResLogits::check)?;
        Ok(Prompt { points, bbox, mask: mask.clone() })
    }
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
    fn background_points_alone_and_an_empty_prompt_are_refused() {
        let background = Prompt { points: vec![Point::background(1.0, 1.0)], ..Prompt::default() };
        assert_eq!(background.check(8, 8), Err(PromptError::OnlyBackground));
        assert_eq!(Prompt::default().check(8, 8), Err(PromptError::Empty));
    }

    #[test]
    fn points_and_boxes_scale_with_the_picture_and_logits_stay() {
        let logits = LowResLogits { side: 1, data: vec![3.0].into() };
        let prompt = Prompt::bbox(10.0, 20.0, 30.0, 40.0).with_point(Point::background(5.0, 6.0)).with_mask(logits);
        let scaled = prompt.scaled((320, 240), (160, 480));
        assert_eq!(scaled.points, [Point::background(2.5, 12.0)]);
        assert_eq!(scaled.bbox, Some(BoxPrompt { x_min: 5.0, y_min: 40.0, x_max: 15.0, y_max: 80.0 }));
        assert_eq!(scaled.mask, prompt.mask);
        assert_eq!(scaled.scaled((160, 480), (320, 240)), prompt);
    }

    #[test]
    fn the_number_of_points_is_limited() {
        let points = |n: usize| Prompt { points: vec![Point::foreground(1.0, 1.0); n], ..Prompt::default() };
        assert!(points(MAX_POINTS).check(8, 8).is_ok());
        let found = MAX_POINTS + 1;
        assert_eq!(points(found).check(8, 8), Err(PromptError::TooManyPoints { found, most: MAX_POINTS }));
    }

    #[test]
    fn a_mask_prompt_is_square_and_finite() {
        let mask = |side: usize, data: Vec<f32>| Prompt::default().with_mask(LowResLogits { side, data: data.into() });
        assert!(matches!(mask(2, vec![0.0; 3]).check(8, 8), Err(PromptError::MaskSize { found: 3, expected: 4, .. })));
        assert_eq!(mask(1, vec![f32::NAN]).check(8, 8), Err(PromptError::MaskNotFinite));
        assert!(mask(2, vec![1.0; 4]).check(8, 8).is_ok());
    }
}
