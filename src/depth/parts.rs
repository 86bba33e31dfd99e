//! Parts of an object that are connected in 3-D.

use std::ops::Range;

use super::window::{Tolerance, Window};

/// Widest gap of pixels without a depth, or with a refused depth, across which two pixels of equal depth are connected.
const GAP: usize = 4;
/// Pixels that are looked at together.
const BLOCK: usize = 16;

/// Measured pixels of one row of a window: columns `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub row: usize,
    pub start: usize,
    pub end: usize,
}

/// Returns the pixels of the largest connected part, row by row from left to right.
///
/// Smooth pixels that share a side are connected, because their depths differ by less than the tolerance. Across a gap of up
/// to [`GAP`] pixels a pixel is connected to the last smooth pixel of its row, and to the smooth pixels above it, if their
/// depths differ by less than the tolerance.
pub(super) fn largest_part(window: &Window, smooth: &[u8], tolerance: Tolerance) -> Vec<Run> {
    let (runs, row_starts) = runs(smooth, window.width);
    let mut parent: Vec<u32> = (0..runs.len() as u32).collect();
    let agree = |(row, column): (usize, usize), (other_row, other_column): (usize, usize)| {
        let (z, other) = (window.row(row)[column], window.row(other_row)[other_column]);
        (z - other).abs() <= tolerance.at(z)
    };
    for (index, run) in runs.iter().enumerate() {
        if let Some(last) = index.checked_sub(1).map(|i| runs[i]).filter(|last| last.row == run.row)
            && run.start - last.end <= GAP
            && agree((run.row, run.start), (run.row, last.end - 1))
        {
            join(&mut parent, index - 1, index);
        }
        for row in run.row.saturating_sub(GAP + 1)..run.row {
            let above = row_starts[row]..row_starts[row + 1];
            let first = above.start + runs[above.clone()].partition_point(|a| a.end <= run.start);
            for (other, a) in runs.iter().enumerate().take(above.end).skip(first) {
                if a.start >= run.end {
                    break;
                }
                let mut columns = a.start.max(run.start)..a.end.min(run.end);
                if row + 1 == run.row || columns.any(|column| agree((run.row, column), (row, column))) {
                    join(&mut parent, other, index);
                }
            }
        }
    }
    let mut sizes = vec![0; runs.len()];
    let roots: Vec<usize> = (0..runs.len()).map(|index| root(&mut parent, index)).collect();
    for (run, root) in runs.iter().zip(&roots) {
        sizes[*root] += run.end - run.start;
    }
    let largest = (0..sizes.len()).rev().max_by_key(|root| sizes[*root]);
    runs.iter().zip(roots).filter(|(_, root)| Some(*root) == largest).map(|(run, _)| *run).collect()
}

/// Returns the runs of pixels that are not 0, and the index of the first run of each row, with the number of runs last.
fn runs(pixels: &[u8], width: usize) -> (Vec<Run>, Vec<usize>) {
    let (mut runs, mut row_starts) = (Vec::new(), vec![0]);
    for (row, pixels) in pixels.chunks_exact(width).enumerate() {
        runs.extend(inside(pixels).map(|columns| Run { row, start: columns.start, end: columns.end }));
        row_starts.push(runs.len());
    }
    (runs, row_starts)
}

/// Returns the runs of pixels that are not 0 in a row, as columns.
pub(super) fn inside(row: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut end = 0;
    std::iter::from_fn(move || {
        let start = next(row, end, |pixel| pixel != 0)?;
        end = next(row, start, |pixel| pixel == 0).unwrap_or(row.len());
        Some(start..end)
    })
}

/// Returns the first column from `from` on for which `is_wanted` holds. Blocks without such a column are skipped.
fn next(row: &[u8], from: usize, is_wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let mut start = from;
    for block in row[from..].chunks(BLOCK) {
        if block.iter().fold(false, |any, pixel| any | is_wanted(*pixel)) {
            return block.iter().position(|pixel| is_wanted(*pixel)).map(|i| start + i);
        }
        start += block.len();
    }
    None
}

fn join(parent: &mut [u32], a: usize, b: usize) {
    let (a, b) = (root(parent, a), root(parent, b));
    parent[a.max(b)] = a.min(b) as u32;
}

fn root(parent: &mut [u32], mut index: usize) -> usize {
    while parent[index] as usize != index {
        parent[index] = parent[parent[index] as usize];
        index = parent[index] as usize;
    }
    index
}
