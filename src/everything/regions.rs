//! Small holes and islands of a mask: `remove_small_regions` of segment_anything/utils/amg.py. Regions are 8-connected.

use crate::pixels::{Mask, Regions};

/// Fills holes of fewer than `min_area` pixels, then removes islands of fewer than `min_area` pixels. If every island is
/// smaller, the largest one stays. Returns `None` if nothing had to be changed.
///
/// A part of the background that is cut off by the mask and the image's border counts as a hole, as in the reference.
pub fn without_small_regions(mask: &Mask, min_area: u32) -> Option<Mask> {
    let (width, min_area) = (mask.width as usize, min_area as usize);
    let mut pixels = mask.full();
    let mut is_changed = false;
    let background = Regions::find(&pixels, width, |pixel| *pixel == 0);
    for run in background.pixels_of(|_, size| size < min_area) {
        pixels[run].fill(255);
        is_changed = true;
    }
    let islands = Regions::find(&pixels, width, |pixel| *pixel != 0);
    let largest = islands.sizes.iter().copied().max().unwrap_or_default();
    let first_largest = islands.sizes.iter().position(|size| *size == largest);
    let stays = |region: usize, size: usize| size >= min_area || (largest < min_area && Some(region) == first_largest);
    is_changed |= islands.sizes.iter().any(|size| *size < min_area);
    for run in islands.pixels_of(|region, size| !stays(region, size)) {
        pixels[run].fill(0);
    }
    let changed = is_changed.then(|| Mask::from_data(mask.width, mask.height, &pixels)).flatten()?;
    Some(Mask { stability: mask.stability, ..changed })
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
        assert_eq!(Regions::find(&mask.full(), 5, |pixel| *pixel != 0).sizes, [11]);
    }
}
