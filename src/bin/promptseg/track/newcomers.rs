//! Whether an object that a phrase names is followed already.

/// A new mask with an IoU above this with the mask of an object is that object.
pub(super) const SAME: f32 = 0.5;

/// Returns the intersection over union of two masks of low-resolution logits.
pub(super) fn iou(a: &[f32], b: &[f32]) -> f32 {
    let (mut shared, mut union) = (0_usize, 0_usize);
    for (a, b) in a.iter().zip(b) {
        shared += usize::from(*a > 0.0 && *b > 0.0);
        union += usize::from(*a > 0.0 || *b > 0.0);
    }
    shared as f32 / union.max(1) as f32
}

#[cfg(test)]
mod tests {
    #[test]
    fn iou_counts_cells() {
        assert_eq!(super::iou(&[1.0, 1.0, -1.0, -1.0], &[-1.0, 2.0, 3.0, -1.0]), 1.0 / 3.0);
        assert_eq!(super::iou(&[-1.0], &[-1.0]), 0.0);
    }
}
