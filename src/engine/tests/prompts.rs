//! Frames of prompts: kept, pending, passed over, gone or refused.

use std::time::Duration;

use tokio::sync::oneshot;

use super::testing::{frame, stamp};
use super::*;
use crate::prompt::{BoxPrompt, Point, Prompt};

#[test]
fn a_prompt_is_decoded_on_the_frame_of_its_stamp_and_carries_its_header() {
    let b = bench(patient());
    for sec in 1..=3 {
        b.encode(sec);
    }
    for (at, sec) in [(FrameRef::At(stamp(1)), 1), (FrameRef::Newest, 3), (FrameRef::At(stamp(2)), 2)] {
        b.click(at, 4.0, 4.0, Persistence::Once);
        let result = b.result();
        assert_eq!((result.header, result.objects.len()), (testing::header(sec), 1));
        assert_eq!(result.objects[0].iou, sec as f32 / 100.0);
    }
}

#[test]
fn the_newest_frame_wins_and_the_others_are_counted() {
    let b = bench(patient());
    b.engine.push_frame(frame(1));
    assert_eq!(b.gate.started.recv_timeout(PATIENCE), Ok(1));
    for sec in 2..=100 {
        b.engine.push_frame(frame(sec));
    }
    b.gate.open(2);
    until(|| b.engine.metrics().frames_encoded == 2);
    assert_eq!(b.gate.started.recv_timeout(PATIENCE), Ok(100));
    let metrics = b.engine.metrics();
    assert_eq!((metrics.frames_in, metrics.frames_superseded), (100, 98));
    assert_eq!(b.engine.usage().kept_frames, 2);
}

#[test]
fn a_click_on_a_kept_frame_does_not_wait_for_the_encoder() {
    let b = bench(patient());
    b.encode(1);
    b.engine.push_frame(frame(2));
    assert_eq!(b.gate.started.recv_timeout(PATIENCE), Ok(1));
    assert_eq!(b.gate.started.recv_timeout(PATIENCE), Ok(2));
    // The encoder holds frame 2 without a permit.
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    assert_eq!(b.result().header.stamp, stamp(1));
    b.gate.open(1);
}

#[test]
fn a_prompt_that_comes_before_its_frame_waits_for_it() {
    let b = bench(patient());
    b.encode(1);
    b.click(FrameRef::At(stamp(2)), 4.0, 4.0, Persistence::Once);
    b.encode(2);
    assert_eq!(b.result().header.stamp, stamp(2));
}

#[test]
fn a_frame_that_was_passed_over_is_encoded_for_a_detector() {
    let b = bench(patient());
    b.engine.push_frame(frame(1));
    assert_eq!(b.gate.started.recv_timeout(PATIENCE), Ok(1));
    b.engine.push_frame(frame(2));
    b.engine.push_frame(frame(3));
    let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
    let boxes = vec![DetectedBox { bbox, mask: None, class_id: "cup".into(), tag: "t1".into(), score: Some(0.7) }; 2];
    b.engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(2)), boxes }).unwrap();
    b.gate.open(3);
    let result = loop {
        let result = b.result();
        if !result.objects.is_empty() {
            break result;
        }
    };
    assert_eq!(result.header.stamp, stamp(2));
    let results: Vec<_> = result.objects.iter().map(|o| (o.id, &*o.class_id, &*o.tag, o.detection_score)).collect();
    assert_eq!(results, [(1001, "cup", "t1", Some(0.7)), (1002, "cup", "t1", Some(0.7))]);
    // The camera's newest frame is still the newest, although it was encoded first.
    until(|| b.engine.metrics().frames_encoded == 3);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    assert_eq!(b.result().header.stamp, stamp(3));
}

pub fn detect(b: &Bench, sec: i32) {
    let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
    let boxes = vec![DetectedBox { bbox, mask: None, class_id: String::new(), tag: String::new(), score: None }];
    b.engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(sec)), boxes }).unwrap();
}

