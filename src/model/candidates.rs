//! Choice among a decoder's masks.
//!
//! SAM's decoder makes four masks: one for clear prompts, then three candidates (whole, part, subpart) for a single click,
//! which is ambiguous (Kirillov et al. 2023, section 3; segment_anything/modeling/mask_decoder.py).

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::prompt::Prompt;

/// Rule that selects masks for a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Candidates {
    /// A single click is ambiguous and gets the best candidate. All other prompts are clear and get the single mask, or the
    /// best candidate if the model was trained for that.
    #[default]
    Auto,
    /// The mask for clear prompts: `multimask_output=False`.
    Single,
    /// The candidates: `multimask_output=True`.
    Multi,
}

/// Masks that a decoder computes for each object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AvailableMasks {
    /// Number of masks of an object.
    pub masks: usize,
    /// Whether the first mask is the mask for clear prompts.
    pub single_first: bool,
    pub multimask_for_several_prompts: bool,
}

/// Rule by which SAM 2 replaces a single mask that depends on the exact threshold by the best candidate
/// (`_dynamic_multimask_via_stability` of sam2/modeling/sam/mask_decoder.py).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DynamicMultimask {
    /// Shift of the threshold, in logits.
    pub delta: f32,
    /// Smallest fraction of the cells above `-delta` that must be above `delta`.
    pub threshold: f32,
}

impl DynamicMultimask {
    /// Returns whether a single mask is stable, from its low-resolution logits. Cells count before up-sampling, unlike in the
    /// stability score of [`crate::pixels::Mask`]. The range is centred on the logit 0, whatever the mask threshold is.
    pub(super) fn is_stable(self, low_res: &[f32]) -> bool {
        let above = |level: f32| low_res.iter().filter(|v| **v > level).count() as f32;
        let (inside, likely_inside) = (above(self.delta), above(-self.delta));
        likely_inside == 0.0 || inside / likely_inside >= self.threshold
    }
}

impl fmt::Display for DynamicMultimask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delta {}, threshold {}", self.delta, self.threshold)
    }
}

/// Returns the indices of the masks among which the best one is chosen.
pub(super) fn considered_masks(rule: Candidates, prompt: &Prompt, available: AvailableMasks) -> Range<usize> {
    let AvailableMasks { masks, single_first, multimask_for_several_prompts } = available;
    if masks <= 1 || !single_first {
        return 0..masks;
    }
    let multi = match rule {
        Candidates::Single => false,
        Candidates::Multi => true,
        Candidates::Auto => is_ambiguous(prompt) || multimask_for_several_prompts,
    };
    if multi { 1..masks } else { 0..1 }
}

/// Returns whether a prompt is a single click.
fn is_ambiguous(prompt: &Prompt) -> bool {
    prompt.points.len() == 1 && prompt.bbox.is_none() && prompt.mask.is_none()
}

/// A mask that a graph computes on request. Graphs with the input `wanted_masks` compute only the requested masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WantedMask {
    /// The mask with this index among the decoder's masks.
    Mask(usize),
    /// The candidate of the highest predicted IoU, as [`best`] selects it.
    Best,
}

impl WantedMask {
    /// Returns the row of the graph's input for the mask, `masks + 1` numbers: a 1 at the index of the mask, or at the end for
    /// the best candidate.
    pub fn row(self, masks: usize) -> impl Iterator<Item = f32> {
        let place = match self {
            WantedMask::Mask(index) => index,
            WantedMask::Best => masks,
        };
        (0..=masks).map(move |i| if i == place { 1.0 } else { 0.0 })
    }

    /// Returns the index of the mask among the decoder's masks, from the predicted IoU of all masks.
    pub fn index(self, ious: &[f32]) -> usize {
        match self {
            WantedMask::Mask(index) => index,
            WantedMask::Best => best(ious, 1..ious.len()),
        }
    }
}

/// Returns the masks that a result needs: with `all` every considered mask, otherwise the best of them. If a single mask may be
/// replaced (`may_fall_back`), the masks that may replace it are needed too.
pub(super) fn wanted_masks(considered: Range<usize>, all: bool, masks: usize, may_fall_back: bool) -> Vec<WantedMask> {
    let single = considered == (0..1);
    match (single, all) {
        (true, false) if may_fall_back => vec![WantedMask::Mask(0), WantedMask::Best],
        (true, true) if may_fall_back => (0..masks).map(WantedMask::Mask).collect(),
        (false, false) => vec![WantedMask::Best],
        _ => considered.map(WantedMask::Mask).collect(),
    }
}

