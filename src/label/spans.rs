//! From which frame with a given mask an object is followed to each other frame.

use std::ops::Range;

/// A frame on which the mask of an object is given: by a prompt, by the detection that began the object, or by a correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Index of the frame among the frames of the run.
    pub at: usize,
    /// Whether a person corrected the mask. From other anchors the first pass follows forward.
    pub corrected: bool,
}

/// Frames to which an object is followed from an anchor, all before it or all after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub object: u32,
    /// Index of the anchor among the frames of the run.
    pub anchor: usize,
    pub frames: Range<usize>,
}

impl Span {
    pub fn is_backward(&self) -> bool {
        self.frames.start < self.anchor
    }

    /// Returns the frame that is followed first.
    pub fn first(&self) -> usize {
        if self.is_backward() { self.frames.end - 1 } else { self.frames.start }
    }
}

/// Returns the spans of an object that the first pass does not follow. `anchors` are ascending, `frames` is the number of
/// frames of the run. With `backward` the object is followed backward from its first anchor to the beginning, and a frame
/// between two anchors belongs to the nearer one.
pub fn spans(object: u32, anchors: &[Anchor], frames: usize, backward: bool) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut add = |anchor: usize, frames: Range<usize>| {
        if !frames.is_empty() {
            spans.push(Span { object, anchor, frames });
        }
    };
    for (i, anchor) in anchors.iter().enumerate() {
        if backward {
            let before = i.checked_sub(1).map(|before| anchors[before].at);
            add(anchor.at, before.map_or(0, |before| border(before, anchor.at))..anchor.at);
        }
        if anchor.corrected {
            let end = anchors.get(i + 1).map(|next| if backward { border(anchor.at, next.at) } else { next.at });
            add(anchor.at, anchor.at + 1..end.unwrap_or(frames));
        }
    }
    spans
}

/// Returns the first frame between two anchors that is nearer to the second. A frame in the middle belongs to the first.
fn border(first: usize, second: usize) -> usize {
    first + 1 + (second - first) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchors(list: &[(usize, bool)]) -> Vec<Anchor> {
        list.iter().map(|(at, corrected)| Anchor { at: *at, corrected: *corrected }).collect()
    }

    fn found(list: &[(usize, bool)], backward: bool) -> Vec<(usize, Range<usize>)> {
        spans(7, &anchors(list), 20, backward).into_iter().map(|span| (span.anchor, span.frames)).collect()
    }

    #[test]
    fn an_object_is_followed_backward_from_its_first_anchor_to_the_beginning() {
        assert_eq!(found(&[(5, false)], true), [(5, 0..5)]);
        assert_eq!(found(&[(5, false)], false), []);
        assert_eq!(found(&[(0, false)], true), []);
    }

    #[test]
    fn frames_between_anchors_belong_to_the_nearer_one_and_the_middle_to_the_first() {
        assert_eq!(found(&[(0, false), (4, false), (5, false), (8, false)], true), [(4, 3..4), (8, 7..8)]);
        assert_eq!(found(&[(2, false), (5, true)], true), [(2, 0..2), (5, 4..5), (5, 6..20)]);
        assert_eq!(found(&[(2, true), (12, true)], true), [(2, 0..2), (2, 3..8), (12, 8..12), (12, 13..20)]);
    }

    #[test]
    fn without_the_backward_direction_a_correction_reaches_to_the_next_anchor() {
        assert_eq!(found(&[(2, true), (12, false)], false), [(2, 3..12)]);
        assert_eq!(found(&[(2, false), (12, true)], false), [(12, 13..20)]);
    }

    #[test]
    fn no_frame_is_followed_twice_and_no_anchor_at_all() {
        for ats in [[0, 1, 2], [0, 7, 19], [3, 4, 18], [1, 9, 11]] {
            for corrected in 0..8 {
                let list: Vec<_> = ats.iter().enumerate().map(|(i, at)| (*at, corrected >> i & 1 == 1)).collect();
                let mut seen = ats.to_vec();
                for span in spans(1, &anchors(&list), 20, true) {
                    let first = if span.is_backward() { span.anchor - 1 } else { span.anchor + 1 };
                    assert_eq!(span.first(), first, "{list:?}");
                    seen.extend(span.frames);
                }
                seen.sort_unstable();
                assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{list:?}: {seen:?}");
            }
        }
    }
}
