//! Objects on further frames: held, tracked, lost and found.

use super::testing::{EMPTY_MASK, HEIGHT, OBJECT_SCORE_BELOW_ZERO, SMALL_MASK, WIDTH, frame, stamp};
use super::*;
use crate::prompt::{BoxPrompt, Point, Prompt};

#[test]
fn held_objects_are_decoded_on_every_new_frame_in_one_batch() {
    let b = bench(patient());
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
    b.engine.interact(Interaction::NewObject).unwrap();
    b.click(FrameRef::Newest, 20.0, 20.0, Persistence::Hold);
    until(|| b.decoded_prompts.lock().unwrap().len() == 2);
    b.encode(2);
    let on_two = std::iter::repeat_with(|| b.result()).find(|r| r.header.stamp == stamp(2)).unwrap();
    assert_eq!(on_two.objects.iter().map(|o| o.id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(b.decoded_prompts.lock().unwrap().last().unwrap().len(), 2);
}

#[test]
fn a_held_object_is_decoded_with_the_input_of_its_last_click() {
    let b = bench(patient());
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
    b.click(FrameRef::Newest, 9.0, 9.0, Persistence::Hold);
    until(|| b.decoded_prompts.lock().unwrap().len() == 2);
    b.encode(2);
    until(|| b.decoded_prompts.lock().unwrap().len() == 3);
    let prompts = b.decoded_prompts.lock().unwrap();
    assert!(prompts[1][0].mask.is_some());
    assert_eq!(prompts[1], prompts[2]);
}

#[test]
fn an_object_of_one_frame_is_not_on_the_next() {
    let b = bench(patient());
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    assert_eq!(b.result().objects.len(), 1);
    b.encode(2);
    // The answer to the click may be the only result on frame 1. Frame 2 must have a result without objects.
    let on_two = std::iter::repeat_with(|| b.events.recv_timeout(PATIENCE).expect("frame 2"))
        .find_map(|e| if let Event::Result(r) = e { Some(r).filter(|r| r.header.stamp == stamp(2)) } else { None });
    assert!(on_two.is_some_and(|r| r.objects.is_empty()));
    assert_eq!(b.decoded_prompts.lock().unwrap().len(), 1);
}

#[test]
fn a_tracked_object_is_prompted_by_its_last_mask() {
    let b = bench(Settings { track_min_iou: 0.0, ..patient() });
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Track);
    assert_eq!(b.result().objects.len(), 1);
    b.encode(2);
    until(|| b.decoded_prompts.lock().unwrap().len() == 2);
    let prompts = b.decoded_prompts.lock().unwrap();
    let followed = &prompts[1][0];
    assert!(followed.mask.is_some() && followed.points.len() == 1);
    let bbox = followed.bbox.unwrap();
    assert_eq!((bbox.x_min, bbox.y_min, bbox.x_max, bbox.y_max), (0.0, 0.0, WIDTH as f32, HEIGHT as f32));
}

#[test]
fn an_object_that_tracking_loses_is_reported_once() {
    let b = bench(Settings { track_min_iou: 0.02, ..patient() });
    b.encode(3);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Track);
    assert_eq!(b.result().objects.len(), 1);
    let next = || {
        let event = |e| if let Event::Tracking { id, lost, .. } = e { Some((id, lost)) } else { None };
        std::iter::repeat_with(|| b.events.recv_timeout(PATIENCE).expect("lost, then found")).find_map(event)
    };
    b.encode(1);
    assert_eq!(next(), Some((1, true)));
    b.encode(1);
    b.encode(4);
    assert_eq!(next(), Some((1, false)));
}

/// Returns the result on the frame of that second, of whatever source.
fn answer_on(b: &Bench, sec: i32) -> FrameResult {
    std::iter::repeat_with(|| b.events.recv_timeout(PATIENCE).expect("an answer"))
        .find_map(|e| if let Event::Result(r) = e { Some(r).filter(|r| r.header.stamp == stamp(sec)) } else { None })
        .unwrap()
}

#[test]
fn a_lost_object_is_in_every_answer_with_an_empty_mask_and_the_reason() {
    for (second, reason) in [
        (1, "predicted IoU 0.01 is below 0.02"),
        (OBJECT_SCORE_BELOW_ZERO, "object score -3.00 is not above 0"),
        (EMPTY_MASK, "the mask is empty"),
        (SMALL_MASK, "the mask's area changed by a factor of 0.0"),
    ] {
        let b = bench(Settings { track_min_iou: 0.02, ..patient() });
        b.encode(3);
        b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Track);
        assert_eq!(b.result().objects[0].lost, None);
        b.encode(second);
        let lost = &answer_on(&b, second).objects[0];
        assert_eq!((lost.id, lost.mask.area, lost.mask.bbox), (1, 0, None));
        assert!(lost.lost.as_ref().is_some_and(|r| r.starts_with(reason)), "{:?}", lost.lost);
        assert_eq!(lost.iou, second as f32 / 100.0);
        // The object is searched where it was last, and found.
        b.encode(4);
        let found = &answer_on(&b, 4).objects[0];
        assert_eq!((found.lost.as_ref(), found.mask.area), (None, WIDTH * HEIGHT));
    }
}

