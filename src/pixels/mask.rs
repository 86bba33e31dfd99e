//! Low-resolution logits become masks in the camera's image.
//!
//! SAM (`Sam.postprocess_masks`): bilinear to the model's square, crop the padding, bilinear to the image, above the
//! threshold is inside. SAM 2 (`SAM2Transforms.postprocess_masks`): bilinear to the image in one step. The two steps
//! are done as one (see `axis`).
//!
//! The stability score is the one of `calculate_stability_score` (`utils/amg.py`), and like there it is counted on the
//! up-sampled logits, pixel by pixel of the image: pixels above `threshold + offset` over pixels above
//! `threshold - offset`.

use super::axis::AxisTaps;
use super::resize::{Geometry, Resize};

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PixelRect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// A mask in the camera's image. Only what lies in its tight box is stored: a detector's thousand small boxes on a
/// large image cost little.
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    /// Size of the image.
    pub width: u32,
    pub height: u32,
    /// Pixels inside.
    pub area: u32,
    /// The tight box; none when nothing is inside.
    pub bbox: Option<PixelRect>,
    /// The part within the tight box, row by row: 255 inside, 0 outside. Empty for an empty mask.
    pub cropped: Vec<u8>,
    /// 0..1, how little the mask changes with the threshold; 0 for an empty one.
    pub stability: f32,
}

impl Mask {
    /// A mask of someone else; anything but 0 is inside. None when `data` has another size. Its stability is 1.
    pub fn from_data(width: u32, height: u32, data: &[u8]) -> Option<Mask> {
        if data.len() as u64 != u64::from(width) * u64::from(height) {
            return None;
        }
        let mut extent = Extent::default();
        let binary: Vec<u8> = data.iter().map(|v| if *v == 0 { 0 } else { 255 }).collect();
        for (y, row) in binary.chunks_exact(width.max(1) as usize).enumerate() {
            for (x, _) in row.iter().enumerate().filter(|(_, value)| **value != 0) {
                extent.add(y, x, x + 1);
            }
        }
        Some(Mask::new(width, height, &binary, &extent, 1.0))
    }

    fn new(width: u32, height: u32, data: &[u8], extent: &Extent, stability: f32) -> Mask {
        let bbox = extent.rect();
        let cropped = bbox.map_or_else(Vec::new, |b| {
            let rows = data.chunks_exact(width.max(1) as usize).skip(b.y as usize).take(b.height as usize);
            rows.flat_map(|row| &row[b.x as usize..(b.x + b.width) as usize]).copied().collect()
        });
        Mask { width, height, area: extent.area, bbox, cropped, stability }
    }

    pub fn same_size(&self, other: &Mask) -> bool {
        (self.width, self.height) == (other.width, other.height)
    }

    /// Whether the pixel is inside; false outside the image.
    pub fn contains(&self, x: u32, y: u32) -> bool {
        let Some(b) = self.bbox else { return false };
        let within = (b.x..b.x + b.width).contains(&x) && (b.y..b.y + b.height).contains(&y);
        within && self.cropped[(y - b.y) as usize * b.width as usize + (x - b.x) as usize] != 0
    }

    /// The whole image, `width * height`, row by row: 255 inside, 0 outside.
    pub fn full(&self) -> Vec<u8> {
        let mut full = vec![0; self.width as usize * self.height as usize];
        self.for_each_row(|at, row| full[at..at + row.len()].copy_from_slice(row));
        full
    }

    /// Visits the rows of the tight box: where the row starts in the whole image, and its part within the box.
    pub(super) fn for_each_row(&self, mut visit: impl FnMut(usize, &[u8])) {
        let Some(b) = self.bbox else { return };
        for (y, row) in (b.y..).zip(self.cropped.chunks_exact(b.width as usize)) {
            visit(y as usize * self.width as usize + b.x as usize, row);
        }
    }
}

