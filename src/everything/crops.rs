//! The crops that the generator looks at: `generate_crop_boxes` of segment_anything/utils/amg.py.

use crate::pixels::PixelRect;

/// One crop of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    /// Where the crop lies in the image, in pixels.
    pub rect: PixelRect,
    /// 0 for the whole image; layer `i` has `2^i` by `2^i` crops.
    pub layer: u32,
}

/// The whole image, then the crops of each layer: column by column, each from top to bottom.
pub fn crops(width: u32, height: u32, layers: u32, overlap_ratio: f64) -> Vec<Crop> {
    let mut crops = vec![Crop { rect: PixelRect { x: 0, y: 0, width, height }, layer: 0 }];
    let short_side = f64::from(width.min(height));
    for layer in 1..=layers {
        let per_side = 2u32.pow(layer);
        let overlap = (overlap_ratio * short_side * (2.0 / f64::from(per_side))) as u32;
        let length = |image: u32| (overlap * (per_side - 1) + image).div_ceil(per_side);
        let (crop_width, crop_height) = (length(width), length(height));
        let start = |k: u32, crop: u32| k * crop.saturating_sub(overlap);
        for column in 0..per_side {
            for row in 0..per_side {
                let (x, y) = (start(column, crop_width), start(row, crop_height));
                // Rounding up the length can push the last crop of a tiny image out of it.
                if x >= width || y >= height {
                    continue;
                }
                let rect = PixelRect { x, y, width: crop_width.min(width - x), height: crop_height.min(height - y) };
                crops.push(Crop { rect, layer });
            }
        }
    }
    crops
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corners(width: u32, height: u32, layers: u32) -> Vec<[u32; 4]> {
        let crops = crops(width, height, layers, 512.0 / 1500.0);
        crops.iter().map(|c| [c.rect.x, c.rect.y, c.rect.x + c.rect.width, c.rect.y + c.rect.height]).collect()
    }

    /// Values of `generate_crop_boxes((400, 600), 2, 512 / 1500)`.
    #[test]
    fn crops_are_those_of_the_reference() {
        let all = corners(600, 400, 2);
        assert_eq!(all.len(), 1 + 4 + 16);
        assert_eq!(
            all[..6],
            [
                [0, 0, 600, 400],
                [0, 0, 368, 268],
                [0, 132, 368, 400],
                [232, 0, 600, 268],
                [232, 132, 600, 400],
                [0, 0, 201, 151],
            ]
        );
        assert_eq!(all[20], [399, 249, 600, 400]);
    }

    #[test]
    fn one_pixel_has_crops_inside_the_image_only() {
        assert!(corners(1, 1, 2).iter().all(|c| *c == [0, 0, 1, 1]));
    }
}
