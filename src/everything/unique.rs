//! Masks without duplicates, beyond what the boxes of the reference tell apart.

use super::filter::{CornerBox, GeneratedMask};
use crate::pixels::{Mask, RunLengths};

/// How masks that share pixels are told apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlap {
    /// Two masks with an IoU above this are the same object: the one with the lower score is dropped.
    pub iou: f32,
    /// A mask is a part of a larger mask if more than this part of its pixels lies inside the larger mask.
    pub part: f32,
}

impl Default for Overlap {
    fn default() -> Self {
        Overlap { iou: 0.8, part: 0.9 }
    }
}

/// Which mask gets a pixel that several masks claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// The mask with the higher predicted IoU times stability score.
    #[default]
    Certain,
    /// The larger mask.
    Large,
}

fn score(mask: &GeneratedMask) -> f32 {
    mask.predicted_iou * mask.stability_score
}

/// Indices of the masks by falling score.
fn by_score(masks: &[GeneratedMask]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..masks.len()).collect();
    order.sort_by(|a, b| score(&masks[*b]).total_cmp(&score(&masks[*a])));
    order
}

/// Pixels that two masks of one image share. Runs are compared, not pixels.
pub fn shared_area(a: &RunLengths, b: &RunLengths) -> u64 {
    let (mut a, mut b) = (a.inside().peekable(), b.inside().peekable());
    let mut shared = 0;
    while let (Some(first), Some(second)) = (a.peek(), b.peek()) {
        shared += first.end.min(second.end).saturating_sub(first.start.max(second.start)) as u64;
        if first.end < second.end {
            a.next()
        } else {
            b.next()
        };
    }
    shared
}

/// Drops masks that are the same object as a mask with a higher score. The order of the others stays.
pub fn without_duplicates(masks: Vec<GeneratedMask>, overlap: Overlap) -> Vec<GeneratedMask> {
    let mut kept: Vec<usize> = Vec::new();
    for index in by_score(&masks) {
        let mask = &masks[index];
        let is_same = |other: &usize| {
            let other = &masks[*other];
            boxes_touch(mask.bbox, other.bbox) && {
                let shared = shared_area(&mask.mask, &other.mask) as f32;
                shared / (mask.area as f32 + other.area as f32 - shared).max(1.0) > overlap.iou
            }
        };
        if !kept.iter().any(is_same) {
            kept.push(index);
        }
    }
    let mut is_kept = vec![false; masks.len()];
    kept.into_iter().for_each(|index| is_kept[index] = true);
    masks.into_iter().zip(is_kept).filter_map(|(mask, kept)| kept.then_some(mask)).collect()
}

/// For each mask the index of its whole: the smallest mask that it is a part of.
pub fn wholes(masks: &[GeneratedMask], overlap: Overlap) -> Vec<Option<usize>> {
    let is_part = |part: &GeneratedMask, whole: &GeneratedMask| {
        part.area < whole.area
            && boxes_touch(part.bbox, whole.bbox)
            && shared_area(&part.mask, &whole.mask) as f32 > overlap.part * part.area as f32
    };
    let whole_of = |part: &GeneratedMask| {
        let wholes = (0..masks.len()).filter(|index| is_part(part, &masks[*index]));
        wholes.min_by_key(|index| masks[*index].area)
    };
    masks.iter().map(whole_of).collect()
}

/// Gives each pixel to one mask. Masks that lose all of their pixels are dropped; the order of the others stays.
pub fn disjoint(masks: Vec<GeneratedMask>, priority: Priority) -> Vec<GeneratedMask> {
    let Some(first) = masks.first() else { return masks };
    let (width, height) = (first.mask.width, first.mask.height);
    let mut order = by_score(&masks);
    if priority == Priority::Large {
        order.sort_by_key(|index| std::cmp::Reverse(masks[*index].area));
    }
    let mut is_taken = vec![false; width as usize * height as usize];
    let mut masks: Vec<Option<GeneratedMask>> = masks.into_iter().map(Some).collect();
    for index in order {
        let Some(found) = &mut masks[index] else { continue };
        let mut pixels = found.mask.to_mask().full();
        for (pixel, taken) in pixels.iter_mut().zip(&mut is_taken) {
            if *taken {
                *pixel = 0;
            }
            *taken |= *pixel != 0;
        }
        match Mask::from_data(width, height, &pixels) {
            Some(mask) if mask.area > 0 => found.set_mask(&mask),
            _ => masks[index] = None,
        }
    }
    masks.into_iter().flatten().collect()
}

fn boxes_touch(a: CornerBox, b: CornerBox) -> bool {
    a.x_min <= b.x_max && b.x_min <= a.x_max && a.y_min <= b.y_max && b.y_min <= a.y_max
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::PixelRect;

    /// A mask of columns `start..end` of an image of 10 by 4 pixels.
    fn columns(start: u32, end: u32, score: f32) -> GeneratedMask {
        let data: Vec<u8> = (0..40).map(|at| u8::from((start..end).contains(&(at % 10)))).collect();
        let mask = Mask::from_data(10, 4, &data).unwrap();
        GeneratedMask {
            area: mask.area,
            bbox: CornerBox::of(&mask),
            mask: RunLengths::of(&mask),
            predicted_iou: score,
            stability_score: 1.0,
            point: [0.0, 0.0],
            crop: PixelRect { x: 0, y: 0, width: 10, height: 4 },
        }
    }

    #[test]
    fn shared_pixels_are_counted_on_runs() {
        assert_eq!(shared_area(&columns(0, 6, 1.0).mask, &columns(4, 9, 1.0).mask), 8);
        assert_eq!(shared_area(&columns(0, 4, 1.0).mask, &columns(4, 9, 1.0).mask), 0);
    }

    #[test]
    fn the_more_certain_of_two_masks_of_one_object_is_kept() {
        let masks = vec![columns(0, 9, 0.8), columns(0, 10, 0.9), columns(5, 10, 0.7)];
        let kept = without_duplicates(masks, Overlap::default());
        assert_eq!(kept.iter().map(|m| m.area).collect::<Vec<_>>(), [40, 20]);
    }

    #[test]
    fn a_part_names_the_smallest_whole() {
        let masks = [columns(0, 10, 0.9), columns(0, 6, 0.9), columns(1, 3, 0.9), columns(5, 10, 0.9)];
        assert_eq!(wholes(&masks, Overlap::default()), [None, Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn each_pixel_belongs_to_one_mask() {
        let masks = || vec![columns(0, 10, 0.6), columns(2, 5, 0.9), columns(3, 4, 0.7)];
        let areas = |masks: Vec<GeneratedMask>| masks.iter().map(|m| m.area).collect::<Vec<_>>();
        assert_eq!(areas(disjoint(masks(), Priority::Certain)), [28, 12]);
        assert_eq!(areas(disjoint(masks(), Priority::Large)), [40]);
    }
}
