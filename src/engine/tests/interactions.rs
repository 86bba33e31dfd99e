//! Prompts of the current object: masks, boxes by two clicks, undo.

use tokio::sync::oneshot;

use super::testing::{HEIGHT, WIDTH, stamp};
use super::*;
use crate::pixels::MaskInput;
use crate::prompt::{BoxPrompt, Point, Prompt};

fn undo(b: &Bench) -> Result<String, String> {
    let (reply, answer) = oneshot::channel();
    b.engine.interact(Interaction::Undo { reply }).unwrap();
    wait_for(answer)
}

fn corner(b: &Bench, x: f32, y: f32) {
    let (point, mode) = (Point::foreground(x, y), ClickMode::Box);
    b.engine
        .interact(Interaction::Click { at: FrameRef::Newest, point, mode, persistence: Persistence::Hold })
        .unwrap();
}

fn decoded_prompts(b: &Bench) -> Vec<Vec<crate::prompt::Prompt>> {
    b.decoded_prompts.lock().unwrap().clone()
}

/// Returns the next result, with or without a prompt.
fn any_result(b: &Bench) -> FrameResult {
    std::iter::repeat_with(|| b.events.recv_timeout(PATIENCE).expect("a result"))
        .find_map(|e| if let Event::Result(r) = e { Some(r) } else { None })
        .unwrap()
}

/// Returns an engine with frame 1 processed.
fn with_a_frame() -> Bench {
    let b = bench(patient());
    b.encode(1);
    assert_eq!(any_result(&b).header.stamp, stamp(1));
    b
}

#[test]
fn undo_decodes_the_input_of_the_click_before_again() {
    let b = with_a_frame();
    for x in [4.0, 9.0, 14.0] {
        b.click(FrameRef::Newest, x, x, Persistence::Hold);
        assert_eq!(b.result().objects.len(), 1);
    }
    assert_eq!(undo(&b).unwrap(), "took back the foreground click at (14, 14): object 1 has 2 points");
    assert_eq!(b.result().objects[0].points.len(), 2);
    assert_eq!(undo(&b).unwrap(), "took back the foreground click at (9, 9): object 1 has 1 point");
    assert_eq!(b.result().objects[0].points.len(), 1);
    let now = decoded_prompts(&b);
    assert_eq!((&now[3], &now[4]), (&now[1], &now[0]));
    // The next click feeds the logits of the first click back again.
    b.click(FrameRef::Newest, 9.0, 9.0, Persistence::Hold);
    assert_eq!(b.result().objects.len(), 1);
    assert_eq!(decoded_prompts(&b)[5], now[1]);
    undo(&b).unwrap();
    assert_eq!(b.result().objects.len(), 1);
    assert_eq!(undo(&b).unwrap(), "took back the foreground click at (4, 4): object 1 is gone");
    assert!(b.result().objects.is_empty());
    assert_eq!(undo(&b).unwrap_err(), "there is no prompt to take back");
}

#[test]
fn undo_returns_to_the_object_before() {
    let b = with_a_frame();
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
    b.engine.interact(Interaction::NewObject).unwrap();
    b.click(FrameRef::Newest, 9.0, 9.0, Persistence::Hold);
    until(|| decoded_prompts(&b).len() == 2);
    assert!(undo(&b).unwrap().ends_with("object 2 is gone"));
    // As after new_object the next click does not belong to object 1.
    b.click(FrameRef::Newest, 12.0, 12.0, Persistence::Hold);
    until(|| decoded_prompts(&b).len() == 3);
    undo(&b).unwrap();
    assert!(undo(&b).unwrap().ends_with("object 1 is gone"));
}

#[test]
fn undo_of_an_object_of_one_frame_shows_that_frame_again() {
    let b = with_a_frame();
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    b.click(FrameRef::Newest, 9.0, 9.0, Persistence::Once);
    until(|| decoded_prompts(&b).len() == 2);
    b.encode(2);
    let on_two = std::iter::repeat_with(|| any_result(&b)).find(|r| r.header.stamp == stamp(2));
    assert!(on_two.unwrap().objects.is_empty());
    undo(&b).unwrap();
    let again = b.result();
    assert_eq!((again.header.stamp, again.objects[0].points.len()), (stamp(1), 1));
    assert_eq!(decoded_prompts(&b)[2], decoded_prompts(&b)[0]);
    assert_eq!((b.result().header.stamp), stamp(2));
}

