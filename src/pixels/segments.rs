//! Overlays of all masks of an image, in colours that tell neighbours apart.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use image::RgbImage;

use super::draw::Rgb;
use super::labels::label_image;
use super::mask::Mask;
use super::oklab::{self, Oklab};
use super::tint;

/// Lightness of the colours in OKLab, and hues at each lightness.
const LIGHTNESS: [f32; 3] = [0.72, 0.58, 0.86];
const HUES: usize = 12;
/// Most colourful colours. Fewer are possible for some hues.
const CHROMA: f32 = 0.21;
const LEAST_CHROMA: f32 = 0.09;
/// Colours that differ by this much are told apart at a glance.
const CLEAR: f32 = 0.28;

/// Draws masks on a copy of the image, without labels. Where masks overlap, the smallest lies on top. Masks of another size
/// than the image are left out.
pub fn draw_segments(image: &RgbImage, masks: &[&Mask]) -> RgbImage {
    let mut out = image.clone();
    let masks: Vec<&Mask> =
        masks.iter().copied().filter(|mask| (mask.width, mask.height) == image.dimensions()).collect();
    if masks.is_empty() {
        return out;
    }
    // An id above 65535 has another label; its mask is drawn without its fill.
    let numbered: Vec<(u32, &Mask)> = (1..).zip(masks.iter().copied()).collect();
    let labels = label_image(&numbered);
    let colours = colours(image, &masks, &labels);
    let mut order: Vec<usize> = (0..masks.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(masks[*index].area));
    let unit = image.width().min(image.height()) as f32 / 480.0;
    let radius = unit.round().max(1.0) as usize;
    for index in order {
        let label = index as u32 + 1;
        let is_filled = |pixel: usize| u32::from(labels[pixel]) == label;
        tint::mask(&mut out, masks[index], colours[index], radius, is_filled);
    }
    out
}

/// A colour that a mask may have.
struct Choice {
    rgb: Rgb,
    lab: Oklab,
}

static PALETTE: LazyLock<Vec<Choice>> = LazyLock::new(|| {
    let hues = |lightness: f32| (0..HUES).filter_map(move |step| choice(lightness, step as f32 / HUES as f32));
    LIGHTNESS.into_iter().flat_map(hues).collect()
});

/// Returns the most colourful colour of sRGB with this lightness and hue (0 to 1), or none if even that is greyish.
fn choice(lightness: f32, hue: f32) -> Option<Choice> {
    let (sin, cos) = (hue * std::f32::consts::TAU).sin_cos();
    let chroma = |step: u8| CHROMA - f32::from(step) * 0.005;
    (0..).map(chroma).take_while(|chroma| *chroma >= LEAST_CHROMA).find_map(|chroma| {
        let lab = [lightness, chroma * cos, chroma * sin];
        oklab::to_rgb(lab).map(|rgb| Choice { rgb, lab })
    })
}

/// Returns the colour of each mask. The masks choose in turn, largest first: the colour that differs most from the colours
/// of the neighbours, from the image beneath, and from colours that are used often.
fn colours(image: &RgbImage, masks: &[&Mask], labels: &[u16]) -> Vec<Rgb> {
    let neighbours = neighbours(masks.len(), labels, image.dimensions());
    let beneath = mean_colours(image, masks.len(), labels);
    let mut order: Vec<usize> = (0..masks.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(masks[*index].area));
    let mut chosen: Vec<Option<usize>> = vec![None; masks.len()];
    let mut uses = vec![0u32; PALETTE.len()];
    for index in order {
        let around: Vec<Oklab> =
            neighbours[index].iter().filter_map(|other| chosen[*other]).map(|choice| PALETTE[choice].lab).collect();
        let rating = |choice: usize| {
            let lab = PALETTE[choice].lab;
            let nearest = around.iter().map(|other| oklab::distance(lab, *other)).fold(CLEAR, f32::min);
            let contrast = beneath[index].map_or(CLEAR, |image| oklab::distance(lab, image).min(CLEAR));
            3.0 * nearest + contrast - 0.04 * uses[choice] as f32
        };
        // The first of equal ratings.
        let best = (0..PALETTE.len()).rev().max_by(|a, b| rating(*a).total_cmp(&rating(*b))).unwrap_or_default();
        uses[best] += 1;
        chosen[index] = Some(best);
    }
    chosen.into_iter().map(|choice| PALETTE[choice.unwrap_or_default()].rgb).collect()
}

