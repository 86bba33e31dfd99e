//! Boxes of detectors, and `segment` requests: in chunks, in one answer, beside the objects.

use std::sync::mpsc::channel;

use tokio::sync::oneshot;

use super::testing::{FakeDecoder, frame, stamp};
use super::*;
use crate::prompt::{BoxPrompt, Prompt};

#[test]
fn held_objects_are_in_a_detectors_answer_on_an_older_frame() {
    let b = bench(patient());
    b.encode(1);
    b.encode(2);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
    assert_eq!(b.result().header.stamp, stamp(2));
    let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
    let boxes = vec![DetectedBox { bbox, mask: None, class_id: String::new(), tag: String::new(), score: None }];
    b.engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(1)), boxes }).unwrap();
    let on_one = std::iter::repeat_with(|| b.result()).find(|r| r.header.stamp == stamp(1)).unwrap();
    assert_eq!(on_one.objects.iter().map(|o| o.id).collect::<Vec<_>>(), [1, 1001]);
    b.engine.interact(Interaction::Clear).unwrap();
    let cleared = std::iter::repeat_with(|| b.result()).find(|r| r.header.stamp == stamp(2)).unwrap();
    assert!(cleared.objects.is_empty());
}

#[test]
fn one_bad_box_among_detections_is_refused_alone() {
    let b = bench(patient());
    b.encode(1);
    let good = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
    let flat = BoxPrompt { y_max: 1.0, ..good };
    let boxes = [good, flat]
        .map(|bbox| DetectedBox { bbox, mask: None, class_id: String::new(), tag: String::new(), score: None })
        .to_vec();
    b.engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(1)), boxes }).unwrap();
    assert_eq!(b.refusal().kind, RefusalKind::BadPrompt);
    assert_eq!(b.result().objects.len(), 1);
}

#[test]
fn a_thousand_boxes_come_in_chunks_and_keep_little_memory() {
    let b = bench(patient());
    b.encode(1);
    let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
    let boxes = vec![DetectedBox { bbox, mask: None, class_id: String::new(), tag: String::new(), score: None }; 1000];
    b.engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(1)), boxes }).unwrap();
    assert_eq!(b.result().objects.len(), 1000);
    assert!(b.decoded_prompts.lock().unwrap().iter().all(|chunk| chunk.len() <= 32));
}

#[test]
fn a_click_goes_between_two_chunks_of_a_detector() {
    let ((starts, started), (permits, permitted)) = (channel(), channel());
    let b = bench_with(FakeDecoder { gate: Some((starts, permitted)), ..FakeDecoder::default() }, patient());
    b.encode(1);
    let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
    let boxes = vec![DetectedBox { bbox, mask: None, class_id: String::new(), tag: String::new(), score: None }; 100];
    b.engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(1)), boxes }).unwrap();
    assert_eq!(started.recv_timeout(PATIENCE), Ok(32));
    // The first chunk is on the decoder.
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
    permits.send(()).unwrap();
    assert_eq!(started.recv_timeout(PATIENCE), Ok(1), "the click is next");
    permits.send(()).unwrap();
    let objects_of_click = b.result().objects;
    assert_eq!(objects_of_click.iter().map(|o| o.id).collect::<Vec<_>>(), [1], "answered before the boxes are");
    for chunk in [32, 32, 4] {
        assert_eq!(started.recv_timeout(PATIENCE), Ok(chunk));
        permits.send(()).unwrap();
    }
    let ids: Vec<u32> = b.result().objects.iter().map(|o| o.id).collect();
    assert_eq!((ids.len(), ids[0], ids[1], ids[100]), (101, 1, 1001, 1100));
}

