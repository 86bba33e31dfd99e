//! Frames that the owner of the engine searches itself.

use super::testing::{frame, stamp};
use super::*;
use crate::prompt::BoxPrompt;

fn one_box(sec: i32) -> Detections {
    let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
    let boxes = vec![DetectedBox { bbox, mask: None, class_id: "cup".into(), tag: "cup 1".into(), score: Some(0.5) }];
    Detections { source: "text", at: FrameRef::At(stamp(sec)), boxes }
}

#[test]
fn the_newest_frame_is_searched_once() {
    let b = bench(patient());
    assert!(b.engine.frame_to_search(None).is_none());
    b.encode(1);
    b.encode(2);
    let newest = b.engine.frame_to_search(None).unwrap();
    assert_eq!(newest.header.stamp, stamp(2));
    assert!(b.engine.frame_to_search(Some(newest.number)).is_none());
    b.encode(3);
    assert_eq!(b.engine.frame_to_search(Some(newest.number)).unwrap().header.stamp, stamp(3));
}

#[test]
fn on_demand_a_search_has_the_newest_image_encoded_while_somebody_sees_the_answer() {
    let b = bench(Settings { encode: EncodeMode::OnDemand, ..patient() });
    b.gate.open(100);
    b.engine.push_frame(frame(1));
    assert!(b.engine.frame_to_search(None).is_none());
    b.engine.push_frame(frame(2));
    assert_eq!(b.engine.metrics().frames_encoded, 0, "nobody would see the answer");
    b.engine.set_listeners(true);
    let mut found = None;
    until(|| {
        found = b.engine.frame_to_search(None);
        found.is_some()
    });
    assert_eq!(found.unwrap().header.stamp, stamp(2));
    // Nobody searches any more.
    b.engine.end_search();
    b.engine.push_frame(frame(3));
    b.engine.push_frame(frame(4));
    assert_eq!(b.engine.metrics().frames_encoded, 1);
}

#[test]
fn a_frame_of_a_stamp_is_kept_pending_or_gone() {
    let b = bench(Settings { keep: KeepLimits { frames: 1, images: 0, ..KeepLimits::default() }, ..patient() });
    let since = Instant::now();
    b.encode(1);
    b.encode(2);
    let found = |sec| b.engine.find_frame(FrameRef::At(stamp(sec)), since);
    assert_eq!(found(2).unwrap().unwrap().header.stamp, stamp(2));
    assert!(found(3).unwrap().is_none(), "it may come");
    assert_eq!(found(1).unwrap_err().kind, RefusalKind::FrameGone);
    assert!(b.engine.metrics().refused.is_empty(), "the caller counts");
}

#[test]
fn an_image_that_was_passed_over_is_encoded_for_a_search() {
    let b = bench(Settings { encode: EncodeMode::OnDemand, ..patient() });
    b.gate.open(100);
    (1..=3).for_each(|sec| b.engine.push_frame(frame(sec)));
    let since = Instant::now();
    let mut found = None;
    until(|| {
        found = b.engine.find_frame(FrameRef::At(stamp(2)), since).unwrap();
        found.is_some()
    });
    assert_eq!(found.unwrap().header.stamp, stamp(2));
}

#[test]
fn boxes_are_decoded_on_the_frame_that_the_caller_holds() {
    let b = bench(Settings { keep: KeepLimits { frames: 1, images: 0, ..KeepLimits::default() }, ..patient() });
    b.encode(1);
    let held = b.engine.frame_to_search(None).unwrap();
    b.encode(2);
    b.engine.detections_on(held, one_box(1)).unwrap();
    let result = b.result();
    assert_eq!(result.header.stamp, stamp(1));
    let [cup] = &result.objects[..] else { panic!("{:?}", result.objects) };
    assert_eq!((cup.class_id.as_str(), cup.tag.as_str(), cup.detection_score), ("cup", "cup 1", Some(0.5)));
    // The fake decoder writes the second of the frame into the IoU.
    assert_eq!(cup.iou, 0.01);
}

#[test]
fn frames_of_one_stamp_are_told_apart() {
    let b = bench(patient());
    b.encode(1);
    let first = b.engine.frame_to_search(None).unwrap();
    b.encode(1);
    b.engine.detections_on(Arc::clone(&first), one_box(1)).unwrap();
    let result = b.result();
    assert!(Arc::ptr_eq(&result.image, &first.image));
}