/// Returns the masks that lie beside each mask: their pixels in the label image are at most a fortieth of the short side
/// apart.
fn neighbours(masks: usize, labels: &[u16], (width, height): (u32, u32)) -> Vec<BTreeSet<usize>> {
    let (width, height) = (width as usize, height as usize);
    let reach = (width.min(height) / 40).max(1);
    let mut neighbours = vec![BTreeSet::new(); masks];
    let mut last = (0, 0);
    for distance in BTreeSet::from([1, reach.div_ceil(2), reach]) {
        for (dx, dy) in [(distance, 0), (0, distance)] {
            for y in 0..height.saturating_sub(dy) {
                for x in 0..width.saturating_sub(dx) {
                    let (a, b) = (labels[y * width + x], labels[(y + dy) * width + x + dx]);
                    // Most pixels have the labels of the pixel before.
                    if a != b && a != 0 && b != 0 && (a, b) != last {
                        last = (a, b);
                        neighbours[usize::from(a) - 1].insert(usize::from(b) - 1);
                        neighbours[usize::from(b) - 1].insert(usize::from(a) - 1);
                    }
                }
            }
        }
    }
    neighbours
}

/// Returns the mean colour of the image beneath each mask, for the pixels where the mask lies on top; none without such a
/// pixel.
fn mean_colours(image: &RgbImage, masks: usize, labels: &[u16]) -> Vec<Option<Oklab>> {
    let mut sums = vec![([0u64; 3], 0u64); masks];
    for (pixel, label) in image.pixels().zip(labels) {
        if let Some((sum, count)) = usize::from(*label).checked_sub(1).and_then(|index| sums.get_mut(index)) {
            sum.iter_mut().zip(pixel.0).for_each(|(sum, level)| *sum += u64::from(level));
            *count += 1;
        }
    }
    let mean = |(sum, count): ([u64; 3], u64)| (count > 0).then(|| oklab::from_rgb(sum.map(|sum| (sum / count) as u8)));
    sums.into_iter().map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::draw::blend;

    /// Squares of 10 pixels, in `columns` columns.
    fn squares(columns: u32, rows: u32) -> (RgbImage, Vec<Mask>) {
        let (width, height) = (columns * 10, rows * 10);
        let square = |index: u32| {
            let inside = |at: u32| (at % width / 10, at / width / 10) == (index % columns, index / columns);
            let data: Vec<u8> = (0..width * height).map(|at| u8::from(inside(at))).collect();
            Mask::from_data(width, height, &data).unwrap()
        };
        let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, 90]));
        (image, (0..columns * rows).map(square).collect())
    }

    #[test]
    fn neighbours_differ_clearly_and_the_palette_has_no_doubles() {
        let (image, masks) = squares(8, 6);
        let masks: Vec<&Mask> = masks.iter().collect();
        let numbered: Vec<(u32, &Mask)> = (1..).zip(masks.iter().copied()).collect();
        let labels = label_image(&numbered);
        let colours = colours(&image, &masks, &labels);
        let lab = |index: usize| oklab::from_rgb(colours[index]);
        for index in 0..48 {
            for other in [(index % 8 < 7).then_some(index + 1), (index < 40).then_some(index + 8)].into_iter().flatten()
            {
                let distance = oklab::distance(lab(index), lab(other));
                assert!(distance > 0.2, "{index} {:?} and {other} {:?}", colours[index], colours[other]);
            }
        }
        assert!(PALETTE.len() > 24, "{}", PALETTE.len());
        for (index, a) in PALETTE.iter().enumerate() {
            assert!(PALETTE[..index].iter().all(|b| oklab::distance(a.lab, b.lab) > 0.04), "{:?}", a.rgb);
        }
    }

    #[test]
    fn a_small_mask_lies_on_top_of_a_large_mask_in_any_order() {
        let image = RgbImage::from_pixel(60, 40, image::Rgb([100; 3]));
        let square = |from: u32, to: u32| {
            let inside = |at: u32| (from..to).contains(&(at % 60)) && (from..to).contains(&(at / 60));
            Mask::from_data(60, 40, &(0..2400).map(|at| u8::from(inside(at))).collect::<Vec<_>>()).unwrap()
        };
        let (large, small) = (square(2, 38), square(15, 25));
        for masks in [[&large, &small], [&small, &large]] {
            let out = draw_segments(&image, &masks);
            assert_ne!(out.get_pixel(20, 20), out.get_pixel(8, 8), "the fill of the large mask");
            for (x, y) in [(20, 20), (8, 8)] {
                let is_tinted_once = |choice: &Choice| {
                    let mut pixel = [100; 3];
                    blend(&mut pixel, choice.rgb, tint::FILL);
                    pixel == out.get_pixel(x, y).0
                };
                assert!(PALETTE.iter().any(is_tinted_once), "({x}, {y}) is {:?}", out.get_pixel(x, y));
            }
            assert_eq!(out.get_pixel(50, 20).0, [100; 3]);
        }
    }

    #[test]
    fn no_mask_empty_masks_and_masks_of_another_size_change_nothing() {
        let image = RgbImage::from_pixel(6, 4, image::Rgb([100; 3]));
        let (empty, other) = (Mask::empty(6, 4), Mask::from_data(2, 2, &[1; 4]).unwrap());
        assert_eq!(draw_segments(&image, &[]), image);
        assert_eq!(draw_segments(&image, &[&empty, &other]), image);
        assert_eq!(draw_segments(&RgbImage::new(0, 0), &[]).dimensions(), (0, 0));
    }
}