#[test]
fn a_click_finds_a_lost_object() {
    let b = bench(Settings { track_min_iou: 0.02, ..patient() });
    b.encode(3);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Track);
    assert_eq!(b.result().objects.len(), 1);
    b.encode(1);
    let lost = std::iter::repeat_with(|| answer_on(&b, 1)).find(|r| r.objects.iter().any(|o| o.lost.is_some()));
    assert!(lost.is_some());
    b.click(FrameRef::Newest, 9.0, 9.0, Persistence::Track);
    let found = std::iter::repeat_with(|| answer_on(&b, 1)).find(|r| r.objects.iter().all(|o| o.lost.is_none()));
    assert_eq!(found.unwrap().objects[0].points.len(), 2);
}

#[test]
fn a_tracked_object_without_a_mask_is_decoded_from_its_prompts() {
    let b = bench(Settings { track_min_iou: 0.0, ..patient() });
    b.encode(EMPTY_MASK);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Track);
    assert_eq!(b.result().objects[0].mask.area, 0);
    b.encode(2);
    assert_eq!(answer_on(&b, 2).objects[0].mask.area, WIDTH * HEIGHT);
    assert_eq!(b.decoded_prompts.lock().unwrap()[1], [Prompt::point(4.0, 4.0)]);
}

#[test]
fn objects_of_one_frame_are_removed_where_prompts_answer_every_frame() {
    let keep = KeepLimits { frames: 2, ..KeepLimits::default() };
    let b = bench(Settings { keep, encode: EncodeMode::OnDemand, ..patient() });
    b.gate.open(100);
    for sec in 1..=6 {
        b.engine.push_frame(frame(sec));
        let objects = vec![ObjectPrompt { prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() }];
        let (at, operation, persistence) = (FrameRef::Newest, Operation::Add, Persistence::Once);
        b.engine.interact(Interaction::Prompts { at, operation, objects, persistence }).unwrap();
        assert_eq!(b.result().header.stamp, stamp(sec));
    }
    // Objects of the last frame and of the frame before it.
    until(|| b.engine.usage().objects == 2);
}

#[test]
fn every_mask_that_was_computed_is_counted() {
    let b = bench(patient());
    (1..=3).for_each(|sec| b.encode(sec));
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
    assert_eq!((b.result().header.stamp, b.engine.metrics().masks), (stamp(3), 1));
    // The held object is decoded on these frames too.
    b.engine.interact(Interaction::NewObject).unwrap();
    b.click(FrameRef::At(stamp(1)), 9.0, 9.0, Persistence::Hold);
    assert_eq!((b.result().header.stamp, b.engine.metrics().masks), (stamp(1), 1 + 2));
    let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
    let boxes = vec![DetectedBox { bbox, mask: None, class_id: String::new(), tag: String::new(), score: None }; 2];
    b.engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(2)), boxes }).unwrap();
    assert_eq!((b.result().header.stamp, b.engine.metrics().masks), (stamp(2), 1 + 2 + 4));
}

#[test]
fn objects_of_one_frame_are_removed_with_their_frame() {
    let b = bench(Settings { keep: KeepLimits { frames: 2, ..KeepLimits::default() }, ..patient() });
    let add = |id| {
        let objects = vec![ObjectPrompt { id, prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() }];
        let (at, persistence) = (FrameRef::Newest, Persistence::Once);
        b.engine.interact(Interaction::Prompts { at, operation: Operation::Add, objects, persistence }).unwrap();
    };
    let remove = |id| {
        let objects = vec![ObjectPrompt { id, ..ObjectPrompt::default() }];
        let (at, persistence) = (FrameRef::Newest, Persistence::Once);
        b.engine.interact(Interaction::Prompts { at, operation: Operation::Remove, objects, persistence }).unwrap();
    };
    b.encode(1);
    add(7);
    assert_eq!(b.result().objects.len(), 1);
    b.encode(2);
    answer_on(&b, 2);
    remove(7);
    assert!(b.result().objects.is_empty(), "kept with its frame");
    add(8);
    assert_eq!(b.result().objects.len(), 1);
    for sec in [3, 4] {
        b.encode(sec);
        answer_on(&b, sec);
    }
    remove(8);
    assert_eq!(b.refusal().kind, RefusalKind::UnknownObject);
}

