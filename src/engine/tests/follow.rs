//! Objects that a model with memory follows.

use std::sync::Arc;

use image::RgbImage;

use super::pressure::boxes;
use super::testing::{HEIGHT, OBJECT_SCORE_BELOW_ZERO, WIDTH, header, kept_frame, stamp};
use super::tracker::{BREAKS, SIDE, Tracker, following, gated_tracker, tracker};
use super::*;
use crate::prompt::{LowResLogits, Point, Prompt};

#[test]
fn a_clicked_object_is_followed_from_frame_to_frame_with_its_score() {
    let t = tracker(patient());
    t.b.encode(1);
    let first = t.click(FrameRef::Newest, 5.0);
    assert_eq!((first.objects[0].object_score, first.objects[0].points.len()), (Some(4.0), 1));
    for sec in 2..12 {
        let r = t.frame(sec, 1);
        let object = &r.objects[0];
        assert_eq!((object.id, object.iou, object.object_score), (1, sec as f32 / 100.0, Some(4.0)));
        assert_eq!((object.mask.area, object.points.len()), (WIDTH * HEIGHT, 0));
        let expected: Vec<usize> = std::iter::once(6).chain((0..(sec as usize - 2).min(6)).rev()).collect();
        assert_eq!(t.rows(sec).last(), Some(&(5.0, expected)), "frame {sec}");
    }
    assert!(t.b.decoded_prompts.lock().unwrap().is_empty(), "followed objects are not decoded from prompts");
}

#[test]
fn certain_parts_of_masks_are_computed_while_they_are_needed() {
    let mut settings = patient();
    settings.track.separate = true;
    let t = tracker(settings);
    let certain = |r: &FrameResult| r.objects[0].certain.as_ref().map(|certain| certain.area);
    let all = WIDTH * HEIGHT;
    t.b.encode(1);
    // The logits of the tracker are 0.5 everywhere, half the offset of the stability score.
    let first = t.click(FrameRef::Newest, 0.5);
    assert_eq!((first.objects[0].mask.area, certain(&first)), (all, None));
    t.b.engine.set_certain_masks(true);
    let second = t.frame(2, 1);
    assert_eq!((second.objects[0].mask.area, certain(&second)), (all, Some(0)));
    // Those of a detector's boxes are 5.
    t.b.engine.detections(Detections { source: "detector", at: FrameRef::Newest, boxes: boxes(1) }).unwrap();
    let detected = t.b.result().objects.last().unwrap().clone();
    assert_eq!(detected.certain.as_ref().map(|certain| certain.area), Some(all));
    t.b.engine.set_certain_masks(false);
    assert_eq!(certain(&t.frame(3, 1)), None);
}

#[test]
fn objects_are_added_corrected_and_removed_while_others_are_followed() {
    let t = tracker(patient());
    t.b.encode(1);
    t.click(FrameRef::Newest, 5.0);
    t.frame(2, 1);
    assert_eq!(t.click_another(FrameRef::Newest, 9.0).objects.len(), 2);
    assert_eq!(t.frame(3, 2).objects.iter().map(|o| o.id).collect::<Vec<_>>(), [1, 2]);
    // A correction of the current object on an earlier frame, with the memory of that frame.
    t.take_runs();
    t.click(FrameRef::Newest, 10.0);
    let [run] = &t.take_runs()[..] else { panic!("one run for one correction") };
    assert_eq!((run.object, run.rows.clone(), run.fed_back), (9.0, Some(vec![6]), true));
    assert_eq!(
        run.points,
        [Point::foreground(10.0, 4.0)],
        "prompts on other frames refer to the pixels of those frames"
    );
    t.frame(4, 2);
    assert_eq!(t.rows(4), [(5.0, vec![6, 1, 0]), (9.0, vec![6, 6])]);
    t.prompts(Operation::Remove, vec![ObjectPrompt { id: 1, ..ObjectPrompt::default() }]);
    assert_eq!(t.frame(5, 1).objects[0].id, 2);
}

#[test]
fn several_clicks_on_a_frame_are_one_prompt() {
    let t = tracker(patient());
    t.b.encode(1);
    t.click(FrameRef::Newest, 5.0);
    t.click(FrameRef::Newest, 6.0);
    let runs = t.take_runs();
    assert_eq!((runs[1].points.len(), runs[1].fed_back, runs[1].rows.clone()), (2, true, None));
    t.frame(2, 1);
    assert_eq!(t.rows(2), [(5.0, vec![6])]);
}

