//! From the mask of one frame to the prompt of the next, and from a mask prompt to the model's low resolution.

use super::object::Object;
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::pixels::{Geometry, MaskInput};
use crate::prompt::{LowResLogits, Point, Prompt};

/// Returns the prompt that follows an object from the frame of its last mask to the next frame: the previous logits, the
/// box around the mask, and the point farthest from its border. Returns `None` without a mask or if the mask is empty.
pub fn prompt_from_mask(object: &Object, geometry: &Geometry, threshold: f32) -> Option<Prompt> {
    let previous = object.previous_logits.clone()?;
    let side = previous.side;
    let inside: Vec<bool> = previous.data.iter().map(|v| *v > threshold).collect();
    let (column, row) = deepest(&inside, side)?;
    let (mut x0, mut y0, mut x1, mut y1) = (side, side, 0, 0);
    for (i, _) in inside.iter().enumerate().filter(|(_, v)| **v) {
        let (x, y) = (i % side, i / side);
        (x0, y0, x1, y1) = (x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1));
    }
    let (width, height) = (geometry.image.0 as f32, geometry.image.1 as f32);
    let scale_x = geometry.side as f32 / side as f32 * width / geometry.content.0 as f32;
    let scale_y = geometry.side as f32 / side as f32 * height / geometry.content.1 as f32;
    let (x, y) = ((column as f32 + 0.5) * scale_x, (row as f32 + 0.5) * scale_y);
    let point = Point::foreground(x.min(width - 1.0), y.min(height - 1.0));
    let x_max = (x1 as f32 * scale_x).min(width);
    let y_max = (y1 as f32 * scale_y).min(height);
    let prompt = Prompt::bbox(x0 as f32 * scale_x, y0 as f32 * scale_y, x_max, y_max);
    Some(prompt.with_point(point).with_mask(previous))
}

/// Returns the cell farthest from the border of the mask, as (column, row), by two passes of the chessboard distance. Of
/// several cells it is the nearest to their mean, so that the point moves with the object and not along it.
fn deepest(inside: &[bool], side: usize) -> Option<(usize, usize)> {
    let stride = side + 2;
    let mut distance = vec![0u32; stride * stride];
    let at = |x: usize, y: usize| (y + 1) * stride + x + 1;
    for y in 0..side {
        for x in 0..side {
            if inside[y * side + x] {
                let i = at(x, y);
                let near = [i - 1, i - stride - 1, i - stride, i - stride + 1].map(|n| distance[n]);
                distance[i] = 1 + near.into_iter().min().unwrap_or(0);
            }
        }
    }
    let mut best = 0;
    let mut deepest: Vec<(usize, usize)> = Vec::new();
    for y in (0..side).rev() {
        for x in (0..side).rev() {
            let i = at(x, y);
            if distance[i] == 0 {
                continue;
            }
            let near = [i + 1, i + stride + 1, i + stride, i + stride - 1].map(|n| distance[n]);
            distance[i] = distance[i].min(1 + near.into_iter().min().unwrap_or(0));
            if distance[i] > best {
                best = distance[i];
                deepest.clear();
            }
            if distance[i] == best {
                deepest.push((x, y));
            }
        }
    }
    let count = deepest.len().max(1) as f32;
    let mean = |axis: fn(&(usize, usize)) -> usize| deepest.iter().map(axis).sum::<usize>() as f32 / count;
    let (mean_x, mean_y) = (mean(|c| c.0), mean(|c| c.1));
    let from_mean = |c: &(usize, usize)| (c.0 as f32 - mean_x).hypot(c.1 as f32 - mean_y);
    deepest.into_iter().min_by(|a, b| from_mean(a).total_cmp(&from_mean(b)))
}

/// Converts a mask prompt to the model's low resolution.
///
/// # Errors
/// The mask is empty, or its size is neither the size of the image nor (for logits) the side of the model's
/// low-resolution masks.
pub fn mask_to_low_res(mask: &MaskInput, geometry: &Geometry, side: usize) -> Result<LowResLogits, Refusal> {
    let data = mask.to_low_res(geometry, side).ok_or_else(|| {
        let (MaskInput::Binary { width, height, .. } | MaskInput::Logits { width, height, .. }) = mask;
        let (image_width, image_height) = geometry.image;
        let expected = format!("a mono8 mask of {image_width}x{image_height} or 32FC1 logits of {side}x{side}");
        Refusal::new(RefusalKind::BadPrompt, format!("mask prompt of {width}x{height}, expected {expected}"))
    })?;
    if mask.is_empty() {
        let message = "mask prompt with nothing inside: mono8 above 127, or logits above 0, is the object";
        return Err(Refusal::new(RefusalKind::BadPrompt, message));
    }
    Ok(LowResLogits { side, data: data.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Persistence;
    use crate::engine::frame::PromptedFrame;
    use crate::engine::objects::ObjectSet;
    use crate::pixels::Resize;

    const FRAME: PromptedFrame = PromptedFrame { number: 1, size: (640, 480) };

    #[test]
    fn the_deepest_cell_is_far_from_the_border() {
        let side = 16;
        let inside: Vec<bool> =
            (0..side * side).map(|i| (2..13).contains(&(i % side)) && (4..11).contains(&(i / side))).collect();
        let (x, y) = deepest(&inside, side).unwrap();
        assert_eq!((x, y), (7, 7));
        assert_eq!(deepest(&vec![false; side * side], side), None);
    }

    #[test]
    fn a_drawn_mask_comes_back_as_box_and_point_in_image_pixels() {
        let geometry = Geometry::new(640, 480, 256, Resize::Letterbox);
        let mut data = vec![0; 640 * 480];
        for y in 100..300 {
            data[y * 640 + 200..y * 640 + 400].fill(255);
        }
        let drawn = MaskInput::Binary { width: 640, height: 480, data };
        let low = mask_to_low_res(&drawn, &geometry, 64).unwrap();
        let mut objects = ObjectSet::default();
        objects.click(Point::foreground(0.0, 0.0), Persistence::Track, &FRAME).unwrap();
        let object = objects.get_mut(1).unwrap();
        object.previous_logits = Some(low);
        let prompt = prompt_from_mask(object, &geometry, 0.0).unwrap();
        let b = prompt.bbox.unwrap();
        for (actual, expected) in [(b.x_min, 200.0), (b.y_min, 100.0), (b.x_max, 400.0), (b.y_max, 300.0)] {
            assert!((actual - expected).abs() <= 10.0, "{b:?}");
        }
        assert!((prompt.points[0].x - 300.0).abs() < 30.0 && (prompt.points[0].y - 200.0).abs() < 30.0);
    }

    #[test]
    fn a_drawn_mask_of_another_size_is_refused() {
        let geometry = Geometry::new(640, 480, 256, Resize::Letterbox);
        let drawn = MaskInput::Binary { width: 4, height: 4, data: vec![0; 16] };
        assert!(mask_to_low_res(&drawn, &geometry, 64).unwrap_err().message.contains("4x4"));
        let empty = MaskInput::Binary { width: 640, height: 480, data: vec![0; 640 * 480] };
        assert!(mask_to_low_res(&empty, &geometry, 64).unwrap_err().message.contains("nothing inside"));
    }
}