#[test]
fn clicks_of_one_frame_add_up_on_that_frame_only() {
    let b = bench(patient());
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    b.click(FrameRef::Newest, 5.0, 5.0, Persistence::Once);
    assert_eq!(b.result().objects[0].points.len(), 1);
    assert_eq!(b.result().objects[0].points.len(), 2, "on one frame they add up");
    b.encode(2);
    answer_on(&b, 2);
    b.decoded_prompts.lock().unwrap().clear();
    b.click(FrameRef::Newest, 9.0, 9.0, Persistence::Once);
    let result = b.result();
    assert_eq!((result.objects.len(), result.objects[0].id), (1, 1), "it keeps its number");
    assert_eq!(
        *b.decoded_prompts.lock().unwrap(),
        [[Prompt::point(9.0, 9.0)]],
        "neither clicks nor logits of another frame"
    );
    // After the undo the object is on its own frame again, in its earlier state.
    let (reply, answer) = tokio::sync::oneshot::channel();
    b.engine.interact(Interaction::Undo { reply }).unwrap();
    assert_eq!(wait_for(answer).unwrap(), "took back the foreground click at (9, 9): object 1 has 2 points");
}

#[test]
fn a_program_that_clicks_once_a_frame_is_never_refused() {
    let b = bench(patient());
    for sec in 1..=40 {
        b.encode(sec);
        b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
        assert_eq!(b.result().objects[0].points.len(), 1);
    }
    assert!(b.decoded_prompts.lock().unwrap().iter().all(|prompts| *prompts == [Prompt::point(4.0, 4.0)]));
}

#[test]
fn boxes_masks_and_refinements_of_one_frame_start_new_objects_on_another() {
    let b = bench(patient());
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    b.result();
    b.encode(2);
    answer_on(&b, 2);
    let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
    b.engine.interact(Interaction::Region { at: FrameRef::Newest, bbox, persistence: Persistence::Once }).unwrap();
    b.result();
    b.encode(3);
    answer_on(&b, 3);
    let prompt = Prompt::point(7.0, 7.0);
    let objects = vec![ObjectPrompt { id: 1, prompt, refine: true, ..ObjectPrompt::default() }];
    let (at, operation, persistence) = (FrameRef::Newest, Operation::Add, Persistence::Once);
    b.engine.interact(Interaction::Prompts { at, operation, objects, persistence }).unwrap();
    b.result();
    let prompts = b.decoded_prompts.lock().unwrap();
    assert_eq!(prompts[1..], [[Prompt::bbox(1.0, 1.0, 9.0, 9.0)], [Prompt::point(7.0, 7.0)]]);
}

#[test]
fn a_click_of_one_frame_refines_an_object_that_persists() {
    let b = bench(patient());
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
    b.result();
    b.encode(2);
    answer_on(&b, 2);
    b.click(FrameRef::Newest, 5.0, 5.0, Persistence::Once);
    assert_eq!(b.result().objects[0].points.len(), 2, "it is on this frame");
    b.encode(3);
    answer_on(&b, 3);
    b.click(FrameRef::Newest, 6.0, 6.0, Persistence::Hold);
    assert_eq!(b.result().objects[0].points.len(), 1, "it was on the frame before only");
}

/// Encodes an image of another size and returns the result on it.
fn answer_of_size(b: &Bench, sec: i32, (width, height): (u32, u32)) -> FrameResult {
    let before = b.engine.metrics().frames_encoded;
    let image = Arc::new(image::RgbImage::from_pixel(width, height, image::Rgb([sec as u8; 3])));
    b.engine.push_frame(Frame { header: testing::header(sec), pixels: FramePixels::Rgb(image) });
    b.gate.open(1);
    until(|| b.engine.metrics().frames_encoded > before);
    answer_on(b, sec)
}

