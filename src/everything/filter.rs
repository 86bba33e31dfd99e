//! Which masks of the decoder are kept, and what is known about them.

use super::crops::Crop;
use super::settings::Settings;
use crate::pixels::{Mask, MaskUpscaler, PixelRect, RunLengths};

/// Distance from an edge of a crop, in pixels, within which a mask may have been cut off by the crop.
const EDGE_MARGIN: u32 = 20;

/// A box by its first and last pixels: `batched_mask_to_box` of the reference. A box of one pixel has no area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CornerBox {
    pub x_min: u32,
    pub y_min: u32,
    pub x_max: u32,
    pub y_max: u32,
}

impl CornerBox {
    /// The box around a mask; all 0 if the mask is empty.
    pub fn of(mask: &Mask) -> Self {
        let Some(PixelRect { x, y, width, height }) = mask.bbox else { return CornerBox::default() };
        CornerBox { x_min: x, y_min: y, x_max: x + width - 1, y_max: y + height - 1 }
    }

    /// `[x, y, width, height]` as the reference writes it: one less than the pixels along each axis.
    pub fn xywh(self) -> [u32; 4] {
        [self.x_min, self.y_min, self.x_max - self.x_min, self.y_max - self.y_min]
    }

    /// `[x_min, y_min, x_max, y_max]`.
    pub(super) fn corners(self) -> [f32; 4] {
        [self.x_min as f32, self.y_min as f32, self.x_max as f32, self.y_max as f32]
    }

    fn moved(self, x: u32, y: u32) -> Self {
        CornerBox { x_min: self.x_min + x, y_min: self.y_min + y, x_max: self.x_max + x, y_max: self.y_max + y }
    }
}

/// One mask of the generator, in pixels of the whole image.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedMask {
    /// The mask.
    pub mask: RunLengths,
    /// Pixels inside the mask.
    pub area: u32,
    /// The box around the mask.
    pub bbox: CornerBox,
    /// IoU of the mask, as the model predicts it.
    pub predicted_iou: f32,
    /// 0 to 1: how little the mask changes with the threshold. 0 where the reference divides 0 by 0.
    pub stability_score: f32,
    /// The click that the mask answers; the middle of the box with [`Search::Boxes`](super::search::Search::Boxes).
    pub point: [f64; 2],
    /// The crop that the mask was found in.
    pub crop: PixelRect,
    /// Index of the smallest mask of the result that this mask is a part of. `None` without
    /// [`Settings::mask_nms`], or if there is no such mask.
    pub part_of: Option<usize>,
}

impl GeneratedMask {
    /// Replaces the mask, with its area and box.
    pub(super) fn set_mask(&mut self, mask: &Mask) {
        self.area = mask.area;
        self.bbox = CornerBox::of(mask);
        self.mask = RunLengths::of(mask);
    }
}

/// Filters the masks of one crop.
pub(super) struct Filter<'a> {
    pub settings: &'a Settings,
    pub upscaler: &'a MaskUpscaler,
    pub mask_threshold: f32,
    pub crop: Crop,
    /// Width and height of the whole image, in pixels.
    pub image: (u32, u32),
}

impl Filter<'_> {
    /// The mask of low-resolution logits in the whole image, or `None` if it is filtered out. `point` is the mask's click
    /// in the crop.
    pub fn keep(&self, low_res: &[f32], predicted_iou: f32, point: [f64; 2]) -> Option<GeneratedMask> {
        if self.settings.pred_iou_thresh > 0.0 && !is_above(predicted_iou, self.settings.pred_iou_thresh) {
            return None;
        }
        let Settings { stability_score_offset: offset, stability_score_thresh: least, .. } = *self.settings;
        let mask = self.upscaler.stable_mask(low_res, self.mask_threshold, offset, least)?;
        let Crop { rect, .. } = self.crop;
        let bbox = CornerBox::of(&mask).moved(rect.x, rect.y);
        if is_near_crop_edge(bbox, rect, self.image) {
            return None;
        }
        let (width, height) = self.image;
        let within = mask.bbox.map(|b| PixelRect { x: b.x + rect.x, y: b.y + rect.y, ..b });
        let (area, stability_score) = (mask.area, mask.stability);
        let mask = RunLengths::of(&Mask { width, height, bbox: within, ..mask });
        let point = [point[0] + f64::from(rect.x), point[1] + f64::from(rect.y)];
        Some(GeneratedMask { mask, area, bbox, predicted_iou, stability_score, point, crop: rect, part_of: None })
    }
}

/// False for NaN, as in the reference.
fn is_above(value: f32, threshold: f32) -> bool {
    value > threshold
}

/// Whether a box comes close to an edge of the crop that is not also close to that edge of the image.
fn is_near_crop_edge(bbox: CornerBox, crop: PixelRect, (width, height): (u32, u32)) -> bool {
    let edges = [
        (bbox.x_min, crop.x, 0),
        (bbox.y_min, crop.y, 0),
        (bbox.x_max, crop.x + crop.width, width),
        (bbox.y_max, crop.y + crop.height, height),
    ];
    let is_near = |a: u32, b: u32| a.abs_diff(b) <= EDGE_MARGIN;
    edges.iter().any(|(position, of_crop, of_image)| is_near(*position, *of_crop) && !is_near(*position, *of_image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_has_the_first_and_last_pixel_and_one_pixel_has_no_area() {
        let mask = Mask::from_data(4, 3, &[0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(CornerBox::of(&mask).xywh(), [1, 1, 1, 0]);
        assert_eq!(CornerBox::of(&Mask::empty(4, 3)), CornerBox::default());
    }

    #[test]
    fn masks_at_an_edge_of_the_crop_are_dropped_unless_the_image_ends_there() {
        let crop = PixelRect { x: 0, y: 0, width: 368, height: 268 };
        let near =
            |x_min, y_min, x_max, y_max| is_near_crop_edge(CornerBox { x_min, y_min, x_max, y_max }, crop, (600, 400));
        assert!(!near(0, 0, 100, 100), "the image's own edge");
        assert!(near(50, 50, 348, 100) && !near(50, 50, 347, 100), "20 pixels are near, 21 are not");
        assert!(near(50, 50, 100, 288) && !near(50, 50, 100, 289));
        let whole = PixelRect { x: 0, y: 0, width: 600, height: 400 };
        assert!(!is_near_crop_edge(CornerBox { x_min: 0, y_min: 0, x_max: 599, y_max: 399 }, whole, (600, 400)));
    }
}
