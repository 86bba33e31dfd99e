//! The columns of the image in blocks, and rows of low-resolution cells interpolated to these columns.

use super::axis::AxisTaps;
use super::levels::Sides;

/// Number of pixels of a row that are compared together: two registers of AVX2, four of SSE or NEON.
pub(super) const BLOCK: usize = 16;

/// The columns of the image in blocks.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    taps: usize,
    /// The cells of each block.
    pub cells: Vec<Span>,
    /// The first cell of each pixel, block by block.
    first: Vec<[usize; BLOCK]>,
    /// The weights of the pixels, block by block and tap by tap. Pixels beyond the edge of the image have NaN: no
    /// comparison finds them inside.
    weights: Vec<[f32; BLOCK]>,
}

impl Columns {
    pub fn new(axis: &AxisTaps) -> Self {
        let taps = axis.taps;
        let blocks = axis.len().div_ceil(BLOCK);
        let mut weights = vec![[f32::NAN; BLOCK]; blocks * taps];
        for x in 0..axis.len() {
            let (block, lane) = (x / BLOCK, x % BLOCK);
            for (k, weight) in axis.at(x).1.iter().enumerate() {
                weights[block * taps + k][lane] = *weight;
            }
        }
        let (mut cells, mut firsts) = (Vec::with_capacity(blocks), Vec::with_capacity(blocks));
        for first in axis.first.chunks(BLOCK) {
            let last = first[first.len() - 1];
            let mut padded = [last; BLOCK];
            padded[..first.len()].copy_from_slice(first);
            firsts.push(padded);
            cells.push(Span::new(first[0], last + taps));
        }
        Columns { taps, cells, first: firsts, weights }
    }

    /// Returns the number of blocks.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Interpolates a row of cells to the columns of a block.
    #[inline(always)]
    fn expand(&self, row: &[f32], block: usize) -> [f32; BLOCK] {
        let first = &self.first[block];
        let mut sums = [0.0; BLOCK];
        for (k, weights) in self.weights[block * self.taps..][..self.taps].iter().enumerate() {
            let mut values = [0.0; BLOCK];
            for (value, first) in values.iter_mut().zip(first) {
                *value = row[first + k];
            }
            for ((sum, value), weight) in sums.iter_mut().zip(values).zip(weights) {
                *sum += weight * value;
            }
        }
        sums
    }
}

/// A range of neighbouring cells, which is read eight cells at a time.
#[derive(Debug, Clone)]
pub(super) struct Span {
    start: usize,
    /// Number of whole words before the last word.
    words: usize,
    /// Bit mask of the cells of the last word.
    last: u64,
}

impl Span {
    /// Number of values that a row must have after its last cell.
    pub const SPARE: usize = 8;

    fn new(start: usize, end: usize) -> Self {
        let count = (end - start).max(1);
        let words = (count - 1) / 8;
        Span { start, words, last: u64::MAX >> (64 - 8 * (count - 8 * words)) }
    }

    /// Returns the sides of all cells together. `row` is the sides of a row of cells, followed by [`Self::SPARE`]
    /// values.
    #[inline(always)]
    pub fn sides(&self, row: &[Sides]) -> Sides {
        let row = row[self.start..].as_chunks::<8>().0;
        let whole = row[..self.words].iter().fold(0, |all, word| all | u64::from_le_bytes(*word));
        let all = whole | u64::from_le_bytes(row[self.words]) & self.last;
        let all = all | all >> 32;
        let all = all | all >> 16;
        (all | all >> 8) as Sides
    }
}

/// Rows of cells interpolated to the columns of the image. A block is computed once, when it is first needed.
pub(super) struct Expanded<'a> {
    columns: &'a Columns,
    /// The low-resolution logits, `[side, side]`.
    low: &'a [f32],
    side: usize,
    /// Number of rows of cells of each row of the image.
    taps: usize,
    /// First row of cells of the current band.
    first: usize,
    /// Starts of the rows of cells of the current band in `lines`.
    slots: Vec<usize>,
    /// Interpolated cells, `[row % taps][block]`.
    lines: Vec<[f32; BLOCK]>,
    /// The row of cells that each line belongs to.
    rows: Vec<usize>,
}

impl<'a> Expanded<'a> {
    pub fn new(columns: &'a Columns, low: &'a [f32], side: usize, taps: usize) -> Self {
        let (lines, rows) = (vec![[0.0; BLOCK]; taps * columns.len()], vec![usize::MAX; taps * columns.len()]);
        Expanded { columns, low, side, taps, first: 0, slots: Vec::with_capacity(taps), lines, rows }
    }

    /// Starts a band of rows of the image, whose first row of cells is `first`.
    #[inline(always)]
    pub fn start_band(&mut self, first: usize) {
        self.first = first;
        self.slots.clear();
        self.slots.extend((first..first + self.taps).map(|row| row % self.taps * self.columns.len()));
    }

    /// Interpolates the rows of cells of a block that are not computed yet.
    #[inline(always)]
    pub fn prepare(&mut self, block: usize) {
        for (row, slot) in (self.first..).zip(&self.slots) {
            let slot = slot + block;
            if self.rows[slot] != row {
                self.lines[slot] = self.columns.expand(&self.low[row * self.side..][..self.side], block);
                self.rows[slot] = row;
            }
        }
    }

    /// Returns the weighted sum of the rows of a prepared block.
    #[inline(always)]
    pub fn blend(&self, weights: &[f32], block: usize) -> [f32; BLOCK] {
        let mut sums = [0.0; BLOCK];
        for (slot, weight) in self.slots.iter().zip(weights) {
            for (sum, value) in sums.iter_mut().zip(&self.lines[slot + block]) {
                *sum += weight * value;
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_covers_the_cells_from_its_start_to_its_end() {
        let row: Vec<Sides> = (0..40).map(|i| if i < 32 { 1 << (i % 6) } else { 0 }).collect();
        for start in 0..32 {
            for end in start + 1..=32 {
                let expected = row[start..end].iter().fold(0, |all, sides| all | sides);
                assert_eq!(Span::new(start, end).sides(&row), expected, "{start}..{end}");
            }
        }
    }
}