#[test]
fn a_click_on_an_older_frame_prompts_that_frame_and_skipped_frames_leave_no_gap() {
    let t = tracker(patient());
    for sec in 1..=3 {
        t.b.encode(sec);
    }
    // No object is followed over these frames yet.
    until(|| t.b.engine.shared.lock().fresh.is_none());
    assert_eq!(t.click(FrameRef::At(stamp(1)), 5.0).header.stamp, stamp(1));
    // No object was followed over frames 2 and 3.
    t.frame(4, 1);
    assert_eq!(t.rows(4), [(5.0, vec![6])]);
    t.frame(5, 1);
    assert_eq!(t.rows(5), [(5.0, vec![6, 0])]);
    // So a correction on them belongs to the click's own frame, the last followed frame before them.
    t.click(FrameRef::At(stamp(3)), 6.0);
    t.frame(6, 1);
    assert_eq!(t.rows(6), [(5.0, vec![6, 1, 0])]);
}

#[test]
fn the_memory_of_a_click_on_a_skipped_frame_has_the_image_of_that_frame() {
    // With 4 kept frames the frame before is removed in the meantime.
    for frames in [30, 4] {
        let t = tracker(Settings { keep: KeepLimits { frames, ..KeepLimits::default() }, ..patient() });
        followed_but_for_2_and_3(&t);
        t.click(FrameRef::At(stamp(3)), 6.0);
        t.frame(6, 1);
        assert_eq!(*t.remembered.lock().unwrap(), [1, 3]);
        assert_eq!(t.rows(6), [(5.0, vec![6, 1, 0])]);
    }
}

#[test]
fn undoing_a_click_on_a_skipped_frame_leaves_the_click_before() {
    let t = tracker(patient());
    followed_but_for_2_and_3(&t);
    t.click(FrameRef::At(stamp(3)), 6.0);
    t.undo();
    t.frame(6, 1);
    assert_eq!(t.rows(6), [(5.0, vec![6, 1, 0])]);
}

/// Encodes frames 1 to 5 with an object that is clicked on frame 1 and followed over frames 4 and 5.
fn followed_but_for_2_and_3(t: &Tracker) {
    (1..=3).for_each(|sec| t.b.encode(sec));
    // No object is followed over these frames yet.
    until(|| t.b.engine.shared.lock().fresh.is_none());
    t.click(FrameRef::At(stamp(1)), 5.0);
    (4..=5).for_each(|sec| drop(t.frame(sec, 1)));
}

#[test]
fn an_object_that_is_not_visible_is_lost_and_found_and_followed_throughout() {
    let t = tracker(patient());
    t.b.encode(1);
    t.click(FrameRef::Newest, 5.0);
    t.frame(2, 1);
    let lost = &t.frame(OBJECT_SCORE_BELOW_ZERO, 1).objects[0];
    assert_eq!((lost.mask.area, lost.object_score), (0, Some(-3.0)));
    assert_eq!(lost.lost.as_deref(), Some("object score -3.00 is not above 0"));
    let found = &t.frame(80, 1).objects[0];
    assert_eq!((found.lost.as_deref(), found.mask.area), (None, WIDTH * HEIGHT));
    assert_eq!(t.rows(80), [(5.0, vec![6, 1, 0])]);
}

#[test]
fn more_objects_than_the_limit_are_refused_and_the_others_are_followed() {
    let t = tracker(following(TrackSettings { max_objects: 2, ..TrackSettings::default() }));
    t.b.encode(1);
    for x in [5.0, 6.0] {
        t.click_another(FrameRef::Newest, x);
    }
    t.b.engine.interact(Interaction::NewObject).unwrap();
    t.b.click(FrameRef::Newest, 7.0, 4.0, Persistence::Track);
    let refusal = t.b.events.iter().find_map(|e| if let Event::Refused(r) = e { Some(r) } else { None }).unwrap();
    assert_eq!(refusal.kind, RefusalKind::TooManyObjects);
    assert!(refusal.message.contains("more than the 2 that are followed"), "{}", refusal.message);
    t.frame(2, 2);
    // The limit applies to followed objects only.
    t.b.engine.interact(Interaction::NewObject).unwrap();
    t.b.click(FrameRef::Newest, 8.0, 4.0, Persistence::Hold);
    t.frame(3, 3);
}

