//! Which of a decoder's masks answer a prompt.
//!
//! SAM's decoder makes four masks: one for clear prompts, then three candidates (whole, part, subpart) for a single
//! click, which says too little (Kirillov et al. 2023, section 3; segment_anything/modeling/mask_decoder.py).

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::prompt::Prompt;

/// Which masks are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Candidates {
    /// One click alone is ambiguous and gets the best of the candidates; anything clearer gets the single mask (or the
    /// best candidate, where the model was trained so).
    #[default]
    Auto,
    /// The mask for clear prompts: `multimask_output=False`.
    Single,
    /// The candidates: `multimask_output=True`.
    Multi,
}

/// What a decoder puts out, for choosing among it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Available {
    /// Masks per object.
    pub masks: usize,
    /// Whether the first of them is the one for clear prompts.
    pub single_first: bool,
    pub multimask_for_several_prompts: bool,
}

/// SAM 2 does not trust a single mask that hangs on the exact threshold, and takes the best candidate instead
/// (`_dynamic_multimask_via_stability` of sam2/modeling/sam/mask_decoder.py).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DynamicMultimask {
    /// Shift of the threshold, in logits.
    pub delta: f32,
    /// Least part of the cells above `-delta` that must be above `delta`.
    pub threshold: f32,
}

impl DynamicMultimask {
    /// Whether the low-resolution logits of a single mask are stable. Counted cell by cell before up-sampling, unlike
    /// the stability score of [`crate::pixels::Mask`]; the logit 0 is the middle whatever the mask threshold is.
    pub(super) fn is_stable(self, low_res: &[f32]) -> bool {
        let above = |level: f32| low_res.iter().filter(|v| **v > level).count() as f32;
        let (surely, perhaps) = (above(self.delta), above(-self.delta));
        perhaps == 0.0 || surely / perhaps >= self.threshold
    }
}

impl fmt::Display for DynamicMultimask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delta {}, threshold {}", self.delta, self.threshold)
    }
}

/// Indices of the masks that `prompt` is to be answered with.
pub(super) fn considered(asked: Candidates, prompt: &Prompt, available: Available) -> Range<usize> {
    let Available { masks, single_first, multimask_for_several_prompts } = available;
    if masks <= 1 || !single_first {
        return 0..masks;
    }
    let multi = match asked {
        Candidates::Single => false,
        Candidates::Multi => true,
        Candidates::Auto => ambiguous(prompt) || multimask_for_several_prompts,
    };
    if multi { 1..masks } else { 0..1 }
}

/// One click and nothing else.
fn ambiguous(prompt: &Prompt) -> bool {
    prompt.points.len() == 1 && prompt.bbox.is_none() && prompt.mask.is_none()
}

/// A mask that a graph is asked for, where it makes only those that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One of the decoder's masks, by its index.
    Mask(usize),
    /// The candidate of the highest predicted IoU, as [`best`] finds it.
    Best,
}

impl Wanted {
    /// The row that stands for it in the graph's input: a 1 for one of `masks`, or behind them for the best.
    pub fn row(self, masks: usize) -> impl Iterator<Item = f32> {
        let place = match self {
            Wanted::Mask(index) => index,
            Wanted::Best => masks,
        };
        (0..=masks).map(move |i| if i == place { 1.0 } else { 0.0 })
    }

    /// Which of the decoder's masks it is.
    pub fn index(self, ious: &[f32]) -> usize {
        match self {
            Wanted::Mask(index) => index,
            Wanted::Best => best(ious, 1..ious.len()),
        }
    }
}

/// The masks that an answer is made of: all that are considered, or the best of them. A single mask that may turn out not
/// to be stable comes with what would be in its place.
pub(super) fn wanted(considered: Range<usize>, all: bool, masks: usize, may_fall_back: bool) -> Vec<Wanted> {
    let single = considered == (0..1);
    match (single, all) {
        (true, false) if may_fall_back => vec![Wanted::Mask(0), Wanted::Best],
        (true, true) if may_fall_back => (0..masks).map(Wanted::Mask).collect(),
        (false, false) => vec![Wanted::Best],
        _ => considered.map(Wanted::Mask).collect(),
    }
}

