//! Which objects on two frames are the same, by the intersection over union of their masks.

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
    let mut pairs = Vec::new();
    for (i, a) in before.iter().enumerate() {
        for (j, b) in now.iter().enumerate() {
            let overlap = if may_link(i, j) { iou(a, b) } else { 0.0 };
            if overlap > 0.0 && overlap >= least {
                pairs.push((overlap, i, j));
            }
        }
    }
    // Of equal pairs the first counts, so that the result does not depend on the sort.
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut is_taken, mut links) = (vec![false; before.len()], vec![None; now.len()]);
    for (_, i, j) in pairs {
        if !is_taken[i] && links[j].is_none() {
            is_taken[i] = true;
            links[j] = Some(i);
        }
    }
    links
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
}
