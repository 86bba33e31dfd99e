//! Up-sampling of low-resolution logits to masks in the camera's image.
//!
//! SAM (`Sam.postprocess_masks`): bilinear to the model's square, crop of the padding, bilinear to the image; logits
//! above the threshold are inside. SAM 2 (`SAM2Transforms.postprocess_masks`): bilinear to the image in one step. SAM's
//! two steps are composed into one operator (see `axis`), which runs along x first.
//!
//! The stability score is that of `calculate_stability_score` (`utils/amg.py`), on the up-sampled logits as in the
//! reference: the number of pixels above `threshold + offset`, divided by the number above `threshold - offset`.
//!
//! Most pixels need no interpolation. An interpolated logit is a mean of cells: if all cells are on one side of a
//! level, so are the pixels among them. The image is divided into blocks of [`BLOCK`] columns by a band of rows with
//! the same cells. Blocks on one side of all levels are filled, the other blocks are interpolated.

use multiversion::multiversion;

use super::axis::AxisTaps;
use super::canvas::Canvas;
use super::columns::{BLOCK, Columns, Expanded, Span};
use super::levels::{Levels, Sides, class, is_above_lowest, may_be_above_highest, may_be_inside};
use super::mask::Mask;
use super::resize::{Geometry, Resize};

/// The up-sampling for one geometry. Make it once for all masks of a frame.
#[derive(Debug, Clone)]
pub struct MaskUpscaler {
    side: usize,
    columns: Columns,
    rows: AxisTaps,
    /// Number of rows of each band: neighbouring rows of the image with the same cells.
    bands: Vec<usize>,
    width: u32,
    height: u32,
}

impl MaskUpscaler {
    /// Prepares the up-sampling of `side` x `side` cells (256 for SAM, at least 1) to the image of `geometry`.
    pub fn new(side: usize, geometry: &Geometry) -> Self {
        let (width, height) = geometry.image;
        let (content_width, content_height) = geometry.content;
        let side = side.max(1);
        let square = geometry.side as usize;
        let axis = |content: u32, image: u32| match geometry.resize {
            Resize::Letterbox => AxisTaps::composed(side, square, content as usize, image as usize),
            Resize::Stretch => AxisTaps::direct(side, image as usize),
        };
        let rows = axis(content_height, height);
        let bands = rows.first.chunk_by(|a, b| a == b).map(<[usize]>::len).collect();
        MaskUpscaler { side, columns: Columns::new(&axis(content_width, width)), rows, bands, width, height }
    }

    /// Returns the logits at the size of the image, row by row. [`Self::mask`] compares identical logits with the
    /// threshold.
    ///
    /// # Panics
    /// If `low` is not `side * side` long. The caller checks the shape of the tensor.
    pub fn logits(&self, low: &[f32]) -> Vec<f32> {
        assert_eq!(low.len(), self.side * self.side, "low-resolution logits are square");
        let mut out = vec![0.0; self.width as usize * self.height as usize];
        interpolate(self, low, &mut out);
        out
    }

    /// Returns the mask of `low` with its area, box and stability, in one pass over the image and without logits at the
    /// size of the image.
    ///
    /// # Panics
    /// If `low` is not `side * side` long. The caller checks the shape of the tensor.
    pub fn mask(&self, low: &[f32], threshold: f32, stability_offset: f32) -> Mask {
        // Every stability is at least 0.
        self.stable_mask(low, threshold, stability_offset, 0.0).unwrap_or_else(|| Mask::empty(self.width, self.height))
    }

    /// Returns the certain part of the mask of `low`: the pixels above `threshold + stability_offset`, which the stability score
    /// counts.
    ///
    /// # Panics
    /// If `low` is not `side * side` long. The caller checks the shape of the tensor.
    pub fn certain_mask(&self, low: &[f32], threshold: f32, stability_offset: f32) -> Mask {
        self.mask(low, threshold + stability_offset, 0.0)
    }

    /// Returns the mask of `low` as [`Self::mask`] does, or `None` if its stability is below `least`. The cells bound the
    /// stability: if the bound is below `least`, no pixel is computed.
    ///
    /// # Panics
    /// If `low` is not `side * side` long. The caller checks the shape of the tensor.
    pub fn stable_mask(&self, low: &[f32], threshold: f32, stability_offset: f32, least: f32) -> Option<Mask> {
        assert_eq!(low.len(), self.side * self.side, "low-resolution logits are square");
        draw(self, low, threshold, stability_offset, least)
    }
}

