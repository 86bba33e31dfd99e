//! Small holes of a mask are filled, as by `fill_holes_in_mask_scores` of sam2/utils/misc.py. The reference needs its
//! CUDA extension for this.

use crate::pixels::Regions;

/// Logit of a filled cell.
const FILLED: f32 = 0.1;

/// Fills each connected component of the background (eight neighbours) that has at most `most` cells. `logits` is
/// `[side, side]`, row by row; a cell above 0 is inside the mask.
pub(super) fn fill(logits: &mut [f32], side: usize, most: usize) {
    if most == 0 || side == 0 || !logits.iter().any(|v| *v > 0.0) {
        return;
    }
    let background = Regions::find(logits, side, |logit| *logit <= 0.0);
    for run in background.pixels_of(|_, cells| cells <= most) {
        logits[run].fill(FILLED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(rows: &[&str]) -> Vec<f32> {
        rows.iter().flat_map(|row| row.bytes()).map(|c| if c == b'#' { 3.0 } else { -2.0 }).collect()
    }

    fn filled(logits: &[f32]) -> usize {
        logits.iter().filter(|v| **v == FILLED).count()
    }

    #[test]
    fn holes_up_to_the_limit_are_filled_and_larger_ones_are_not() {
        let drawn = grid(&["######", "#.##.#", "#.####", "##..##", "##..##", "######"]);
        let fill_with = |most| {
            let mut logits = drawn.clone();
            fill(&mut logits, 6, most);
            filled(&logits)
        };
        // The two larger holes touch at a corner: together they are a component of six cells.
        assert_eq!([0, 1, 2, 5, 6].map(fill_with), [0, 1, 1, 1, 7]);
    }

    #[test]
    fn background_at_the_border_is_filled_like_a_hole_and_an_empty_mask_stays_empty() {
        let mut corner = grid(&[".###", "####", "####", "####"]);
        fill(&mut corner, 4, 1);
        assert_eq!(filled(&corner), 1);
        let mut empty = vec![-1024.0; 4];
        fill(&mut empty, 2, 8);
        assert_eq!(empty, [-1024.0; 4]);
    }
}