/// Area and tight box, gathered run by run, rows in order.
#[derive(Debug, Default)]
struct Extent {
    area: u32,
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Extent {
    /// The pixels `from..to` of row `y`.
    fn add(&mut self, y: usize, from: usize, to: usize) {
        if self.area == 0 {
            (self.left, self.right, self.top) = (from, to, y);
        }
        self.left = self.left.min(from);
        self.right = self.right.max(to);
        self.bottom = y + 1;
        self.area += (to - from) as u32;
    }

    fn rect(&self) -> Option<PixelRect> {
        (self.area > 0).then(|| PixelRect {
            x: self.left as u32,
            y: self.top as u32,
            width: (self.right - self.left) as u32,
            height: (self.bottom - self.top) as u32,
        })
    }
}

/// The up-sampling for one pair of sizes: make it once for all masks of a frame.
#[derive(Debug, Clone)]
pub struct MaskUpscaler {
    side: usize,
    columns: AxisTaps,
    rows: AxisTaps,
    width: u32,
    height: u32,
}

impl MaskUpscaler {
    /// `side`: cells of the low-resolution mask along each axis (256 for SAM), at least 1.
    pub fn new(side: usize, geometry: &Geometry) -> Self {
        let (width, height) = geometry.image;
        let (content_width, content_height) = geometry.content;
        let side = side.max(1);
        let square = geometry.side as usize;
        let axis = |content: u32, image: u32| match geometry.resize {
            Resize::Letterbox => AxisTaps::composed(side, square, content as usize, image as usize),
            Resize::Stretch => AxisTaps::direct(side, image as usize),
        };
        let (columns, rows) = (axis(content_width, width), axis(content_height, height));
        MaskUpscaler { side, columns, rows, width, height }
    }

    /// All logits at the size of the image, row by row: the plain version, which [`Self::mask`] agrees with bit by bit.
    ///
    /// # Panics
    /// When `low` is not `side * side` long: the caller has the tensor's shape.
    pub fn logits(&self, low: &[f32]) -> Vec<f32> {
        assert_eq!(low.len(), self.side * self.side, "low-resolution logits are square");
        let mut blended = vec![0.0; self.side];
        let mut out = Vec::with_capacity(self.rows.len() * self.columns.len());
        for y in 0..self.rows.len() {
            self.blend_row(low, y, &mut blended);
            out.extend((0..self.columns.len()).map(|x| self.sample(&blended, x)));
        }
        out
    }

    /// Threshold, area, box and stability in one pass over the image; no full-size logits are made. Runs of cells
    /// that are all on one side of the thresholds are filled without interpolation.
    ///
    /// # Panics
    /// When `low` is not `side * side` long: the caller has the tensor's shape.
    pub fn mask(&self, low: &[f32], threshold: f32, stability_offset: f32) -> Mask {
        assert_eq!(low.len(), self.side * self.side, "low-resolution logits are square");
        let width = self.columns.len();
        let levels = Levels::new(low, threshold, stability_offset);
        let mut data = vec![0u8; width * self.rows.len()];
        let mut blended = vec![0.0; self.side];
        let mut classes = vec![0u8; self.side];
        let mut extent = Extent::default();
        let mut counts = [0u64; 4];
        for (y, out) in data.chunks_exact_mut(width).enumerate() {
            self.blend_row(low, y, &mut blended);
            levels.classify(&blended, &mut classes);
            self.fill_row(y, &blended, &classes, &levels, out, &mut extent, &mut counts);
        }
        let surely = counts[3];
        let perhaps = counts[1] + counts[2] + counts[3];
        let stability = if perhaps == 0 { 0.0 } else { (surely as f64 / perhaps as f64) as f32 };
        Mask::new(self.width, self.height, &data, &extent, stability)
    }

    /// The row `y` of the image, still at low resolution along x.
    fn blend_row(&self, low: &[f32], y: usize, out: &mut [f32]) {
        let (first, weights) = self.rows.at(y);
        let row = |k: usize| &low[(first + k) * self.side..][..self.side];
        match weights {
            [a, b] => {
                for ((o, p), q) in out.iter_mut().zip(row(0)).zip(row(1)) {
                    *o = a * p + b * q;
                }
            }
            [a, b, c] => {
                for (((o, p), q), r) in out.iter_mut().zip(row(0)).zip(row(1)).zip(row(2)) {
                    *o = a * p + b * q + c * r;
                }
            }
            _ => {
                out.fill(0.0);
                for (k, weight) in weights.iter().enumerate() {
                    for (o, p) in out.iter_mut().zip(row(k)) {
                        *o += weight * p;
                    }
                }
            }
        }
    }

