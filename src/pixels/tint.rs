//! Tints the pixels of a mask and draws its contour.

use std::collections::VecDeque;

use image::RgbImage;

use super::draw::{self, Rgb};
use super::mask::Mask;

/// Opacity of the colour inside a mask.
pub(super) const FILL: f32 = 0.42;

/// Fills the mask and draws its contour, `2 * radius + 1` pixels wide with soft borders. No contour is drawn along the
/// border of the image. Of the pixels inside the mask only those with `is_filled` are filled; it gets the index of the
/// pixel, row by row.
pub(super) fn mask(image: &mut RgbImage, mask: &Mask, colour: Rgb, radius: usize, is_filled: impl Fn(usize) -> bool) {
    let Some(b) = mask.bbox else { return };
    let (width, height) = (mask.width as usize, mask.height as usize);
    let (left, right) = ((b.x as usize).saturating_sub(radius), (b.x as usize + b.width as usize + radius).min(width));
    let (top, bottom) =
        ((b.y as usize).saturating_sub(radius), (b.y as usize + b.height as usize + radius).min(height));
    let columns = right - left;
    // Count the pixels inside the mask around each pixel with sliding windows: along the rows, then over the rows.
    let window = 2 * radius + 1;
    let inside = |x: usize, y: usize| mask.contains(x as u32, y as u32);
    let row_sums = |y: isize| -> Vec<u16> {
        let y = y.clamp(0, height as isize - 1) as usize;
        let at = |x: isize| u16::from(inside(x.clamp(0, width as isize - 1) as usize, y));
        let (start, reach) = (left as isize, radius as isize);
        let mut sum = (start - reach..=start + reach).map(at).sum::<u16>();
        let mut sums = Vec::with_capacity(columns);
        for x in start..right as isize {
            sums.push(sum);
            sum = sum + at(x + reach + 1) - at(x - reach);
        }
        sums
    };
    let (first, reach) = (top as isize, radius as isize);
    let mut kept: VecDeque<Vec<u16>> = (first - reach..=first + reach).map(row_sums).collect();
    let mut counts = vec![0u32; columns];
    for row in &kept {
        add(&mut counts, row);
    }
    let full = (window * window) as f32;
    for y in top..bottom {
        let pixels = &mut image.as_flat_samples_mut().samples[(y * width + left) * 3..][..columns * 3];
        for ((pixel, x), count) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(left..).zip(&counts) {
            if inside(x, y) && is_filled(y * width + x) {
                draw::blend(pixel, colour, FILL);
            }
            let share = *count as f32 / full;
            let contour = ((1.0 - (2.0 * share - 1.0).abs()) * 1.8).min(1.0);
            if contour > 0.0 {
                draw::blend(pixel, colour, contour);
            }
        }
        if let Some(oldest) = kept.pop_front() {
            for (count, own) in counts.iter_mut().zip(&oldest) {
                *count -= u32::from(*own);
            }
        }
        let next = row_sums(y as isize + reach + 1);
        add(&mut counts, &next);
        kept.push_back(next);
    }
}

fn add(counts: &mut [u32], row: &[u16]) {
    for (count, own) in counts.iter_mut().zip(row) {
        *count += u32::from(*own);
    }
}