#[test]
fn prompts_scale_with_the_image() {
    let b = bench(patient());
    b.encode(1);
    b.click(FrameRef::Newest, 30.0, 20.0, Persistence::Hold);
    let bbox = BoxPrompt { x_min: 2.0, y_min: 4.0, x_max: 20.0, y_max: 22.0 };
    b.engine.interact(Interaction::Region { at: FrameRef::Newest, bbox, persistence: Persistence::Hold }).unwrap();
    b.result();
    b.result();
    for (sec, factor) in [(2, 2.0), (3, 0.5), (4, 1.0)] {
        b.decoded_prompts.lock().unwrap().clear();
        let size = [WIDTH, HEIGHT].map(|side| (side as f32 * factor) as u32);
        let answer = answer_of_size(&b, sec, (size[0], size[1]));
        assert_eq!((answer.objects.len(), answer.objects[0].lost.as_ref()), (1, None));
        let expected = Prompt::bbox(2.0 * factor, 4.0 * factor, 20.0 * factor, 22.0 * factor)
            .with_point(Point::foreground(30.0 * factor, 20.0 * factor));
        let prompt = b.decoded_prompts.lock().unwrap()[0][0].clone();
        assert_eq!((&prompt.points, prompt.bbox), (&expected.points, expected.bbox));
        assert!(prompt.mask.is_some(), "logits are of the network's square: they are fed back as they are");
        assert_eq!((&answer.objects[0].points, answer.objects[0].bbox), (&expected.points, expected.bbox));
    }
    // A further click refines the object on this image.
    answer_of_size(&b, 5, (2 * WIDTH, 2 * HEIGHT));
    b.click(FrameRef::Newest, 50.0, 40.0, Persistence::Hold);
    assert_eq!(b.result().objects[0].points, [Point::foreground(60.0, 40.0), Point::foreground(50.0, 40.0)]);
    // An image from before the change is still kept.
    b.click(FrameRef::At(stamp(4)), 3.0, 3.0, Persistence::Hold);
    let points = [(30.0, 20.0), (25.0, 20.0), (3.0, 3.0)].map(|(x, y)| Point::foreground(x, y));
    assert_eq!(b.result().objects[0].points, points);
}

#[test]
fn objects_of_an_image_of_another_aspect_ratio_are_lost_and_counted() {
    for persistence in [Persistence::Hold, Persistence::Track] {
        let b = bench(Settings { track_min_iou: 0.0, ..patient() });
        b.encode(1);
        b.click(FrameRef::Newest, 20.0, 4.0, persistence);
        b.result();
        b.decoded_prompts.lock().unwrap().clear();
        for sec in [2, 3] {
            let answer = answer_of_size(&b, sec, (HEIGHT, WIDTH));
            let object = &answer.objects[0];
            let reason = "the camera's picture was 32x24 and is 24x32 now: point at the object again";
            assert_eq!((object.mask.area, object.lost.as_deref()), (0, Some(reason)), "{persistence:?}");
        }
        assert!(b.decoded_prompts.lock().unwrap().is_empty(), "an image of another aspect ratio is not decoded");
        assert_eq!(b.engine.metrics().objects_lost, 1, "once for each time, not for each frame");
        // The camera returns to the first size.
        assert_eq!(answer_of_size(&b, 4, (WIDTH, HEIGHT)).objects[0].lost, None);
        answer_of_size(&b, 5, (HEIGHT, WIDTH));
        assert_eq!(b.engine.metrics().objects_lost, 2);
        b.decoded_prompts.lock().unwrap().clear();
        b.click(FrameRef::Newest, 6.0, 30.0, persistence);
        let again = b.result();
        assert_eq!((again.objects[0].id, again.objects[0].lost.as_ref()), (1, None));
        assert_eq!(*b.decoded_prompts.lock().unwrap(), [[Prompt::point(6.0, 30.0)]], "from the start");
    }
}

#[test]
fn the_first_corner_of_a_box_scales_with_the_image() {
    let b = bench(patient());
    let corner = |x: f32, y: f32| {
        let (point, mode) = (Point::foreground(x, y), ClickMode::Box);
        let (at, persistence) = (FrameRef::Newest, Persistence::Hold);
        b.engine.interact(Interaction::Click { at, point, mode, persistence }).unwrap();
    };
    b.encode(1);
    corner(4.0, 5.0);
    let waits_on = |sec| std::iter::repeat_with(|| answer_on(&b, sec)).find_map(|r| r.corner);
    assert_eq!(waits_on(1), Some(Point::foreground(4.0, 5.0)));
    let shown = answer_of_size(&b, 2, (2 * WIDTH, 2 * HEIGHT));
    assert_eq!(shown.corner, Some(Point::foreground(8.0, 10.0)));
    corner(40.0, 30.0);
    assert_eq!(b.result().objects[0].bbox, Some(BoxPrompt { x_min: 8.0, y_min: 10.0, x_max: 40.0, y_max: 30.0 }));
    corner(4.0, 5.0);
    assert_eq!(waits_on(2), Some(Point::foreground(4.0, 5.0)));
    let other = answer_of_size(&b, 3, (HEIGHT, WIDTH));
    assert_eq!(other.corner, None, "its image had another aspect ratio");
    corner(3.0, 3.0);
    assert_eq!(waits_on(3), Some(Point::foreground(3.0, 3.0)), "the first corner on this image");
}
