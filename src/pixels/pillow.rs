//! Pillow's antialiased bilinear resize of 8-bit RGB, bit by bit.
//!
//! SAM resizes with Pillow, and one level of difference in a pixel is a thousandth in the embedding: libraries that
//! resize "like Pillow" with coefficients of 16 bits are not near enough. Source: `src/libImaging/Resample.c`,
//! `precompute_coeffs`, `normalize_coeffs_8bpc`, `ImagingResampleHorizontal_8bpc` and `..Vertical_8bpc`.

/// Fixed-point bits of a coefficient: 32 less 8 of a level and 2 of head room.
const PRECISION: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (PRECISION - 1);

/// Resizes images; keeps coefficients and the picture between the two passes from one call to the next.
#[derive(Debug, Default)]
pub(super) struct PillowResizer {
    columns: Axis,
    rows: Axis,
    /// After the horizontal pass: `new_width` x `height`.
    narrow: Vec<u8>,
    /// One row of sums.
    sums: Vec<i32>,
}

impl PillowResizer {
    /// Resizes `pixels` (interleaved RGB, `width` x `height`) into `out` (`new_width` x `new_height`), horizontally
    /// first. A direction whose size stays is left alone.
    pub fn run(
        &mut self,
        pixels: &[u8],
        (width, height): (usize, usize),
        out: &mut Vec<u8>,
        (new_width, new_height): (usize, usize),
    ) {
        let mut source = pixels;
        if new_width != width {
            self.columns.prepare(width, new_width);
            self.narrow.resize(new_width * height * 3, 0);
            let rows = source.chunks_exact(width * 3).zip(self.narrow.chunks_exact_mut(new_width * 3));
            for (row, out) in rows {
                self.columns.horizontal(row, out);
            }
            source = &self.narrow;
        }
        if new_height == height {
            out.clear();
            out.extend_from_slice(source);
            return;
        }
        self.rows.prepare(height, new_height);
        out.resize(new_width * new_height * 3, 0);
        self.sums.resize(new_width * 3, 0);
        for (y, row) in out.chunks_exact_mut(new_width * 3).enumerate() {
            self.rows.vertical(y, source, &mut self.sums, row);
        }
    }
}

/// The coefficients of one direction.
#[derive(Debug, Default)]
struct Axis {
    from: usize,
    to: usize,
    /// Most source pixels of an output pixel.
    taps: usize,
    /// For each output pixel its first source pixel and how many there are.
    spans: Vec<(usize, usize)>,
    /// `taps` for each output pixel, fixed point.
    weights: Vec<i32>,
}

impl Axis {
    fn prepare(&mut self, from: usize, to: usize) {
        if (self.from, self.to) == (from, to) {
            return;
        }
        let scale = from as f64 / to as f64;
        // Antialiasing: the triangle is as wide as an output pixel, but never narrower than a source pixel.
        let support = scale.max(1.0);
        self.taps = support.ceil() as usize * 2 + 1;
        self.spans.clear();
        self.weights.clear();
        let mut row = vec![0.0; self.taps];
        for i in 0..to {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let count = end - first;
            row.fill(0.0);
            let mut sum = 0.0;
            for (k, w) in row.iter_mut().enumerate().take(count) {
                let distance = ((k + first) as f64 - centre + 0.5) / support;
                *w = (1.0 - distance.abs()).max(0.0);
                sum += *w;
            }
            let fixed = |w: &f64| (0.5 + w / sum * f64::from(1u32 << PRECISION)) as i32;
            self.weights.extend(row.iter().map(|w| if *w == 0.0 { 0 } else { fixed(w) }));
            self.spans.push((first, count));
        }
        (self.from, self.to) = (from, to);
    }

    fn horizontal(&self, row: &[u8], out: &mut [u8]) {
        let pixels = row.as_chunks::<3>().0;
        let weights = self.weights.chunks_exact(self.taps);
        for ((out, (first, count)), weights) in out.as_chunks_mut::<3>().0.iter_mut().zip(&self.spans).zip(weights) {
            let mut sum = [HALF; 3];
            for (pixel, weight) in pixels[*first..first + count].iter().zip(weights) {
                for (s, level) in sum.iter_mut().zip(pixel) {
                    *s += i32::from(*level) * weight;
                }
            }
            *out = sum.map(level);
        }
    }

    fn vertical(&self, y: usize, source: &[u8], sums: &mut [i32], out: &mut [u8]) {
        let (first, count) = self.spans[y];
        let weights = &self.weights[y * self.taps..][..count];
        sums.fill(HALF);
        for (row, weight) in source.chunks_exact(out.len()).skip(first).zip(weights) {
            for (s, level) in sums.iter_mut().zip(row) {
                *s += i32::from(*level) * weight;
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = level(*sum);
        }
    }
}

/// A sum as a level, cut at 0 and 255.
#[inline]
fn level(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
