//! Pairs of overlapping things on two frames, the best pairs first.

/// Pairs each of the `now` things of a frame with at most one of the `before` things of an earlier frame. Returns for each
/// the index of its predecessor.
///
/// Pairs are made by falling `overlap`; a pair whose overlap is not above 0 is not made. Pairs of equal overlap are in the
/// order of `key`.
pub fn best_pairs<K: Ord>(
    before: usize,
    now: usize,
    overlap: impl Fn(usize, usize) -> f32,
    key: impl Fn(usize, usize) -> K,
) -> Vec<Option<usize>> {
    let all = (0..before).flat_map(|i| (0..now).map(move |j| (i, j)));
    let overlapping = all.map(|(i, j)| (overlap(i, j), i, j)).filter(|(overlap, ..)| *overlap > 0.0);
    let mut pairs: Vec<(f32, usize, usize)> = overlapping.collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| key(a.1, a.2).cmp(&key(b.1, b.2))));
    let (mut is_taken, mut predecessors) = (vec![false; before], vec![None; now]);
    for (_, i, j) in pairs {
        if !is_taken[i] && predecessors[j].is_none() {
            is_taken[i] = true;
            predecessors[j] = Some(i);
        }
    }
    predecessors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_pair_comes_first_and_everything_is_in_one_pair() {
        let overlaps = [[0.5, 0.9], [0.8, 0.0]];
        let pairs = |least: f32| {
            let overlap = |i: usize, j: usize| if overlaps[i][j] >= least { overlaps[i][j] } else { 0.0 };
            best_pairs(2, 2, overlap, |i, j| (i, j))
        };
        assert_eq!(pairs(0.1), [Some(1), Some(0)]);
        assert_eq!(pairs(0.85), [None, Some(0)]);
        assert_eq!(best_pairs(0, 2, |_, _| 1.0, |i, j| (i, j)), [None, None]);
        assert_eq!(best_pairs(1, 1, |_, _| f32::NAN, |i, j| (i, j)), [None]);
    }

    #[test]
    fn the_key_decides_between_equal_pairs() {
        assert_eq!(best_pairs(2, 1, |_, _| 0.5, |i, _| i), [Some(0)]);
        assert_eq!(best_pairs(2, 1, |_, _| 0.5, |i, _| 2 - i), [Some(1)]);
    }
}