#[test]
fn clear_in_the_middle_of_detections_removes_the_objects_and_leaves_the_boxes() {
    let ((starts, started), (permits, permitted)) = (channel(), channel());
    let b = bench_with(FakeDecoder { gate: Some((starts, permitted)), ..FakeDecoder::default() }, patient());
    b.encode(1);
    let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
    let boxes = vec![DetectedBox { bbox, mask: None, class_id: String::new(), tag: String::new(), score: None }; 64];
    b.engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(1)), boxes }).unwrap();
    assert_eq!(started.recv_timeout(PATIENCE), Ok(32));
    b.engine.interact(Interaction::Clear).unwrap();
    permits.send(()).unwrap();
    assert_eq!(started.recv_timeout(PATIENCE), Ok(32));
    permits.send(()).unwrap();
    let boxes = std::iter::repeat_with(|| b.result()).find(|r| !r.objects.is_empty()).unwrap();
    assert_eq!(boxes.objects.len(), 64);
}

#[test]
fn detections_take_no_id_of_an_object_and_no_id_above_the_limit() {
    let b = bench(patient());
    b.encode(1);
    let object = |id| ObjectPrompt { id, prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() };
    let objects = vec![object(1002), object(65_535)];
    let (at, persistence) = (FrameRef::Newest, Persistence::Hold);
    b.engine.interact(Interaction::Prompts { at, operation: Operation::Set, objects, persistence }).unwrap();
    assert_eq!(b.result().objects.len(), 2);
    let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
    let boxes = vec![DetectedBox { bbox, mask: None, class_id: String::new(), tag: String::new(), score: None }; 3];
    b.engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(1)), boxes }).unwrap();
    let ids: Vec<u32> = b.result().objects.iter().map(|o| o.id).collect();
    assert_eq!(ids, [1001, 1002, 1003, 1004, 65_535]);
}

#[test]
fn two_detectors_boxes_on_a_frame_join_and_each_replaces_its_own() {
    let b = bench(patient());
    b.encode(1);
    let detect = |source: &'static str, count| {
        let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
        let boxes =
            vec![DetectedBox { bbox, mask: None, class_id: source.into(), tag: String::new(), score: None }; count];
        b.engine.detections(Detections { source, at: FrameRef::At(stamp(1)), boxes }).unwrap();
        b.result().objects.iter().map(|o| (o.id, o.class_id.clone())).collect::<Vec<_>>()
    };
    let of = |id, source: &str| (id, source.to_owned());
    assert_eq!(detect("a", 2), [of(1001, "a"), of(1002, "a")]);
    assert_eq!(detect("b", 1), [of(1001, "a"), of(1002, "a"), of(1003, "b")]);
    assert_eq!(detect("a", 1), [of(1001, "a"), of(1003, "b")]);
    assert_eq!(detect("b", 0), [of(1001, "a")]);
    // An object that takes the id of a box replaces the box.
    let objects = vec![ObjectPrompt { id: 1001, prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() }];
    let (at, persistence) = (FrameRef::At(stamp(1)), Persistence::Hold);
    b.engine.interact(Interaction::Prompts { at, operation: Operation::Add, objects, persistence }).unwrap();
    assert_eq!(b.result().objects.len(), 1);
    assert_eq!(detect("a", 1), [of(1001, ""), of(1002, "a")]);
}

#[test]
fn a_segment_request_with_an_image_is_answered_and_leaves_no_trace() {
    let b = bench(patient());
    b.encode(1);
    let ask = |on| {
        let (reply, answer) = oneshot::channel();
        let object = ObjectPrompt { prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() };
        b.engine.segment(Segment { on, objects: vec![object], all_candidates: false, reply });
        answer
    };
    b.gate.open(1);
    let answer = wait_for(ask(SegmentOn::Image(frame(42)))).unwrap();
    assert_eq!((answer.header.stamp, answer.objects[0].iou), (stamp(42), 0.42));
    let answer = wait_for(ask(SegmentOn::Frame(FrameRef::Newest))).unwrap();
    assert_eq!(answer.header.stamp, stamp(1));
    assert_eq!(b.engine.usage().kept_frames, 1);
}
