use super::*;

const SPEC: MemorySpec = MemorySpec { frames: 7, pointers: 16, low_res_side: 4, image_side: 16, feature_bytes: 8 };

fn record() -> Record {
    let (pointer, spatial) = (vec![0.0].into(), Some(vec![half::bf16::ZERO; 4].into()));
    Record { mask: Some(vec![1.0; 16].into()), iou: 1.0, object_score: 1.0, pointer, spatial }
}

fn bank(conditioning: &[Position], followed: impl IntoIterator<Item = Position>) -> Bank {
    Bank {
        conditioning: conditioning.iter().map(|t| (*t, record())).collect(),
        followed: followed.into_iter().map(|t| (t, record())).collect(),
    }
}

fn forward(bank: &Bank, at: Position, limits: Limits) -> Selection {
    bank.select(at, Direction::Forward, &SPEC, &limits)
}

#[test]
fn one_click_then_frame_by_frame() {
    let first = forward(&bank(&[0], []), 1, Limits::default());
    assert_eq!(first.spatial, [(0, 6)]);
    assert_eq!(first.pointers, [(0, 1)]);
    assert_eq!(first.divisor, 15);
    let fourth = forward(&bank(&[0], 1..4), 4, Limits::default());
    assert_eq!(fourth.spatial, [(0, 6), (1, 2), (2, 1), (3, 0)]);
    assert_eq!(fourth.pointers, [(0, 4), (3, 1), (2, 2), (1, 3)]);
}

#[test]
fn six_memories_and_fifteen_pointers_of_recent_frames_and_each_conditioning_frame_of_any_age() {
    let selection = forward(&bank(&[0], 1..40), 40, Limits::default());
    assert_eq!(selection.spatial, [(0, 6), (34, 5), (35, 4), (36, 3), (37, 2), (38, 1), (39, 0)]);
    let pointers: Vec<_> = std::iter::once((0, 40)).chain((1..16).map(|d| (40 - d, d))).collect();
    assert_eq!(selection.pointers, pointers);
}

#[test]
fn a_corrected_frame_conditions_earlier_frames_without_its_pointer() {
    let selection = forward(&bank(&[0, 5], 1..5), 3, Limits::default());
    assert_eq!(selection.spatial, [(0, 6), (5, 6), (1, 1), (2, 0)]);
    assert_eq!(selection.pointers, [(0, 3), (2, 1), (1, 2)]);
    // A correction of a conditioning frame is conditioned on the frame itself.
    let itself = forward(&bank(&[0, 5], 1..5), 5, Limits::default());
    assert_eq!(itself.spatial[..2], [(0, 6), (5, 6)]);
    assert_eq!(itself.pointers[..2], [(0, 5), (5, 0)]);
}

#[test]
fn later_frames_condition_backward_tracking() {
    let selection =
        bank(&[9], 6..9).select(5, Direction::Backward, &SPEC, &Limits { length: Some(10), ..Limits::default() });
    assert_eq!(selection.spatial, [(9, 6), (8, 2), (7, 1), (6, 0)]);
    assert_eq!(selection.pointers, [(9, 4), (6, 1), (7, 2), (8, 3)]);
    assert_eq!(selection.divisor, 9);
}

#[test]
fn a_skipped_frame_is_missing_and_shifts_no_other_frame() {
    let selection = forward(&bank(&[0], [1, 2, 5]), 6, Limits::default());
    assert_eq!(selection.spatial, [(0, 6), (1, 4), (2, 3), (5, 0)]);
    assert_eq!(selection.pointers, [(0, 6), (5, 1), (2, 4), (1, 5)]);
}

#[test]
fn the_nearest_conditioning_frames_take_part_and_the_others_count_as_followed() {
    let selection = forward(
        &bank(&[0, 4, 8], (1..11).filter(|t| ![4, 8].contains(t))),
        7,
        Limits { conditioning: Some(2), ..Limits::default() },
    );
    assert_eq!(selection.spatial, [(4, 6), (8, 6), (1, 5), (2, 4), (3, 3), (5, 1), (6, 0)]);
    assert_eq!(selection.pointers, [(4, 3), (6, 1), (5, 2), (3, 4), (2, 5), (1, 6), (0, 7)]);
    let selection = forward(&bank(&[0, 4, 8], []), 11, Limits { conditioning: Some(2), ..Limits::default() });
    assert_eq!(selection.spatial, [(8, 6), (4, 6)]);
    assert_eq!(selection.pointers, [(8, 3), (4, 7), (0, 11)]);
    let selection = forward(&bank(&[0, 4, 8], []), 5, Limits { conditioning: Some(2), ..Limits::default() });
    assert_eq!(selection.spatial, [(4, 6), (8, 6), (0, 4)]);
}

