//! Masks without duplicates, beyond what the boxes of the reference tell apart.

use super::filter::{CornerBox, GeneratedMask};
pub use super::overlap::{Overlap, Parts, Priority};
use crate::pixels::{Mask, RunLengths};

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

/// Drops masks that are the same object as a mask with a higher score, and with [`Parts::Drop`] masks that are a part or
/// the whole of a mask with a higher score. The order of the others stays.
pub fn without_duplicates(masks: Vec<GeneratedMask>, overlap: Overlap) -> Vec<GeneratedMask> {
    let mut kept: Vec<usize> = Vec::new();
    for index in by_score(&masks) {
        let mask = &masks[index];
        let is_same = |other: &usize| {
            let other = &masks[*other];
            boxes_touch(mask.bbox, other.bbox) && {
                let shared = shared_area(&mask.mask, &other.mask) as f32;
                let (union, smaller) =
                    (mask.area as f32 + other.area as f32 - shared, mask.area.min(other.area) as f32);
                let is_part = shared > overlap.part * smaller;
                shared / union.max(1.0) > overlap.iou || (overlap.parts == Parts::Drop && is_part)
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

/// Sets [`GeneratedMask::part_of`] of each mask.
pub fn link_parts(masks: &mut [GeneratedMask], overlap: Overlap) {
    for (part_of, index) in wholes(masks, overlap).into_iter().zip(0..) {
        masks[index].part_of = part_of;
    }
}

/// Gives each pixel to one mask. Masks that lose all of their pixels are dropped; the order of the others stays.
/// [`GeneratedMask::part_of`] follows the new order, and is `None` if the whole was dropped.
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
    let kept = masks.iter().scan(0, |kept, mask| {
        let place = mask.is_some().then_some(*kept);
        *kept += usize::from(mask.is_some());
        Some(place)
    });
    let places: Vec<Option<usize>> = kept.collect();
    let mut masks: Vec<GeneratedMask> = masks.into_iter().flatten().collect();
    for mask in &mut masks {
        mask.part_of = mask.part_of.and_then(|whole| places.get(whole).copied().flatten());
    }
    masks
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
            part_of: None,
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
    fn parts_are_dropped_on_request() {
        let masks = || vec![columns(0, 10, 0.9), columns(0, 6, 0.95), columns(1, 3, 0.8), columns(5, 10, 0.7)];
        let areas = |parts: Parts| {
            let kept = without_duplicates(masks(), Overlap { parts, ..Overlap::default() });
            kept.iter().map(|m| m.area).collect::<Vec<_>>()
        };
        assert_eq!(areas(Parts::Keep), [40, 24, 8, 20]);
        // The second mask has the highest score. The last mask shares a fifth of its pixels with it.
        assert_eq!(areas(Parts::Drop), [24, 20]);
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

    #[test]
    fn indices_of_wholes_follow_the_masks_that_remain() {
        // The first mask loses all pixels to the second.
        let mut masks = vec![columns(2, 5, 0.6), columns(2, 6, 0.9), columns(0, 10, 0.7), columns(0, 1, 0.8)];
        link_parts(&mut masks, Overlap::default());
        let part_of = |masks: &[GeneratedMask]| masks.iter().map(|m| m.part_of).collect::<Vec<_>>();
        assert_eq!(part_of(&masks), [Some(1), Some(2), None, Some(2)]);
        assert_eq!(part_of(&disjoint(masks, Priority::Certain)), [Some(1), None, Some(1)]);
    }
}
