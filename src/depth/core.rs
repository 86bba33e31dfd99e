//! The core of a mask: its pixels without the uncertain band along its border.

use super::window::Window;
use crate::pixels::Mask;

/// Returns the pixels of the window that are inside the mask and in its certain part, row by row.
pub(super) fn certain_core(window: &Window, certain: &Mask) -> Vec<u8> {
    let mut core = vec![0; window.inside.len()];
    let Some(rect) = certain.bbox else { return core };
    let (x, y) = (window.rect.x.max(rect.x), window.rect.y.max(rect.y));
    let right = (window.rect.x + window.rect.width).min(rect.x + rect.width);
    let bottom = (window.rect.y + window.rect.height).min(rect.y + rect.height);
    let count = right.saturating_sub(x) as usize;
    for row in y..bottom {
        let here = (row - window.rect.y) as usize * window.width + (x.saturating_sub(window.rect.x)) as usize;
        let there = (row - rect.y) as usize * rect.width as usize + (x - rect.x) as usize;
        let pixels = core[here..][..count].iter_mut().zip(&window.inside[here..][..count]);
        for ((core, inside), certain) in pixels.zip(&certain.cropped[there..][..count]) {
            *core = inside & certain;
        }
    }
    core
}

/// Returns the pixels of the mask whose neighbours within `border` pixels are all inside, row by row. The border of the
/// image is no border of the object.
pub(super) fn eroded_core(window: &Window, image_size: (u32, u32), border: u32) -> Vec<u8> {
    let (width, height, border) = (window.width, window.height, border as usize);
    let rect = window.rect;
    let outside = |at_image_border: bool| if at_image_border { 255 } else { 0 };
    let (left, right) = (outside(rect.x == 0), outside(rect.x + rect.width == image_size.0));
    let (top, bottom) = (outside(rect.y == 0), outside(rect.y + rect.height == image_size.1));
    let mut core = Vec::with_capacity(width * height);
    let mut row = vec![0; width + 2 * border];
    for y in 0..height {
        // The pixels above and below, then the pixels to the left and right.
        row[..border].fill(left);
        row[border + width..].fill(right);
        let own = &mut row[border..border + width];
        own.copy_from_slice(&window.inside[y * width..][..width]);
        for other in y.saturating_sub(border)..(y + border + 1).min(height) {
            and(own, &window.inside[other * width..][..width]);
        }
        if y < border {
            own.iter_mut().for_each(|v| *v &= top);
        }
        if y + border >= height {
            own.iter_mut().for_each(|v| *v &= bottom);
        }
        let start = core.len();
        core.extend_from_slice(&row[border..border + width]);
        for shift in (0..=2 * border).filter(|shift| *shift != border) {
            and(&mut core[start..], &row[shift..][..width]);
        }
    }
    core
}

fn and(values: &mut [u8], others: &[u8]) {
    for (value, other) in values.iter_mut().zip(others) {
        *value &= other;
    }
}