#[test]
fn a_replaced_object_is_on_no_frame_any_more() {
    for persistence in [Persistence::Hold, Persistence::Once, Persistence::Track] {
        let b = with_a_frame();
        b.encode(2);
        let set = |sec, x| {
            let objects = vec![ObjectPrompt { id: 1, prompt: Prompt::point(x, 4.0), ..ObjectPrompt::default() }];
            let (at, operation) = (FrameRef::At(stamp(sec)), Operation::Set);
            b.engine.interact(Interaction::Prompts { at, operation, objects, persistence }).unwrap();
            std::iter::repeat_with(|| b.result()).find(|r| r.header.stamp == stamp(sec)).unwrap()
        };
        set(2, 4.0);
        assert_eq!(set(1, 9.0).objects[0].points[0].x, 9.0);
        b.engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(2)), boxes: Vec::new() }).unwrap();
        let detector = |r: &FrameResult| matches!(r.source, ResultSource::Detector(_));
        let on_two = std::iter::repeat_with(|| b.result()).find(detector).unwrap();
        let shown: Vec<_> = on_two.objects.iter().map(|o| o.points[0].x).collect();
        let expected: &[f32] = if persistence == Persistence::Hold { &[9.0] } else { &[] };
        assert_eq!(shown, expected, "{persistence:?}");
    }
}

#[test]
fn a_tracked_object_that_is_corrected_on_an_older_frame_stays_on_the_others() {
    let b = bench(Settings { track_min_iou: 0.0, ..patient() });
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Track);
    b.encode(2);
    let on = |sec| std::iter::repeat_with(|| b.result()).find(|r| r.header.stamp == stamp(sec)).unwrap();
    assert_eq!(on(2).objects.len(), 1);
    b.click(FrameRef::At(stamp(1)), 9.0, 9.0, Persistence::Track);
    assert_eq!(on(1).objects[0].points.len(), 2);
    b.engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(2)), boxes: Vec::new() }).unwrap();
    assert_eq!(on(2).objects.len(), 1);
}

#[test]
fn clear_leaves_nothing_to_undo() {
    let b = with_a_frame();
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
    b.engine.interact(Interaction::Clear).unwrap();
    assert!(undo(&b).is_err());
}

#[test]
fn undo_restores_a_tracked_object_and_tracking_continues() {
    let b = bench(Settings { track_min_iou: 0.0, ..patient() });
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Track);
    b.click(FrameRef::Newest, 9.0, 9.0, Persistence::Track);
    until(|| decoded_prompts(&b).len() == 2);
    undo(&b).unwrap();
    assert_eq!(decoded_prompts(&b)[2], decoded_prompts(&b)[0], "on the frame of the click: the same prompt");
    b.encode(2);
    until(|| decoded_prompts(&b).len() == 4);
    let follow = &decoded_prompts(&b)[3][0];
    assert_eq!(follow.mask.as_ref().unwrap().data[0], 6.0, "the logits of one click");
}

#[test]
fn a_mask_prompts_the_current_object_on_its_own_frame() {
    let b = with_a_frame();
    b.encode(2);
    let data = (0..WIDTH * HEIGHT).map(|i| if i % WIDTH < 16 { 255 } else { 0 }).collect();
    let mask = MaskInput::Binary { width: WIDTH, height: HEIGHT, data };
    let (at, persistence) = (FrameRef::At(stamp(1)), Persistence::Hold);
    b.engine.interact(Interaction::Mask { at, mask, persistence }).unwrap();
    let answer = b.result();
    assert_eq!((answer.header.stamp, answer.objects.len()), (stamp(1), 1));
    let given = decoded_prompts(&b)[0][0].mask.clone().unwrap();
    assert_eq!((given.data[0], given.data[7]), (10.0, -10.0));
    // A further click refines the resulting mask.
    b.click(FrameRef::At(stamp(1)), 4.0, 4.0, Persistence::Hold);
    until(|| decoded_prompts(&b).iter().any(|p| p[0].points.len() == 1));
    let click = decoded_prompts(&b).into_iter().find(|p| p[0].points.len() == 1).unwrap();
    assert_eq!(click[0].mask.as_ref().unwrap().data[0], 5.0);
    assert!(undo(&b).unwrap().ends_with("object 1 has a mask"));
    let empty = MaskInput::Binary { width: WIDTH, height: HEIGHT, data: vec![0; (WIDTH * HEIGHT) as usize] };
    b.engine.interact(Interaction::Mask { at, mask: empty, persistence }).unwrap();
    let refusal = std::iter::repeat_with(|| b.events.recv_timeout(PATIENCE).unwrap())
        .find_map(|e| if let Event::Refused(r) = e { Some(r.message) } else { None });
    assert!(refusal.unwrap().contains("nothing inside"));
}