/// Index of the highest predicted IoU within `range`; the first of equals, and never one that is not a number while
/// there is another.
pub(super) fn best(ious: &[f32], range: Range<usize>) -> usize {
    let value = |i: usize| ious.get(i).copied().filter(|v| !v.is_nan()).unwrap_or(f32::NEG_INFINITY);
    let start = range.start;
    range.fold(start, |best, i| if value(i) > value(best) { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{LowResLogits, Point};

    const SAM: Available = Available { masks: 4, single_first: true, multimask_for_several_prompts: false };

    #[test]
    fn one_click_alone_is_ambiguous_and_everything_else_is_clear() {
        let click = Prompt::point(1.0, 2.0);
        let mask = LowResLogits { side: 1, data: vec![0.0].into() };
        assert_eq!(considered(Candidates::Auto, &click, SAM), 1..4);
        for clear in [
            click.clone().with_point(Point::background(5.0, 5.0)),
            click.clone().with_mask(mask),
            Prompt::bbox(0.0, 0.0, 4.0, 4.0),
            Prompt::bbox(0.0, 0.0, 4.0, 4.0).with_point(Point::foreground(1.0, 1.0)),
        ] {
            assert_eq!(considered(Candidates::Auto, &clear, SAM), 0..1);
        }
    }

    #[test]
    fn what_is_asked_for_wins_over_the_rule() {
        assert_eq!(considered(Candidates::Single, &Prompt::point(1.0, 2.0), SAM), 0..1);
        assert_eq!(considered(Candidates::Multi, &Prompt::bbox(0.0, 0.0, 4.0, 4.0), SAM), 1..4);
    }

    #[test]
    fn a_model_may_answer_clear_prompts_with_its_candidates() {
        let tiny = Available { multimask_for_several_prompts: true, ..SAM };
        assert_eq!(considered(Candidates::Auto, &Prompt::bbox(0.0, 0.0, 4.0, 4.0), tiny), 1..4);
        assert_eq!(considered(Candidates::Single, &Prompt::bbox(0.0, 0.0, 4.0, 4.0), tiny), 0..1);
    }

    #[test]
    fn a_single_mask_is_stable_when_few_cells_hang_on_the_threshold() {
        let rule = DynamicMultimask { delta: 0.05, threshold: 0.98 };
        let cells = |sure: usize, near: usize| {
            let far = std::iter::repeat_n(-7.0, 100);
            far.chain(std::iter::repeat_n(3.0, sure)).chain(std::iter::repeat_n(0.04, near)).collect::<Vec<f32>>()
        };
        assert!(rule.is_stable(&cells(98, 2)));
        assert!(!rule.is_stable(&cells(97, 3)));
        assert!(rule.is_stable(&cells(0, 0)), "an empty mask is stable");
        // A logit of exactly delta is not above it, one of exactly -delta neither.
        assert!(!rule.is_stable(&[0.05, 1.0]) && rule.is_stable(&[-0.05, 1.0]));
    }

    #[test]
    fn graphs_exported_with_one_or_three_masks_give_what_they_have() {
        let one = Available { masks: 1, ..SAM };
        let three = Available { masks: 3, single_first: false, ..SAM };
        for asked in [Candidates::Auto, Candidates::Single, Candidates::Multi] {
            assert_eq!(considered(asked, &Prompt::point(1.0, 2.0), one), 0..1);
            assert_eq!(considered(asked, &Prompt::point(1.0, 2.0), three), 0..3);
        }
    }

    #[test]
    fn no_more_masks_are_asked_for_than_the_answer_takes() {
        use Wanted::{Best, Mask};
        let (one, four) = (vec![Mask(0)], (0..4).map(Mask).collect::<Vec<_>>());
        assert_eq!(wanted(0..1, false, 4, false), one);
        assert_eq!(wanted(0..1, true, 4, false), one);
        assert_eq!(wanted(1..4, false, 4, false), vec![Best]);
        assert_eq!(wanted(1..4, false, 4, true), vec![Best]);
        assert_eq!(wanted(1..4, true, 4, true), four[1..]);
        assert_eq!(wanted(0..1, false, 4, true), vec![Mask(0), Best]);
        assert_eq!(wanted(0..1, true, 4, true), four);
    }

    #[test]
    fn a_row_has_a_place_for_each_mask_and_for_the_best() {
        assert_eq!(Wanted::Mask(1).row(4).collect::<Vec<_>>(), [0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(Wanted::Best.row(4).collect::<Vec<_>>(), [0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(Wanted::Best.index(&[0.9, 0.2, 0.7, 0.6]), 2);
        assert_eq!(Wanted::Mask(3).index(&[0.9, 0.2, 0.7, 0.6]), 3);
    }

    #[test]
    fn the_best_is_the_first_of_equals_and_a_number() {
        assert_eq!(best(&[0.9, 0.2, 0.7, 0.7], 1..4), 2);
        assert_eq!(best(&[0.9, 0.2, 0.7, 0.7], 0..1), 0);
        assert_eq!(best(&[f32::NAN, 0.1, f32::NAN], 0..3), 1);
        assert_eq!(best(&[f32::NAN, f32::NAN], 0..2), 0);
    }
}
