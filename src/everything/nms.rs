//! Non-maximum suppression of boxes, as `torchvision.ops.nms` computes it.

/// Indices of the boxes that are kept, highest score first; boxes of equal score keep their order.
///
/// `boxes` are `[x_min, y_min, x_max, y_max]` with an area of `(x_max - x_min) * (y_max - y_min)`. A box is dropped if its
/// IoU with a kept one is above `threshold`. Two boxes without area have no IoU (0 / 0), and none is dropped.
pub fn box_nms(boxes: &[[f32; 4]], scores: &[f32], threshold: f64) -> Vec<usize> {
    let area = |b: &[f32; 4]| (b[2] - b[0]) * (b[3] - b[1]);
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let mut is_dropped = vec![false; boxes.len()];
    let mut kept = Vec::new();
    for (position, &index) in order.iter().enumerate() {
        if is_dropped[index] {
            continue;
        }
        kept.push(index);
        let a = &boxes[index];
        for &other in &order[position + 1..] {
            let b = &boxes[other];
            let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
            let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
            let intersection = width * height;
            let iou = intersection / (area(a) + area(b) - intersection);
            // False for NaN. The reference compares in double precision.
            if f64::from(iou) > threshold {
                is_dropped[other] = true;
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_certain_of_two_overlapping_boxes_is_dropped() {
        let boxes = [[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 8.0], [20.0, 0.0, 30.0, 10.0]];
        assert_eq!(box_nms(&boxes, &[0.5, 0.9, 0.7], 0.7), [1, 2]);
        // An IoU of exactly the threshold is kept.
        assert_eq!(box_nms(&boxes, &[0.5, 0.9, 0.7], f64::from(0.8f32)), [1, 2, 0]);
    }

    #[test]
    fn equal_scores_keep_their_order_and_boxes_without_area_are_kept() {
        let point = [3.0, 3.0, 3.0, 3.0];
        assert_eq!(box_nms(&[point, point, [0.0, 0.0, 9.0, 9.0]], &[1.0, 1.0, 1.0], 0.0), [0, 1, 2]);
    }
}