#[test]
fn two_clicks_are_a_box_in_any_order_and_the_first_is_shown() {
    let b = with_a_frame();
    corner(&b, 20.0, 15.0);
    let waiting = any_result(&b);
    assert_eq!((waiting.corner, waiting.prompted), (Some(Point::foreground(20.0, 15.0)), false));
    b.encode(2);
    assert_eq!(any_result(&b).corner, Some(Point::foreground(20.0, 15.0)), "on every frame until the second");
    corner(&b, 4.0, 5.0);
    let answer = b.result();
    let expected = BoxPrompt { x_min: 4.0, y_min: 5.0, x_max: 20.0, y_max: 15.0 };
    assert_eq!((answer.corner, answer.objects[0].bbox), (None, Some(expected)));
    assert_eq!(undo(&b).unwrap(), "took back the box from (4, 5) to (20, 15): object 1 is gone");
}

#[test]
fn a_second_corner_without_area_is_refused_and_the_first_stays() {
    let b = with_a_frame();
    corner(&b, 4.0, 5.0);
    assert!(any_result(&b).corner.is_some());
    for (x, y, expected) in
        [(4.0, 5.0, "no area"), (4.5, 15.0, "no area"), (f32::NAN, 9.0, "not finite"), (99.0, 9.0, "outside")]
    {
        corner(&b, x, y);
        let refusal = b.refusal();
        assert!(refusal.kind == RefusalKind::BadPrompt && refusal.message.contains(expected), "{refusal:?}");
    }
    corner(&b, 20.0, 15.0);
    assert_eq!(b.result().objects[0].bbox.unwrap().x_min, 4.0);
}

#[test]
fn undo_new_object_and_a_point_drop_the_first_corner() {
    let b = with_a_frame();
    corner(&b, 4.0, 5.0);
    assert_eq!(undo(&b).unwrap(), "took back the first corner of a box, at (4, 5)");
    let forgotten = |b: &Bench| {
        std::iter::repeat_with(|| b.events.recv_timeout(PATIENCE).unwrap())
            .find_map(|e| if let Event::Note(what) = e { Some(what) } else { None })
            .unwrap()
    };
    corner(&b, 4.0, 5.0);
    b.engine.interact(Interaction::NewObject).unwrap();
    assert_eq!(forgotten(&b), "the first corner of a box, at (4, 5), is forgotten");
    assert_eq!(any_result(&b).corner, None);
    corner(&b, 4.0, 5.0);
    b.click(FrameRef::Newest, 9.0, 9.0, Persistence::Hold);
    assert_eq!(forgotten(&b), "the first corner of a box, at (4, 5), is forgotten");
    let answer = b.result();
    assert_eq!((answer.corner, answer.objects[0].points.len(), answer.objects[0].bbox), (None, 1, None));
}

#[test]
fn a_background_click_is_a_point_in_box_mode_too() {
    let b = with_a_frame();
    corner(&b, 4.0, 5.0);
    corner(&b, 20.0, 15.0);
    assert_eq!(b.result().objects.len(), 1);
    let (point, mode) = (Point::background(30.0, 20.0), ClickMode::Box);
    b.engine
        .interact(Interaction::Click { at: FrameRef::Newest, point, mode, persistence: Persistence::Hold })
        .unwrap();
    let answer = b.result();
    assert_eq!((answer.objects[0].points.len(), answer.objects[0].bbox.is_some()), (1, true));
}

#[test]
fn a_clear_that_names_an_object_twice_clears() {
    let b = with_a_frame();
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
    assert_eq!(b.result().objects.len(), 1);
    let (at, operation, persistence) = (FrameRef::Newest, Operation::Clear, Persistence::Hold);
    let objects = vec![ObjectPrompt { id: 3, ..ObjectPrompt::default() }; 2];
    b.engine.interact(Interaction::Prompts { at, operation, objects, persistence }).unwrap();
    assert!(b.result().objects.is_empty());
}