#[test]
fn an_object_whose_networks_fail_is_lost_on_that_frame_and_the_others_are_followed() {
    for (x, expected) in [(13.0, "out of order"), (14.0, "panicked")] {
        let t = tracker(patient());
        t.b.encode(1);
        t.click(FrameRef::Newest, 5.0);
        t.click_another(FrameRef::Newest, x);
        t.frame(2, 2);
        let r = t.frame(BREAKS as i32, 2);
        assert_eq!(r.objects[0].lost, None);
        let reason = r.objects[1].lost.as_deref().unwrap();
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(r.objects[1].mask.area, 0);
        assert_eq!(t.b.engine.metrics().refused.get(&RefusalKind::ModelFailed), Some(&1));
        let r = t.frame(60, 2);
        assert!(r.objects.iter().all(|o| o.lost.is_none()));
    }
}

#[test]
fn a_camera_that_changes_its_aspect_ratio_loses_its_objects_until_they_are_prompted_again() {
    let t = tracker(patient());
    t.b.encode(1);
    t.click(FrameRef::Newest, 5.0);
    t.frame(2, 1);
    let push = |sec: i32, (width, height): (u32, u32)| {
        let image = Arc::new(RgbImage::from_pixel(width, height, image::Rgb([sec as u8; 3])));
        t.b.engine.push_frame(Frame { header: header(sec), pixels: FramePixels::Rgb(image) });
        t.b.gate.open(1);
        t.answer(sec, |r| r.objects.len() == 1)
    };
    // Twice the size is the same aspect ratio.
    let larger = push(3, (2 * WIDTH, 2 * HEIGHT));
    assert_eq!((larger.objects[0].lost.as_ref(), larger.objects[0].mask.width), (None, 2 * WIDTH));
    for sec in [4, 5] {
        let turned = push(sec, (HEIGHT, WIDTH));
        let reason = turned.objects[0].lost.as_deref().unwrap();
        assert!(reason.contains("was 64x48 and is 24x32 now"), "{reason}");
    }
    t.take_runs();
    let again = t.click(FrameRef::Newest, 6.0);
    assert_eq!(again.objects[0].lost, None);
    assert_eq!(t.take_runs()[0].rows, None, "a new track: the memories have another aspect ratio");
    assert_eq!(push(6, (HEIGHT, WIDTH)).objects[0].lost, None);
}

#[test]
fn a_correction_that_is_undone_conditions_no_frame() {
    let t = tracker(patient());
    t.b.encode(1);
    t.click(FrameRef::Newest, 5.0);
    t.frame(2, 1);
    t.click(FrameRef::Newest, 6.0);
    assert!(t.undo().contains("object 1 has 1 point"));
    t.frame(3, 1);
    // Without the correction: the frame of the click and the followed frame.
    assert_eq!(t.rows(3).last(), Some(&(5.0, vec![6, 0])));
}

#[test]
fn undoing_the_second_click_on_a_frame_leaves_the_first() {
    let t = tracker(patient());
    t.b.encode(1);
    t.click(FrameRef::Newest, 5.0);
    t.click(FrameRef::Newest, 6.0);
    t.undo();
    t.frame(2, 1);
    let runs = t.take_runs();
    let prompts: Vec<_> = runs.iter().filter(|a| a.rows.is_none()).map(|a| a.points.len()).collect();
    assert_eq!(prompts, [1, 2, 1]);
    assert_eq!(runs.last().unwrap().rows, Some(vec![6]));
}

#[test]
fn an_object_that_is_corrected_while_the_next_one_is_followed_stays_corrected() {
    for separate in [false, true] {
        let (t, turnstile) = gated_tracker(following(TrackSettings { separate, ..TrackSettings::default() }));
        t.b.encode(1);
        t.click(FrameRef::Newest, 5.0);
        t.click_another(FrameRef::Newest, 9.0);
        t.b.encode(OBJECT_SCORE_BELOW_ZERO);
        let correction =
            ObjectPrompt { id: 1, prompt: Prompt::point(6.0, 4.0), refine: true, ..ObjectPrompt::default() };
        turnstile.pass(5.0, || t.prompts(Operation::Add, vec![correction]));
        turnstile.pass(9.0, || ());
        let r = t.answer(OBJECT_SCORE_BELOW_ZERO, |r| r.source == ResultSource::Camera);
        assert_eq!(r.objects.iter().map(|o| (o.id, o.lost.is_some())).collect::<Vec<_>>(), [(1, false), (2, true)]);
    }
}