    #[inline]
    fn sample(&self, blended: &[f32], x: usize) -> f32 {
        let (first, weights) = self.columns.at(x);
        weights.iter().zip(&blended[first..]).fold(0.0, |sum, (weight, value)| sum + weight * value)
    }

    #[allow(clippy::too_many_arguments)] // the state of one pass over the image, spelled out
    fn fill_row(
        &self,
        y: usize,
        blended: &[f32],
        classes: &[u8],
        levels: &Levels,
        out: &mut [u8],
        extent: &mut Extent,
        counts: &mut [u64; 4],
    ) {
        let taps = self.columns.taps;
        let last = self.side - taps; // the last first cell
        let mut cell = 0;
        while cell <= last {
            let class = classes[cell];
            let run = classes[cell..].iter().take_while(|c| **c == class).count();
            if class != UNSURE && run >= taps {
                let end = cell + run - taps + 1;
                let (from, to) = (self.columns.starts[cell] as usize, self.columns.starts[end] as usize);
                counts[usize::from(class)] += (to - from) as u64;
                if class >= INSIDE && to > from {
                    out[from..to].fill(255);
                    extent.add(y, from, to);
                }
                cell = end;
            } else {
                let (from, to) = (self.columns.starts[cell] as usize, self.columns.starts[cell + 1] as usize);
                for (x, o) in out.iter_mut().enumerate().take(to).skip(from) {
                    let class = levels.class(self.sample(blended, x));
                    counts[usize::from(class)] += 1;
                    if class >= INSIDE {
                        *o = 255;
                        extent.add(y, x, x + 1);
                    }
                }
                cell += 1;
            }
        }
    }
}

/// A value's class is how many of the three levels it is above; from this one on it is inside the mask.
const INSIDE: u8 = 2;
/// Too near to a level for its neighbours' mean to be known.
const UNSURE: u8 = 255;

/// `threshold - offset`, `threshold`, `threshold + offset`.
struct Levels {
    exact: [f32; 3],
    /// A value above is so far above the level that a mean of such values is above it whatever was rounded.
    surely_above: [f32; 3],
    /// Likewise: not above is surely not above.
    perhaps_above: [f32; 3],
}

impl Levels {
    fn new(low: &[f32], threshold: f32, offset: f32) -> Self {
        let offset = offset.abs();
        let exact = [threshold - offset, threshold, threshold + offset];
        let largest = low.iter().fold(threshold.abs() + offset, |m, v| m.max(v.abs()));
        // Weights add up to 1 within a few roundings each, and so do the sums: 64 epsilon is far beyond all of them.
        let margin = 64.0 * f32::EPSILON * largest;
        Levels { exact, surely_above: exact.map(|l| l + margin), perhaps_above: exact.map(|l| l - margin) }
    }

    #[inline]
    fn class(&self, value: f32) -> u8 {
        above(&self.exact, value)
    }

    fn classify(&self, values: &[f32], classes: &mut [u8]) {
        for (class, value) in classes.iter_mut().zip(values) {
            let (low, high) = (above(&self.surely_above, *value), above(&self.perhaps_above, *value));
            *class = if low == high { low } else { UNSURE };
        }
    }
}

#[inline]
fn above(levels: &[f32; 3], value: f32) -> u8 {
    u8::from(value > levels[0]) + u8::from(value > levels[1]) + u8::from(value > levels[2])
}

/// Low-resolution logits (`side * side`, row by row) at the size of the camera's image. See [`MaskUpscaler::logits`].
pub fn upscale_logits(low: &[f32], side: usize, geometry: &Geometry) -> Vec<f32> {
    MaskUpscaler::new(side, geometry).logits(low)
}

/// The mask of low-resolution logits (`side * side`, row by row); `stability_offset` is 1.0 in the reference. For
/// several masks of a frame keep a [`MaskUpscaler`].
pub fn mask_from_low_res(low: &[f32], side: usize, geometry: &Geometry, threshold: f32, stability_offset: f32) -> Mask {
    MaskUpscaler::new(side, geometry).mask(low, threshold, stability_offset)
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
