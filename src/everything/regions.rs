//! Small holes and islands of a mask: `remove_small_regions` of segment_anything/utils/amg.py.
//!
//! Regions are 8-connected. The work is done on runs of pixels along rows, so that its cost grows with the outline of a mask
//! and not with the size of the image.

use crate::pixels::Mask;

/// Pixels of one row that belong to one region: columns `start..end`.
#[derive(Debug, Clone, Copy)]
struct Run {
    row: u32,
    start: u32,
    end: u32,
}

/// Connected regions of runs, in the order of their first run.
struct Regions {
    runs: Vec<Run>,
    /// Region of each run.
    region: Vec<usize>,
    /// Pixels of each region.
    sizes: Vec<u64>,
}

impl Regions {
    /// Finds the regions of `runs`, which are ordered by row, then by column.
    fn new(runs: Vec<Run>) -> Self {
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
            sizes[region_of_root[root]] += u64::from(run.end - run.start);
            region.push(region_of_root[root]);
        }
        Regions { runs, region, sizes }
    }

    /// The runs of the regions for which `keep` holds; `keep` gets the region's index and its pixels.
    fn runs_of(&self, keep: impl Fn(usize, u64) -> bool) -> impl Iterator<Item = Run> {
        let kept = self.runs.iter().zip(&self.region).filter(move |(_, region)| keep(**region, self.sizes[**region]));
        kept.map(|(run, _)| *run)
    }
}

/// Whether `above`, a run of the row above, ends before it can touch `run`, even at a corner.
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

/// Fills holes of fewer than `min_area` pixels, then removes islands of fewer than `min_area` pixels. If every island is
/// smaller, the largest one stays. Returns `None` if nothing had to be changed.
///
/// A part of the background that is cut off by the mask and the image's border counts as a hole, as in the reference.
pub fn without_small_regions(mask: &Mask, min_area: u32) -> Option<Mask> {
    let min_area = u64::from(min_area);
    let mut pixels = mask.full();
    let width = mask.width as usize;
    let mut is_changed = false;
    let background = Regions::new(runs(&pixels, width, false));
    if background.sizes.iter().any(|size| *size < min_area) {
        is_changed = true;
        for run in background.runs_of(|_, size| size < min_area) {
            fill(&mut pixels, width, run, 255);
        }
    }
    let islands = Regions::new(runs(&pixels, width, true));
    if islands.sizes.iter().any(|size| *size < min_area) {
        is_changed = true;
        let largest = islands.sizes.iter().copied().max().unwrap_or_default();
        let first_largest = islands.sizes.iter().position(|size| *size == largest);
        let stays =
            |region: usize, size: u64| size >= min_area || (largest < min_area && Some(region) == first_largest);
        for run in islands.runs_of(|region, size| !stays(region, size)) {
            fill(&mut pixels, width, run, 0);
        }
    }
    let changed = is_changed.then(|| Mask::from_data(mask.width, mask.height, &pixels)).flatten()?;
    Some(Mask { stability: mask.stability, ..changed })
}

/// The runs of pixels that are inside (or outside) the mask, row by row.
fn runs(pixels: &[u8], width: usize, inside: bool) -> Vec<Run> {
    let mut runs = Vec::new();
    for (row, pixels) in (0..).zip(pixels.chunks_exact(width.max(1))) {
        let mut end = 0;
        for run in pixels.chunk_by(|a, b| a == b) {
            let start = end;
            end += run.len() as u32;
            if (run[0] != 0) == inside {
                runs.push(Run { row, start, end });
            }
        }
    }
    runs
}

fn fill(pixels: &mut [u8], width: usize, run: Run, value: u8) {
    let row = run.row as usize * width;
    pixels[row + run.start as usize..row + run.end as usize].fill(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(rows: &[&str]) -> Mask {
        let data: Vec<u8> = rows.iter().flat_map(|row| row.bytes()).map(|c| u8::from(c == b'#')).collect();
        Mask::from_data(rows[0].len() as u32, rows.len() as u32, &data).unwrap()
    }

    fn rows(mask: &Mask) -> Vec<String> {
        let full = mask.full();
        let row = |row: &[u8]| row.iter().map(|v| if *v == 0 { '.' } else { '#' }).collect();
        full.chunks_exact(mask.width as usize).map(row).collect()
    }

    #[test]
    fn small_holes_are_filled_and_small_islands_removed() {
        let mask = drawn(&["#####..#", "#.###...", "#####...", "#...#...", "#...#...", "#####..."]);
        assert_eq!(without_small_regions(&mask, 1), None);
        let cleaned = without_small_regions(&mask, 2).unwrap();
        assert_eq!(rows(&cleaned), ["#####...", "#####...", "#####...", "#...#...", "#...#...", "#####..."]);
        assert_eq!(cleaned.area, 24);
        let filled = without_small_regions(&mask, 7).unwrap();
        assert_eq!(filled.area, 30);
    }

    #[test]
    fn pixels_that_touch_at_a_corner_are_one_region() {
        let mask = drawn(&["#....", ".#...", "..#..", "#....", ".#..."]);
        // Regions of 3 and 2 pixels.
        assert_eq!(without_small_regions(&mask, 2), None);
        assert_eq!(rows(&without_small_regions(&mask, 3).unwrap()), ["#....", ".#...", "..#..", ".....", "....."]);
    }

    #[test]
    fn if_every_island_is_small_the_largest_stays() {
        let cleaned = without_small_regions(&drawn(&["#.##.", ".....", ".....", "....."]), 10).unwrap();
        assert_eq!(rows(&cleaned), ["..##.", ".....", ".....", "....."]);
    }

    #[test]
    fn runs_of_one_row_join_through_the_rows_around_them() {
        let mask = drawn(&["#.#.#", "#.#.#", "#####", "....."]);
        assert_eq!(without_small_regions(&mask, 3).unwrap().area, 15, "the two gaps of 2 pixels are filled");
        assert_eq!(Regions::new(runs(&mask.full(), 5, true)).sizes, [11]);
    }
}
