//! Connected regions of a picture. Pixels that touch at a side or at a corner are connected.
//!
//! The search works on runs of pixels along rows, so that its cost grows with the outline of the regions and not with their
//! area.

use std::ops::Range;

/// Pixels of one row that belong to one region: columns `start..end`.
#[derive(Debug, Clone, Copy)]
struct Run {
    row: usize,
    start: usize,
    end: usize,
}

/// The connected regions of a picture, in the order of their first run.
pub(crate) struct Regions {
    width: usize,
    runs: Vec<Run>,
    /// Region of each run.
    region: Vec<usize>,
    /// Pixels of each region.
    pub sizes: Vec<usize>,
}

impl Regions {
    /// Finds the regions of the values for which `is_member` holds. `values` are rows of `width` values.
    pub fn find<T>(values: &[T], width: usize, is_member: impl Fn(&T) -> bool) -> Self {
        let runs = runs(values, width, is_member);
        let mut parent: Vec<usize> = (0..runs.len()).collect();
        // First run of the row above that may touch the current one.
        let mut above = 0;
        for current in 0..runs.len() {
            let run = runs[current];
            while above < current && (runs[above].row + 1 < run.row || ends_before(runs[above], run)) {
                above += 1;
            }
            let touching = runs[above..current].iter().take_while(|a| a.row + 1 == run.row && a.start <= run.end);
            for index in above..above + touching.count() {
                let (a, b) = (root(&mut parent, index), root(&mut parent, current));
                parent[a.max(b)] = a.min(b);
            }
        }
        let mut sizes = Vec::new();
        let mut region_of_root = vec![usize::MAX; runs.len()];
        let mut region = Vec::with_capacity(runs.len());
        for (index, run) in runs.iter().enumerate() {
            let root = root(&mut parent, index);
            if region_of_root[root] == usize::MAX {
                region_of_root[root] = sizes.len();
                sizes.push(0);
            }
            sizes[region_of_root[root]] += run.end - run.start;
            region.push(region_of_root[root]);
        }
        Regions { width, runs, region, sizes }
    }

    /// Returns the pixels of the regions for which `select` holds, run by run, as indices of the values. `select` gets the
    /// index of a region and its number of pixels.
    pub fn pixels_of(&self, select: impl Fn(usize, usize) -> bool) -> impl Iterator<Item = Range<usize>> {
        let selected =
            self.runs.iter().zip(&self.region).filter(move |(_, region)| select(**region, self.sizes[**region]));
        selected.map(|(run, _)| run.row * self.width + run.start..run.row * self.width + run.end)
    }
}

/// Returns the runs of the values for which `is_member` holds, ordered by row, then by column.
fn runs<T>(values: &[T], width: usize, is_member: impl Fn(&T) -> bool) -> Vec<Run> {
    let mut runs = Vec::new();
    for (row, values) in values.chunks_exact(width.max(1)).enumerate() {
        let mut end = 0;
        for run in values.chunk_by(|a, b| is_member(a) == is_member(b)) {
            let start = end;
            end += run.len();
            if is_member(&run[0]) {
                runs.push(Run { row, start, end });
            }
        }
    }
    runs
}

/// Returns whether `above`, a run of the row above, ends before it can touch `run`, even at a corner.
fn ends_before(above: Run, run: Run) -> bool {
    above.row + 1 == run.row && above.end < run.start
}

fn root(parent: &mut [usize], mut index: usize) -> usize {
    while parent[index] != index {
        parent[index] = parent[parent[index]];
        index = parent[index];
    }
    index
}
