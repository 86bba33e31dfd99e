//! Which objects on two frames are the same, by the intersection over union of their masks.

use crate::everything::pairs::best_pairs;
use crate::everything::unique::shared_area;
use crate::pixels::RunLengths;

/// Returns the intersection over union of two masks of one image; 0 for images of different sizes or two empty masks.
pub fn iou(a: &RunLengths, b: &RunLengths) -> f32 {
    if (a.width, a.height) != (b.width, b.height) {
        return 0.0;
    }
    let shared = shared_area(a, b) as f32;
    let union = a.area() as f32 + b.area() as f32 - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

/// Links the masks of a frame to those of the frame before: for each mask the index of its predecessor. Pairs are linked by
/// falling IoU; a pair below `least` and a pair that `may_link` refuses stay apart, and each mask is in one pair at most.
pub fn link(
    before: &[&RunLengths],
    now: &[&RunLengths],
    least: f32,
    may_link: impl Fn(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let overlap = |i: usize, j: usize| {
        let overlap = if may_link(i, j) { iou(before[i], now[j]) } else { 0.0 };
        if overlap >= least { overlap } else { 0.0 }
    };
    // Equal pairs are in the order of their masks, so that the result does not depend on the order of the objects.
    best_pairs(before.len(), now.len(), overlap, |i, j| (&before[i].counts, &now[j].counts, i, j))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::Mask;

    /// A mask of columns `start..end` of an image of 10 by 4 pixels.
    fn columns(start: usize, end: usize) -> RunLengths {
        let data: Vec<u8> = (0..40).map(|at| u8::from((start..end).contains(&(at % 10)))).collect();
        RunLengths::of(&Mask::from_data(10, 4, &data).unwrap())
    }

    #[test]
    fn iou_counts_pixels() {
        assert_eq!(iou(&columns(0, 4), &columns(2, 6)), 2.0 / 6.0);
        assert_eq!(iou(&columns(0, 4), &columns(0, 4)), 1.0);
        assert_eq!(iou(&columns(0, 0), &columns(0, 0)), 0.0);
        let other = RunLengths { width: 4, height: 10, counts: vec![0, 40] };
        assert_eq!(iou(&columns(0, 10), &other), 0.0, "another size");
    }

    #[test]
    fn each_mask_is_linked_once_and_the_best_pair_first() {
        let (a, b) = (columns(0, 6), columns(4, 10));
        let (c, d) = (columns(1, 7), columns(2, 8));
        let all = |_, _| true;
        assert_eq!(link(&[&a, &b], &[&d, &c], 0.3, all), [Some(1), Some(0)]);
        assert_eq!(link(&[&a, &b], &[&d, &c], 0.6, all), [None, Some(0)]);
        assert_eq!(link(&[&a], &[&d, &c], 0.3, |_, now| now == 0), [Some(0), None]);
        assert_eq!(link(&[], &[&c], 0.3, all), [None]);
    }

    #[test]
    fn equal_pairs_are_linked_by_their_masks_in_any_order() {
        // Both old masks overlap the new one by half, and the other way round.
        let (left, right, middle) = (columns(0, 4), columns(4, 8), columns(2, 6));
        let all = |_, _| true;
        let first = link(&[&left, &right], &[&middle], 0.1, all)[0];
        let second = link(&[&right, &left], &[&middle], 0.1, all)[0];
        assert_eq!((first, second), (Some(0), Some(1)), "the left one in both orders");
        assert_eq!(link(&[&middle], &[&left, &right], 0.1, all), [Some(0), None]);
        assert_eq!(link(&[&middle], &[&right, &left], 0.1, all), [None, Some(0)]);
    }
}