#[test]
fn no_limit_selects_more_memories_than_engines_are_built_for() {
    let prompted: Vec<Position> = (0..200).step_by(3).collect();
    let bank = bank(&prompted, (0..200).filter(|t| t % 3 > 0));
    for limits in [
        Limits::default(),
        Limits { conditioning: Some(usize::MAX), keep: Some(usize::MAX), ..Limits::default() },
        Limits { conditioning: Some(0), ..Limits::default() },
    ] {
        for direction in [Direction::Forward, Direction::Backward] {
            let most = (0..200).map(|at| {
                let selection = bank.select(at, direction, &SPEC, &limits);
                (selection.spatial.len(), selection.pointers.len())
            });
            let (memories, pointers): (Vec<_>, Vec<_>) = most.unzip();
            let most = (memories.into_iter().max().unwrap(), pointers.into_iter().max().unwrap());
            assert!(most.0 <= SPEC.most_memories() && most.1 <= SPEC.most_pointers(), "{limits:?}: {most:?}");
        }
    }
    let most = forward(&bank, 199, Limits::default());
    assert_eq!(most.spatial.iter().filter(|m| m.1 == 6).count(), MAX_CONDITIONING);
}

#[test]
fn the_limit_of_recent_frames_leaves_the_pointers() {
    let selection = forward(&bank(&[0], 1..10), 10, Limits { recent: 2, ..Limits::default() });
    assert_eq!(selection.spatial, [(0, 6), (8, 1), (9, 0)]);
    assert_eq!(selection.pointers.len(), 1 + 9);
    assert_eq!(forward(&bank(&[0], 1..10), 10, Limits { recent: 0, ..Limits::default() }).spatial, [(0, 6)]);
}

#[test]
fn a_short_clip_has_a_smaller_divisor_and_a_clip_of_one_frame_does_not_divide_by_zero() {
    let limits = |length| Limits { length: Some(length), ..Limits::default() };
    let selection = forward(&bank(&[0], 1..8), 8, limits(10));
    assert_eq!((selection.divisor, selection.pointers.len()), (9, 8));
    assert_eq!(forward(&bank(&[0], []), 0, limits(1)).divisor, 1);
}

#[test]
fn forward_tracking_selects_no_dropped_memory() {
    let whole = bank(&[0, 3, 20, 30, 50], (0..100).filter(|t| ![0, 3, 20, 30, 50].contains(t)));
    let mut kept = whole.clone();
    kept.shrink(&SPEC, 8);
    let (expected, selection) =
        (whole.recall(&forward(&whole, 100, Limits::default())), kept.recall(&forward(&kept, 100, Limits::default())));
    assert_eq!((selection.spatial.len(), selection.pointers.len()), (5 + 6, 5 + 15));
    assert_eq!((selection.spatial.len(), selection.pointers.len()), (expected.spatial.len(), expected.pointers.len()));
    assert_eq!(kept.followed.len(), 15 + 3);
    assert_eq!(kept.followed.values().filter(|r| r.spatial.is_some()).count(), 6 + 3);
    assert_eq!(kept.followed.values().filter(|r| r.mask.is_some()).count(), 3);
    // The first conditioning frame stays, and the last ones.
    kept.shrink(&SPEC, 3);
    assert_eq!(kept.conditioning.keys().copied().collect::<Vec<_>>(), [0, 30, 50]);
    kept.shrink(&SPEC, 1);
    assert_eq!(kept.conditioning.keys().copied().collect::<Vec<_>>(), [50]);
}

#[test]
fn a_correction_of_one_of_the_newest_frames_selects_no_dropped_memory() {
    let whole = bank(&[0, 50], (1..100).filter(|t| *t != 50));
    let mut kept = whole.clone();
    kept.shrink(&SPEC, 2);
    for at in 97..=100 {
        let selection = forward(&whole, at, Limits::default());
        assert_eq!(forward(&kept, at, Limits::default()), selection, "{at}");
        let memories = kept.recall(&selection);
        assert_eq!((memories.spatial.len(), memories.pointers.len()), (2 + 6, 2 + 15), "{at}");
    }
}

#[test]
fn distances_are_divided_by_the_divisor() {
    let bank = bank(&[0], 1..4);
    let memories = bank.recall(&forward(&bank, 4, Limits::default()));
    assert_eq!(memories.pointers.iter().map(|p| p.1 * 15.0).collect::<Vec<_>>(), [4.0, 1.0, 2.0, 3.0]);
    assert_eq!(memories.spatial.iter().map(|m| m.1).collect::<Vec<_>>(), [6, 2, 1, 0]);
}