#[test]
fn the_other_objects_are_not_followed_when_the_engine_stops() {
    let (t, turnstile) = gated_tracker(patient());
    t.b.encode(1);
    t.click(FrameRef::Newest, 5.0);
    t.click_another(FrameRef::Newest, 9.0);
    t.b.encode(2);
    turnstile.pass(5.0, || t.b.engine.stop());
    assert!(turnstile.started.recv_timeout(PATIENCE).is_err(), "another turn");
    let on_two = |e: &Event| matches!(e, Event::Result(r) if r.header.stamp == stamp(2));
    assert!(!t.b.events.try_iter().any(|e| on_two(&e) || matches!(e, Event::Tracking { .. } | Event::Refused(_))));
}

#[test]
fn an_object_restored_by_undo_while_the_next_is_followed_is_followed() {
    let (t, turnstile) = gated_tracker(patient());
    t.b.encode(1);
    t.click(FrameRef::Newest, 5.0);
    t.click_another(FrameRef::Newest, 9.0);
    let more = ObjectPrompt { id: 1, prompt: Prompt::point(6.0, 4.0), refine: true, ..ObjectPrompt::default() };
    t.prompts(Operation::Add, vec![more]);
    t.b.result();
    t.b.encode(2);
    let (reply, answer) = tokio::sync::oneshot::channel();
    turnstile.pass(5.0, || t.b.engine.interact(Interaction::Undo { reply }).unwrap());
    turnstile.pass(9.0, || ());
    assert!(wait_for(answer).unwrap().contains("object 1 has 1 point"));
    turnstile.pass(5.0, || ());
    t.answer(2, |r| r.objects.len() == 2);
}

#[test]
fn followed_objects_are_in_the_answer_despite_prompts_on_many_other_frames() {
    // More frames than have stored results, and more masks than fit.
    for (frames, count) in [(1..=4, 1), (1..=1, 20)] {
        let keep = KeepLimits { bytes: 6 * kept_frame(1).bytes(), ..KeepLimits::default() };
        let (t, turnstile) = gated_tracker(Settings { keep, ..patient() });
        (1..=4).for_each(|sec| t.b.encode(sec));
        until(|| t.b.engine.shared.lock().fresh.is_none());
        t.click(FrameRef::Newest, 5.0);
        t.click_another(FrameRef::Newest, 9.0);
        t.b.encode(5);
        turnstile.pass(5.0, || {
            for sec in frames {
                let once = ObjectPrompt { prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() };
                let (operation, objects) = (Operation::Add, vec![once; count]);
                let (at, persistence) = (FrameRef::At(stamp(sec)), Persistence::Once);
                t.b.engine.interact(Interaction::Prompts { at, operation, objects, persistence }).unwrap();
            }
        });
        turnstile.pass(9.0, || ());
        let r = t.answer(5, |r| r.source == ResultSource::Camera);
        assert_eq!(r.objects.iter().map(|o| o.id).collect::<Vec<_>>(), [1, 2]);
    }
}

#[test]
fn a_followed_result_does_not_belong_to_a_new_object_with_the_same_id() {
    let clear = |t: &Tracker| t.b.engine.interact(Interaction::Clear).unwrap();
    let remove = |t: &Tracker| {
        t.b.engine.interact(Interaction::NewObject).unwrap();
        t.prompts(Operation::Remove, [1, 2].map(|id| ObjectPrompt { id, ..ObjectPrompt::default() }).to_vec());
    };
    for forget in [clear as fn(&Tracker), remove] {
        let (t, turnstile) = gated_tracker(patient());
        t.b.encode(1);
        t.click(FrameRef::Newest, 5.0);
        t.click_another(FrameRef::Newest, 9.0);
        t.b.encode(2);
        turnstile.pass(5.0, || {
            forget(&t);
            t.b.click(FrameRef::At(stamp(1)), 7.0, 4.0, Persistence::Track);
        });
        let r = t.answer(1, |r| r.objects.len() == 1 && r.objects[0].points[0].x == 7.0);
        assert_eq!(r.objects[0].id, 1);
        assert!(t.answer(2, |r| r.source == ResultSource::Camera).objects.is_empty());
    }
}