fn ask(b: &Bench, sec: i32) -> oneshot::Receiver<Result<FrameResult, Refusal>> {
    let (reply, answer) = oneshot::channel();
    let objects = vec![ObjectPrompt { prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() }];
    let on = SegmentOn::Frame(FrameRef::At(stamp(sec)));
    b.engine.segment(Segment { on, objects, all_candidates: false, reply });
    answer
}

/// Returns the stamp of the passed-over frame that is encoded next.
fn next_wanted(b: &Bench) -> Option<Stamp> {
    b.engine.shared.lock().wanted.get(0).map(|q| q.item.header.stamp)
}

#[test]
fn a_click_on_a_frame_that_was_passed_over_does_not_wait_for_those_of_detections() {
    let b = bench(patient());
    b.engine.push_frame(frame(1));
    assert_eq!(b.gate.started.recv_timeout(PATIENCE), Ok(1));
    (2..=12).for_each(|sec| b.engine.push_frame(frame(sec)));
    (2..=9).for_each(|sec| detect(&b, sec));
    until(|| b.engine.usage().to_encode >= 2);
    for sec in [11, 9] {
        b.click(FrameRef::At(stamp(sec)), 4.0, 4.0, Persistence::Once);
    }
    until(|| b.engine.usage().to_encode >= 3);
    b.gate.open(100);
    let order: Vec<u8> = (0..3).map(|_| b.gate.started.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!((order[0], order[1]), (11, 12), "the camera's newest frame has its turn too");
    let clicks = std::iter::repeat_with(|| b.result()).filter(|r| r.source == ResultSource::Prompt);
    assert_eq!(clicks.take(2).map(|r| r.header.stamp).collect::<Vec<_>>(), [stamp(11), stamp(9)]);
    until(|| b.engine.usage().queries == 0);
    assert!(!b.engine.metrics().refused.contains_key(&RefusalKind::FrameGone));
}

#[test]
fn a_click_takes_the_place_of_a_detector_that_waits_for_the_same_frame() {
    let b = bench(patient());
    b.engine.push_frame(frame(1));
    assert_eq!(b.gate.started.recv_timeout(PATIENCE), Ok(1));
    (2..=5).for_each(|sec| b.engine.push_frame(frame(sec)));
    (2..=3).for_each(|sec| detect(&b, sec));
    until(|| b.engine.usage().to_encode == 2);
    b.click(FrameRef::At(stamp(3)), 4.0, 4.0, Persistence::Once);
    until(|| next_wanted(&b) == Some(stamp(3)));
    b.gate.open(10);
    until(|| b.engine.usage().queries + b.engine.usage().prompts == 0);
}

#[test]
fn a_click_on_a_frame_that_was_passed_over_needs_no_room_among_those_of_others() {
    let keep = KeepLimits { bytes: 3 * frame(1).bytes(), ..KeepLimits::default() };
    let b = bench(Settings { keep, ..patient() });
    b.engine.push_frame(frame(1));
    assert_eq!(b.gate.started.recv_timeout(PATIENCE), Ok(1));
    (2..=5).for_each(|sec| b.engine.push_frame(frame(sec)));
    let _answers: Vec<_> = (2..=4).map(|sec| ask(&b, sec)).collect();
    until(|| b.engine.usage().to_encode_bytes == keep.bytes);
    (6..=8).for_each(|sec| b.engine.push_frame(frame(sec)));
    b.click(FrameRef::At(stamp(6)), 4.0, 4.0, Persistence::Once);
    until(|| next_wanted(&b) == Some(stamp(6)));
    b.gate.open(10);
}

#[test]
fn detections_that_the_encoder_has_no_time_for_are_refused_and_do_not_pile_up() {
    let b = bench(Settings { keep: KeepLimits { images: 5, ..KeepLimits::default() }, ..patient() });
    b.engine.push_frame(frame(1));
    assert_eq!(b.gate.started.recv_timeout(PATIENCE), Ok(1));
    (2..=7).for_each(|sec| b.engine.push_frame(frame(sec)));
    (2..=6).for_each(|sec| detect(&b, sec));
    until(|| b.engine.usage().to_encode >= 2);
    (8..=12).for_each(|sec| b.engine.push_frame(frame(sec)));
    for sec in 4..=6 {
        let refusal = b.refusal();
        assert_eq!(refusal.kind, RefusalKind::FrameGone);
        assert!(refusal.message.contains(&stamp(sec).to_string()), "{}", refusal.message);
    }
    assert_eq!((b.engine.usage().to_encode, b.engine.usage().queries), (2, 2));
    b.gate.open(10);
    let answers = std::iter::repeat_with(|| b.result()).take(2);
    assert_eq!(answers.map(|r| r.header.stamp).collect::<Vec<_>>(), [stamp(2), stamp(3)]);
    assert_eq!(b.engine.metrics().refused[&RefusalKind::FrameGone], 3);
}

#[test]
fn segment_requests_on_frames_that_were_passed_over_are_all_answered() {
    let b = bench(Settings { keep: KeepLimits { images: 5, ..KeepLimits::default() }, ..patient() });
    b.engine.push_frame(frame(1));
    assert_eq!(b.gate.started.recv_timeout(PATIENCE), Ok(1));
    (2..=7).for_each(|sec| b.engine.push_frame(frame(sec)));
    let answers: Vec<_> = (2..=6).map(|sec| ask(&b, sec)).collect();
    until(|| b.engine.usage().to_encode == 5);
    (8..=12).for_each(|sec| b.engine.push_frame(frame(sec)));
    b.gate.open(10);
    let seconds: Vec<i32> = answers.into_iter().map(|answer| wait_for(answer).unwrap().header.stamp.sec).collect();
    assert_eq!(seconds, [2, 3, 4, 5, 6]);
}

#[test]
fn a_missing_frame_is_reported_with_the_kept_stamps() {
    let b = bench(Settings { keep: KeepLimits { frames: 2, ..KeepLimits::default() }, ..patient() });
    for sec in 1..=4 {
        b.encode(sec);
    }
    b.click(FrameRef::At(stamp(1)), 4.0, 4.0, Persistence::Once);
    let refusal = b.refusal();
    assert_eq!(refusal.kind, RefusalKind::FrameGone);
    assert!(refusal.message.contains("kept are 3.000000000 to 4.000000000"), "{}", refusal.message);
    assert_eq!(b.engine.metrics().refused[&RefusalKind::FrameGone], 1);
}

/// Returns an image that cannot be converted: rgb8 without pixels.
fn broken(sec: i32) -> Frame {
    let (encoding, data) = ("rgb8".to_owned(), Vec::new());
    let pixels = FramePixels::Raw { width: 4, height: 4, step: 12, encoding, big_endian: false, data };
    Frame { header: testing::header(sec), pixels }
}

#[test]
fn a_click_on_a_refused_image_is_refused_with_the_reason() {
    let b = bench(patient());
    b.encode(1);
    b.engine.push_frame(broken(2));
    let why = b.refusal();
    assert_eq!(why.kind, RefusalKind::BadImage);
    b.click(FrameRef::At(stamp(2)), 4.0, 4.0, Persistence::Once);
    let refusal = b.refusal();
    assert_eq!(refusal.kind, RefusalKind::FrameGone);
    assert!(refusal.message.contains("the image of stamp 2.000000000 was refused: "), "{}", refusal.message);
    assert!(refusal.message.contains(&why.message), "{}", refusal.message);
    // The same stamp again, with a valid image.
    b.encode(2);
    b.click(FrameRef::At(stamp(2)), 4.0, 4.0, Persistence::Once);
    assert_eq!(b.result().header.stamp, stamp(2));
}

#[test]
fn kept_stamps_in_a_refusal_are_those_of_encoded_frames() {
    let b = bench(Settings { keep: KeepLimits { images: 0, ..KeepLimits::default() }, ..patient() });
    b.encode(1);
    b.encode(3);
    // Newer images that are not encoded.
    b.engine.push_frame(frame(4));
    assert_eq!(b.gate.started.iter().find(|sec| *sec == 4), Some(4));
    b.engine.push_frame(frame(5));
    b.engine.push_frame(frame(6));
    b.click(FrameRef::At(stamp(5)), 4.0, 4.0, Persistence::Once);
    let refusal = b.refusal();
    assert!(refusal.message.contains("kept are 1.000000000 to 3.000000000"), "{}", refusal.message);
}

#[test]
fn without_any_image_a_click_is_refused_after_the_timeout() {
    let b = bench(Settings { prompt_timeout: Duration::from_millis(1), ..Settings::default() });
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    assert_eq!(b.refusal().kind, RefusalKind::NoImage);
    b.click(FrameRef::At(stamp(9)), 4.0, 4.0, Persistence::Once);
    assert_eq!(b.refusal().kind, RefusalKind::FrameGone);
}

#[test]
fn a_second_click_carries_the_first_and_its_logits() {
    let b = bench(patient());
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    b.click(FrameRef::Newest, 9.0, 9.0, Persistence::Once);
    until(|| b.decoded_prompts.lock().unwrap().len() == 2);
    let prompts = b.decoded_prompts.lock().unwrap();
    assert_eq!((prompts[0][0].points.len(), prompts[0][0].mask.is_some()), (1, false));
    assert_eq!((prompts[1][0].points.len(), prompts[1][0].mask.is_some()), (2, true));
}

#[test]
fn a_bad_click_changes_no_object() {
    let b = bench(patient());
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
    assert_eq!(b.result().objects.len(), 1);
    b.click(FrameRef::Newest, f32::NAN, 4.0, Persistence::Hold);
    assert_eq!(b.refusal().kind, RefusalKind::BadPrompt);
    b.click(FrameRef::Newest, 900.0, 4.0, Persistence::Hold);
    assert_eq!(b.refusal().kind, RefusalKind::BadPrompt);
    b.click(FrameRef::Newest, 5.0, 5.0, Persistence::Hold);
    assert_eq!(b.result().objects[0].points.len(), 2);
}

#[test]
fn clear_empties_the_newest_frame() {
    let b = bench(patient());
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
    assert_eq!(b.result().objects.len(), 1);
    b.engine.interact(Interaction::Clear).unwrap();
    let result = b.result();
    assert!(result.prompted && result.objects.is_empty());
}

#[test]
fn a_decoder_that_panics_takes_nothing_down() {
    let b = bench(patient());
    b.encode(66);
    let _ = b.events.recv_timeout(PATIENCE);
    b.encode(1);
    b.click(FrameRef::At(stamp(66)), 4.0, 4.0, Persistence::Once);
    until(|| b.engine.metrics().refused.contains_key(&RefusalKind::ModelFailed));
    b.click(FrameRef::At(stamp(1)), 4.0, 4.0, Persistence::Once);
    let on_one = std::iter::repeat_with(|| b.events.recv_timeout(PATIENCE).unwrap())
        .find(|e| matches!(e, Event::Result(r) if r.header.stamp == stamp(1) && !r.objects.is_empty()));
    assert!(on_one.is_some());
}

#[test]
fn a_flood_of_prompts_is_bounded_and_refused() {
    let b = bench(patient());
    let click = || Interaction::Click {
        at: FrameRef::Newest,
        point: Point::foreground(1.0, 1.0),
        mode: ClickMode::Point,
        persistence: Persistence::Once,
    };
    let refused = (0..400).filter(|_| b.engine.interact(click()).is_err()).count();
    assert_eq!(refused, 400 - 256);
    assert_eq!(b.engine.metrics().refused[&RefusalKind::QueueFull], 144);
}
