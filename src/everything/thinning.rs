//! Edge thinning: non-maximum suppression across edges, as in `edgesDetect.m` and `edgesNmsMex.cpp` of Dollár's Structured
//! Edge Detection toolbox, with which edges are commonly thinned for BSDS500.

/// Radius of the triangle filter that the strength is smoothed with.
const SMOOTH: usize = 1;
/// Radius of the triangle filter for the orientation.
const SMOOTH_ORIENTATION: usize = 4;
/// A pixel is kept if its strength times this reaches that of both neighbours across the edge.
const TOLERANCE: f32 = 1.01;
/// Edges are weakened within this many pixels of the image's border, where gradients are unreliable.
const BORDER: usize = 5;

/// The ridges of `strength` (rows of `width` values); the other pixels become 0.
pub(super) fn thin(strength: &[f32], width: usize) -> Vec<f32> {
    let height = strength.len() / width.max(1);
    if width < 2 || height < 2 {
        return strength.to_vec();
    }
    let smooth = triangle(strength, width, height, SMOOTH);
    let orientation = orientations(&triangle(&smooth, width, height, SMOOTH_ORIENTATION), width, height);
    let margin = BORDER.min(width / 2).min(height / 2);
    let mut thinned = vec![0.0; strength.len()];
    for y in 0..height {
        for x in 0..width {
            let at = y * width + x;
            let value = smooth[at] * TOLERANCE;
            let (sin, cos) = orientation[at].sin_cos();
            let neighbour = |d: f32| sample(&smooth, width, height, x as f32 + d * cos, y as f32 + d * sin);
            if smooth[at] > 0.0 && value >= neighbour(-1.0) && value >= neighbour(1.0) {
                thinned[at] = smooth[at] * border_weight(x, width, margin) * border_weight(y, height, margin);
            }
        }
    }
    thinned
}

/// Weight of a position along one axis: less than 1 within `margin` pixels of either end.
fn border_weight(position: usize, length: usize, margin: usize) -> f32 {
    let distance = position.min(length - 1 - position);
    if distance < margin { distance as f32 / margin as f32 } else { 1.0 }
}

/// Smooths with a triangle filter of radius `r` along both axes; the border repeats mirrored.
fn triangle(values: &[f32], width: usize, height: usize, r: usize) -> Vec<f32> {
    let weights: Vec<f32> = (0..=2 * r).map(|k| (r + 1 - k.abs_diff(r)) as f32 / ((r + 1) * (r + 1)) as f32).collect();
    let mirrored = |position: isize, length: usize| {
        let length = length as isize;
        let position = if position < 0 { -1 - position } else { position };
        let position = if position >= length { 2 * length - 1 - position } else { position };
        position.clamp(0, length - 1) as usize
    };
    let along = |values: &[f32], step: usize, length: usize, lines: usize, line_step: usize| {
        let mut out = vec![0.0; values.len()];
        for line in 0..lines {
            for position in 0..length {
                let tap = |(k, weight): (usize, &f32)| {
                    let source = mirrored(position as isize + k as isize - r as isize, length);
                    weight * values[line * line_step + source * step]
                };
                out[line * line_step + position * step] = weights.iter().enumerate().map(tap).sum();
            }
        }
        out
    };
    let rows = along(values, 1, width, height, width);
    along(&rows, width, height, width, 1)
}

/// Direction across the edge at each pixel, from 0 to pi.
fn orientations(values: &[f32], width: usize, height: usize) -> Vec<f32> {
    let (along_x, along_y) = gradient(values, width, height);
    let (xx, _) = gradient(&along_x, width, height);
    let (xy, yy) = gradient(&along_y, width, height);
    let angle = |((xx, xy), yy): ((&f32, &f32), &f32)| {
        // The toolbox takes 0 for the sign of 0, which leaves exactly horizontal edges thick.
        let sign = if *xy > 0.0 { -1.0 } else { 1.0 };
        (yy * sign / (xx + 1e-5)).atan().rem_euclid(std::f32::consts::PI)
    };
    xx.iter().zip(&xy).zip(&yy).map(angle).collect()
}

/// Central differences, one-sided at the border: MATLAB's `gradient`.
fn gradient(values: &[f32], width: usize, height: usize) -> (Vec<f32>, Vec<f32>) {
    let mut along_x = vec![0.0; values.len()];
    let mut along_y = vec![0.0; values.len()];
    for y in 0..height {
        for x in 0..width {
            let at = y * width + x;
            let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
            let (above, below) = (y.saturating_sub(1), (y + 1).min(height - 1));
            along_x[at] = (values[y * width + right] - values[y * width + left]) / (right - left) as f32;
            along_y[at] = (values[below * width + x] - values[above * width + x]) / (below - above) as f32;
        }
    }
    (along_x, along_y)
}

/// Bilinear interpolation; positions beyond the border are those at the border.
fn sample(values: &[f32], width: usize, height: usize, x: f32, y: f32) -> f32 {
    let x = x.clamp(0.0, width as f32 - 1.001);
    let y = y.clamp(0.0, height as f32 - 1.001);
    let (x0, y0) = (x as usize, y as usize);
    let (dx, dy) = (x - x0 as f32, y - y0 as f32);
    let at = |x: usize, y: usize| values[y * width + x];
    (1.0 - dx) * (1.0 - dy) * at(x0, y0)
        + dx * (1.0 - dy) * at(x0 + 1, y0)
        + (1.0 - dx) * dy * at(x0, y0 + 1)
        + dx * dy * at(x0 + 1, y0 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thick_line_becomes_its_middle() {
        let (width, height) = (40, 30);
        let profile = |x: usize| match x.abs_diff(20) {
            0 => 1.0,
            1 => 0.7,
            2 => 0.3,
            _ => 0.0,
        };
        let strength: Vec<f32> = (0..width * height).map(|at| profile(at % width)).collect();
        let thinned = thin(&strength, width);
        for y in BORDER..height - BORDER {
            let row = &thinned[y * width..(y + 1) * width];
            let ridge: Vec<usize> = (0..width).filter(|x| row[*x] > 0.0).collect();
            assert_eq!(ridge, [20], "row {y}");
        }
        let transposed: Vec<f32> = (0..width * height).map(|at| profile(at / height + 4)).collect();
        let thinned = thin(&transposed, height);
        let column: Vec<usize> = (0..width).filter(|y| thinned[y * height + 15] > 0.0).collect();
        assert_eq!(column, [16]);
    }

    #[test]
    fn images_of_one_row_or_column_are_left_alone() {
        assert_eq!(thin(&[0.5, 1.0], 2), [0.5, 1.0]);
        assert_eq!(thin(&[0.5, 1.0], 1), [0.5, 1.0]);
    }
}