fn left_half() -> Prompt {
    let logits = (0..SIDE * SIDE).map(|i| if i % SIDE < 4 { 9.0 } else { -9.0 }).collect();
    Prompt::default().with_mask(LowResLogits { side: SIDE, data: logits })
}

#[test]
fn undoing_a_click_on_a_mask_prompt_leaves_the_mask() {
    for given in [left_half(), left_half().with_point(Point::foreground(5.0, 4.0))] {
        let t = tracker(patient());
        t.b.encode(1);
        t.prompts(Operation::Add, vec![ObjectPrompt { id: 3, prompt: given, ..ObjectPrompt::default() }]);
        t.b.result();
        let runs = t.take_runs();
        let more = ObjectPrompt { id: 3, prompt: Prompt::point(6.0, 4.0), refine: true, ..ObjectPrompt::default() };
        t.prompts(Operation::Add, vec![more]);
        t.b.result();
        t.take_runs();
        t.undo();
        assert_eq!(t.take_runs(), runs);
        t.frame(2, 1);
        let first = runs.first().map_or(99.0, |a| a.object);
        assert_eq!(t.rows(2), [(first, vec![6])]);
    }
}

#[test]
fn a_mask_prompt_is_the_answer_and_is_followed() {
    let t = tracker(patient());
    t.b.encode(1);
    t.prompts(Operation::Add, vec![ObjectPrompt { id: 3, prompt: left_half(), ..ObjectPrompt::default() }]);
    let given = &t.b.result().objects[0];
    assert_eq!((given.iou, given.object_score), (1.0, Some(10.0)));
    let half = WIDTH * HEIGHT / 2;
    assert!(given.mask.area.abs_diff(half) <= half / 10, "{} of {half}", given.mask.area);
    t.frame(2, 1);
    assert_eq!(t.rows(2), [(99.0, vec![6])]);
}

#[test]
fn a_held_object_starts_from_its_mask_when_it_becomes_tracked() {
    let t = tracker(patient());
    t.b.encode(1);
    t.b.click(FrameRef::Newest, 5.0, 4.0, Persistence::Hold);
    t.b.result();
    t.click(FrameRef::Newest, 6.0);
    t.frame(2, 1);
    assert_eq!(t.rows(2), [(6.0, vec![6])]);
}

#[test]
fn fewer_memories_are_a_setting_that_changes_while_objects_are_followed() {
    let t = tracker(patient());
    t.b.encode(1);
    t.click(FrameRef::Newest, 5.0);
    for sec in 2..8 {
        t.frame(sec, 1);
    }
    t.b.engine.configure(|s| s.track.recent = 1);
    t.frame(8, 1);
    assert_eq!(t.rows(8), [(5.0, vec![6, 0])]);
}

#[test]
fn separate_assigns_a_pixel_of_two_objects_to_the_more_certain_one() {
    for separate in [false, true] {
        let t = tracker(following(TrackSettings { separate, ..TrackSettings::default() }));
        t.b.encode(1);
        t.click(FrameRef::Newest, 5.0);
        t.click_another(FrameRef::Newest, 9.0);
        let areas: Vec<u32> = t.frame(2, 2).objects.iter().map(|o| o.mask.area).collect();
        assert_eq!(areas, [if separate { 0 } else { WIDTH * HEIGHT }, WIDTH * HEIGHT]);
    }
}

#[test]
fn a_model_without_memory_is_noted_once() {
    let b = bench(Settings { track_min_iou: 0.0, ..patient() });
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Track);
    b.click(FrameRef::Newest, 5.0, 4.0, Persistence::Track);
    until(|| b.engine.metrics().results >= 2);
    let notes = b.events.try_iter().filter_map(|e| if let Event::Note(n) = e { Some(n) } else { None });
    let notes: Vec<_> = notes.collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("no memory"), "{notes:?}");
}

#[test]
fn memories_are_counted() {
    let t = tracker(patient());
    t.b.encode(1);
    t.click(FrameRef::Newest, 5.0);
    t.frame(2, 1);
    let before = t.b.engine.usage().object_bytes;
    t.frame(3, 1);
    until(|| t.b.engine.usage().object_bytes > before);
}