/// Returns the index of the highest predicted IoU within `range`: the first of equal ones, and NaN only if all are NaN.
pub(super) fn best(ious: &[f32], range: Range<usize>) -> usize {
    let value = |i: usize| ious.get(i).copied().filter(|v| !v.is_nan()).unwrap_or(f32::NEG_INFINITY);
    let start = range.start;
    range.fold(start, |best, i| if value(i) > value(best) { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{LowResLogits, Point};

    const SAM: AvailableMasks = AvailableMasks { masks: 4, single_first: true, multimask_for_several_prompts: false };

    #[test]
    fn one_click_alone_is_ambiguous_and_everything_else_is_clear() {
        let click = Prompt::point(1.0, 2.0);
        let mask = LowResLogits { side: 1, data: vec![0.0].into() };
        assert_eq!(considered_masks(Candidates::Auto, &click, SAM), 1..4);
        for clear in [
            click.clone().with_point(Point::background(5.0, 5.0)),
            click.clone().with_mask(mask),
            Prompt::bbox(0.0, 0.0, 4.0, 4.0),
            Prompt::bbox(0.0, 0.0, 4.0, 4.0).with_point(Point::foreground(1.0, 1.0)),
        ] {
            assert_eq!(considered_masks(Candidates::Auto, &clear, SAM), 0..1);
        }
    }

    #[test]
    fn a_requested_kind_of_mask_overrides_the_prompt() {
        assert_eq!(considered_masks(Candidates::Single, &Prompt::point(1.0, 2.0), SAM), 0..1);
        assert_eq!(considered_masks(Candidates::Multi, &Prompt::bbox(0.0, 0.0, 4.0, 4.0), SAM), 1..4);
    }

    #[test]
    fn a_model_may_answer_clear_prompts_with_its_candidates() {
        let tiny = AvailableMasks { multimask_for_several_prompts: true, ..SAM };
        assert_eq!(considered_masks(Candidates::Auto, &Prompt::bbox(0.0, 0.0, 4.0, 4.0), tiny), 1..4);
        assert_eq!(considered_masks(Candidates::Single, &Prompt::bbox(0.0, 0.0, 4.0, 4.0), tiny), 0..1);
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
        let one = AvailableMasks { masks: 1, ..SAM };
        let three = AvailableMasks { masks: 3, single_first: false, ..SAM };
        for asked in [Candidates::Auto, Candidates::Single, Candidates::Multi] {
            assert_eq!(considered_masks(asked, &Prompt::point(1.0, 2.0), one), 0..1);
            assert_eq!(considered_masks(asked, &Prompt::point(1.0, 2.0), three), 0..3);
        }
    }

    #[test]
    fn no_more_masks_are_computed_than_the_result_needs() {
        use WantedMask::{Best, Mask};
        let (one, four) = (vec![Mask(0)], (0..4).map(Mask).collect::<Vec<_>>());
        assert_eq!(wanted_masks(0..1, false, 4, false), one);
        assert_eq!(wanted_masks(0..1, true, 4, false), one);
        assert_eq!(wanted_masks(1..4, false, 4, false), vec![Best]);
        assert_eq!(wanted_masks(1..4, false, 4, true), vec![Best]);
        assert_eq!(wanted_masks(1..4, true, 4, true), four[1..]);
        assert_eq!(wanted_masks(0..1, false, 4, true), vec![Mask(0), Best]);
        assert_eq!(wanted_masks(0..1, true, 4, true), four);
    }

    #[test]
    fn a_row_has_a_place_for_each_mask_and_for_the_best() {
        assert_eq!(WantedMask::Mask(1).row(4).collect::<Vec<_>>(), [0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(WantedMask::Best.row(4).collect::<Vec<_>>(), [0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(WantedMask::Best.index(&[0.9, 0.2, 0.7, 0.6]), 2);
        assert_eq!(WantedMask::Mask(3).index(&[0.9, 0.2, 0.7, 0.6]), 3);
    }

    #[test]
    fn the_best_is_the_first_of_equals_and_a_number() {
        assert_eq!(best(&[0.9, 0.2, 0.7, 0.7], 1..4), 2);
        assert_eq!(best(&[0.9, 0.2, 0.7, 0.7], 0..1), 0);
        assert_eq!(best(&[f32::NAN, 0.1, f32::NAN], 0..3), 1);
        assert_eq!(best(&[f32::NAN, f32::NAN], 0..2), 0);
    }
}