/// The up-sampling of the last frame. Cameras rarely change the size of their images.
#[derive(Debug, Default)]
pub struct LastUpscaler(Option<(Geometry, MaskUpscaler)>);

impl LastUpscaler {
    /// Returns the up-sampling of a geometry. It is made again only if the side or the geometry changed.
    pub fn get(&mut self, side: usize, geometry: &Geometry) -> &MaskUpscaler {
        self.0 = self.0.take().filter(|(last, upscaler)| last == geometry && upscaler.side == side.max(1));
        &self.0.get_or_insert_with(|| (*geometry, MaskUpscaler::new(side, geometry))).1
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn interpolate(upscaler: &MaskUpscaler, low: &[f32], out: &mut [f32]) {
    interpolate_rows(upscaler, low, out);
}

#[inline(always)]
fn interpolate_rows(upscaler: &MaskUpscaler, low: &[f32], out: &mut [f32]) {
    let MaskUpscaler { side, columns, rows, width, .. } = upscaler;
    let mut expanded = Expanded::new(columns, low, *side, rows.taps);
    for (y, out) in out.chunks_exact_mut(*width as usize).enumerate() {
        let (first, weights) = rows.at(y);
        expanded.start_band(first);
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            expanded.prepare(block);
            out.copy_from_slice(&expanded.blend(weights, block)[..out.len()]);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn draw(upscaler: &MaskUpscaler, low: &[f32], threshold: f32, offset: f32, least: f32) -> Option<Mask> {
    draw_bands(upscaler, low, threshold, offset, least)
}

#[inline(always)]
fn draw_bands(upscaler: &MaskUpscaler, low: &[f32], threshold: f32, offset: f32, least: f32) -> Option<Mask> {
    let MaskUpscaler { side, columns, rows, bands, width, height } = upscaler;
    let levels = Levels::new(low, threshold, offset);
    let all_sides = block_sides(upscaler, low, &levels);
    if most_stable(upscaler, &all_sides) < least {
        return None;
    }
    let mut canvas = canvas(upscaler, &all_sides);
    let mut expanded = Expanded::new(columns, low, *side, rows.taps);
    let mut above = [0; 3]; // pixels above each level
    let mut values = Vec::new();
    let mut band = 0..0;
    for (band_height, sides) in bands.iter().zip(all_sides.chunks_exact(columns.len())) {
        band = band.end..band.end + band_height;
        expanded.start_band(rows.first[band.start]);
        let mut end = 0;
        for run in sides.chunk_by(|a, b| a == b) {
            let start = end;
            end += run.len();
            let may_be_inside = may_be_inside(run[0]);
            if let Some(class) = class(run[0]) {
                let pixels = (end * BLOCK).min(*width as usize) - start * BLOCK;
                above[..class].iter_mut().for_each(|above| *above += pixels * band_height);
                if may_be_inside {
                    band.clone().for_each(|y| canvas.row(y, start)[..pixels].fill(255));
                }
                continue;
            }
            for block in start..end {
                expanded.prepare(block);
                values.clear();
                values.extend(band.clone().map(|y| expanded.blend(rows.at(y).1, block)));
                for (above, level) in above.iter_mut().zip(levels.exact) {
                    *above += count_above(values.as_flattened(), level);
                }
                if may_be_inside {
                    for (y, values) in band.clone().zip(&values) {
                        if let Some(inside) = canvas.row(y, block).first_chunk_mut() {
                            decide(values, levels.exact[1], inside);
                        }
                    }
                }
            }
        }
    }
    let stability = stability(above[2], above[0]);
    if stability < least {
        return None;
    }
    let (bbox, cropped) = canvas.tighten();
    Some(Mask { width: *width, height: *height, area: above[1] as u32, bbox, cropped, stability })
}

/// Returns the part of the pixels above the lowest level that is also above the highest level; 0 for an empty mask.
fn stability(above_highest: usize, above_lowest: usize) -> f32 {
    if above_lowest == 0 { 0.0 } else { (above_highest as f64 / above_lowest as f64) as f32 }
}

/// Returns an upper bound of the stability: pixels that may be above the highest level, divided by pixels that are surely
/// above the lowest level.
#[inline(always)]
fn most_stable(upscaler: &MaskUpscaler, all_sides: &[Sides]) -> f32 {
    let MaskUpscaler { columns, bands, width, .. } = upscaler;
    let blocks = columns.len();
    let (mut perhaps, mut surely) = (0, 0);
    for (band_height, sides) in bands.iter().zip(all_sides.chunks_exact(blocks)) {
        let (mut perhaps_wide, mut surely_wide) = (0, 0);
        for sides in sides {
            perhaps_wide += usize::from(may_be_above_highest(*sides));
            surely_wide += usize::from(is_above_lowest(*sides));
        }
        // The last block may end beyond the edge of the image.
        let spare = blocks * BLOCK - *width as usize;
        let last = sides[blocks - 1];
        perhaps += band_height * (perhaps_wide * BLOCK - if may_be_above_highest(last) { spare } else { 0 });
        surely += band_height * (surely_wide * BLOCK - if is_above_lowest(last) { spare } else { 0 });
    }
    if surely == 0 { f32::INFINITY } else { stability(perhaps, surely) }
}

/// Returns the sides of each block, `[band][block]`.
#[inline(always)]
fn block_sides(upscaler: &MaskUpscaler, low: &[f32], levels: &Levels) -> Vec<Sides> {
    let MaskUpscaler { side, columns, rows, bands, .. } = upscaler;
    let blocks = columns.len();
    let mut cells = vec![0; side + Span::SPARE];
    // The sides of each block on each row of cells of a band, `[row % taps][block]`.
    let mut kept = vec![0; rows.taps * blocks];
    let mut ready = 0;
    let mut all = vec![0; bands.len() * blocks];
    let mut y = 0;
    for (band, sides) in bands.iter().zip(all.chunks_exact_mut(blocks)) {
        let first = rows.first[y];
        ready = ready.max(first);
        while ready < first + rows.taps {
            for (sides, cell) in cells.iter_mut().zip(&low[ready * side..][..*side]) {
                *sides = levels.sides(*cell);
            }
            let kept = &mut kept[ready % rows.taps * blocks..][..blocks];
            for (sides, span) in kept.iter_mut().zip(&columns.cells) {
                *sides = span.sides(&cells);
            }
            ready += 1;
        }
        for kept in kept.chunks_exact(blocks) {
            for (sides, kept) in sides.iter_mut().zip(kept) {
                *sides |= kept;
            }
        }
        y += band;
    }
    all
}

/// Returns a canvas for the blocks that may have pixels inside the mask.
#[inline(always)]
fn canvas(upscaler: &MaskUpscaler, all_sides: &[Sides]) -> Canvas {
    let blocks = upscaler.columns.len();
    let mut columns = vec![0; blocks];
    let (mut top, mut bottom) = (usize::MAX, 0);
    let mut y = 0;
    for (band, sides) in upscaler.bands.iter().zip(all_sides.chunks_exact(blocks)) {
        let mut any = 0;
        for (column, sides) in columns.iter_mut().zip(sides) {
            *column |= sides;
            any |= sides;
        }
        if may_be_inside(any) {
            (top, bottom) = (top.min(y), y + band);
        }
        y += band;
    }
    let inside = |sides: &Sides| may_be_inside(*sides);
    let (left, right) = (columns.iter().position(inside), columns.iter().rposition(inside));
    Canvas::new((left.unwrap_or(0), right.map_or(0, |block| block + 1)), (top, bottom))
}

#[inline(always)]
fn count_above(values: &[f32], level: f32) -> usize {
    values.iter().map(|value| u32::from(*value > level)).sum::<u32>() as usize
}

#[inline(always)]
fn decide(values: &[f32; BLOCK], level: f32, inside: &mut [u8; BLOCK]) {
    for (inside, value) in inside.iter_mut().zip(values) {
        *inside = if *value > level { 255 } else { 0 };
    }
}

/// Returns low-resolution logits, `[side, side]`, at the size of the camera's image. See [`MaskUpscaler::logits`].
pub fn upscale_logits(low: &[f32], side: usize, geometry: &Geometry) -> Vec<f32> {
    MaskUpscaler::new(side, geometry).logits(low)
}

/// Returns the mask of low-resolution logits, `[side, side]`. `stability_offset` is 1.0 in the reference. Use a
/// [`MaskUpscaler`] for several masks of a frame.
pub fn mask_from_low_res(low: &[f32], side: usize, geometry: &Geometry, threshold: f32, stability_offset: f32) -> Mask {
    MaskUpscaler::new(side, geometry).mask(low, threshold, stability_offset)
}

#[cfg(test)]
#[path = "upscale_tests.rs"]
mod tests;
