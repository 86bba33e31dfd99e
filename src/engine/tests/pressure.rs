//! Floods: memory stays bounded and no request starves. Time is the test's manual clock.

use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;

use super::testing::{
    FakeDecoder, ManualClock, TimedDecoder, TimedEncoder, content, frame, frame_of, gated_encoder, kept_frame, stamp,
};
use super::*;
use crate::engine::state::MAX_PROMPTS_IN_A_ROW;
use crate::engine::state::MAX_QUEUE;
use crate::pixels::MaskInput;
use crate::prompt::{BoxPrompt, Point, Prompt};

pub fn boxes(count: usize) -> Vec<DetectedBox> {
    let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
    vec![DetectedBox { bbox, mask: None, class_id: "cup".into(), tag: String::new(), score: None }; count]
}

fn question(on: SegmentOn) -> (Segment, oneshot::Receiver<Result<FrameResult, Refusal>>) {
    let (reply, answer) = oneshot::channel();
    let object = ObjectPrompt { prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() };
    (Segment { on, objects: vec![object], all_candidates: false, reply }, answer)
}

#[test]
fn two_minutes_of_a_thousand_frames_a_second_hold_no_more_than_a_few_frames() {
    let (clock, ms) = (ManualClock::new(), Duration::from_millis);
    let one = frame(1).bytes();
    let keep = KeepLimits { frames: 5, bytes: 8 * one, images: 4 };
    let settings = Settings { keep, prompt_timeout: ms(500), ..Settings::default() };
    let encoder = Turns::shared(TimedEncoder(Some((clock.clone(), ms(50)))));
    let decoder = Turns::shared(TimedDecoder(FakeDecoder::default(), clock.clone(), ms(7)));
    let (sink, events) = sink();
    let engine = Engine::start_with(Clock::Manual(clock.clone()), encoder, decoder, settings, sink).unwrap();
    let stamp_of = |i: u32| Stamp { sec: 1 + (i / 1000) as i32, nanosec: i % 1000 * 1_000_000 };
    let mut answers = 0;
    for i in 1000..121_000 {
        clock.advance(ms(1));
        engine.push_frame(frame_of(i, stamp_of(i)));
        // An operator, a late detector, and a program with images of its own, all too fast.
        if i % 5 == 0 {
            let (at, point) = (FrameRef::Newest, Point::foreground((i % 30) as f32, 5.0));
            let (mode, persistence) = (ClickMode::Point, Persistence::Hold);
            let _ = engine.interact(Interaction::Click { at, point, mode, persistence });
        }
        if i % 500 == 0 {
            let _ = engine.interact(Interaction::NewObject);
        }
        if i % 10 == 0 {
            let at = FrameRef::At(stamp_of(i - 20));
            let _ = engine.detections(Detections { source: "detector", at, boxes: boxes(3) });
            engine.segment(question(SegmentOn::Image(frame_of(i, stamp_of(i)))).0);
        }
        if i % 100 == 0 {
            let usage = engine.usage();
            let few = usage.kept_frames <= keep.frames && usage.images <= keep.images && usage.in_flight <= 2;
            let queues =
                usage.prompts <= MAX_QUEUE && usage.queries <= MAX_QUEUE + 2 && usage.to_encode <= 2 * MAX_QUEUE;
            let bytes = [usage.kept_bytes, usage.image_bytes, usage.prompt_bytes, usage.query_bytes];
            let little = bytes.iter().all(|b| *b <= 2 * keep.bytes) && usage.to_encode_bytes <= 2 * keep.bytes;
            let objects =
                usage.objects <= crate::engine::objects::MAX_OBJECTS && usage.results <= 8 * (usage.objects + 3);
            assert!(few && queues && little && objects, "{usage:?}");
            answers += events.try_iter().filter(|e| matches!(e, Event::Result(_))).count();
            // On a loaded machine the threads of the engine get some of the time.
            std::thread::yield_now();
        }
    }
    engine.stop();
    clock.end();
    let metrics = engine.metrics();
    assert_eq!(metrics.frames_in, 120_000);
    assert!(metrics.frames_encoded > 10 && answers > 10, "{metrics:?}");
}

#[test]
fn every_frame_is_encoded_or_counted() {
    let (clock, ms) = (ManualClock::new(), Duration::from_millis);
    let encoder = Turns::shared(TimedEncoder(Some((clock.clone(), ms(33)))));
    let (sink, events) = sink();
    let decoder = Turns::shared(FakeDecoder::default());
    let engine = Engine::start_with(Clock::Manual(clock.clone()), encoder, decoder, patient(), sink).unwrap();
    for i in 1..=5000 {
        clock.advance(ms(1));
        // Every 50th frame arrives after its successor.
        let at = if i % 50 == 0 { i - 2 } else { i };
        engine.push_frame(frame_of(i, Stamp { sec: 1 + (at / 1000) as i32, nanosec: at % 1000 * 1_000_000 }));
    }
    clock.end();
    until(|| engine.usage().in_flight == 0);
    let m = engine.metrics();
    assert_eq!((m.frames_in, m.frames_late), (5000, 100));
    assert_eq!(m.frames_in, m.frames_encoded + m.frames_superseded + m.frames_late);
    // Every encoded frame is answered, except frames that a newer frame replaced before the decoder had time.
    until(|| engine.metrics().results > 0);
    drop(engine);
    assert!(events.try_iter().all(|e| matches!(e, Event::Result(_))));
}

/// Returns the sources of the results in order of arrival, until `last` is true.
fn sources(events: &Receiver<Event>, mut last: impl FnMut(&FrameResult) -> bool) -> Vec<ResultSource> {
    let mut sources = Vec::new();
    loop {
        if let Event::Result(result) = events.recv_timeout(PATIENCE).expect("a result") {
            sources.push(result.source);
            if last(&result) {
                return sources;
            }
        }
    }
}

#[test]
fn a_flood_of_clicks_starves_neither_detections_nor_the_camera() {
    let ((starts, started), (permits, permitted)) = (channel(), channel());
    let b = bench_with(FakeDecoder { gate: Some((starts, permitted)), ..FakeDecoder::default() }, patient());
    b.encode(1);
    b.click(FrameRef::Newest, 1.0, 4.0, Persistence::Hold);
    assert_eq!(started.recv_timeout(PATIENCE), Ok(1));
    // The decoder holds the first click; all other requests wait behind it.
    for i in 0..200 {
        b.click(FrameRef::At(stamp(1)), (i % 30) as f32, 4.0, Persistence::Hold);
    }
    b.engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(1)), boxes: boxes(3) }).unwrap();
    b.encode(2);
    (0..300).for_each(|_| permits.send(()).unwrap());
    let order = sources(&b.events, |r| r.source == ResultSource::Camera && r.header.stamp == stamp(2));
    let detector =
        order.iter().position(|s| *s == ResultSource::Detector("detector")).expect("before the camera's frame");
    assert!(detector <= MAX_PROMPTS_IN_A_ROW + 2, "{order:?}");
    assert!(order.len() <= 2 * MAX_PROMPTS_IN_A_ROW + 4, "{order:?}");
}

#[test]
fn a_flood_of_detections_starves_neither_a_click_nor_the_camera() {
    let ((starts, started), (permits, permitted)) = (channel(), channel());
    let b = bench_with(FakeDecoder { gate: Some((starts, permitted)), ..FakeDecoder::default() }, patient());
    b.encode(1);
    let detect = || {
        let at = FrameRef::At(stamp(1));
        b.engine.detections(Detections { source: "detector", at, boxes: boxes(3) }).unwrap();
    };
    detect();
    assert_eq!(started.recv_timeout(PATIENCE), Ok(3));
    (0..200).for_each(|_| detect());
    b.click(FrameRef::At(stamp(1)), 4.0, 4.0, Persistence::Hold);
    b.encode(2);
    (0..300).for_each(|_| permits.send(()).unwrap());
    let order = sources(&b.events, |r| r.source == ResultSource::Camera && r.header.stamp == stamp(2));
    // Behind the camera's first frame and the message on the decoder, with one more message of each at most.
    assert!(order.iter().position(|s| *s == ResultSource::Prompt).is_some_and(|i| i <= 3), "{order:?}");
    assert!(order.len() <= 6, "{order:?}");
}

#[test]
fn on_the_encoder_segment_requests_prompts_and_the_camera_take_turns() {
    let b = bench(patient());
    b.engine.push_frame(frame(1));
    assert_eq!(b.gate.started.recv_timeout(PATIENCE), Ok(1));
    let mut answers = Vec::new();
    for i in 100..140 {
        let (segment, answer) = question(SegmentOn::Image(frame(i)));
        b.engine.segment(segment);
        answers.push(answer);
    }
    b.engine.push_frame(frame(2));
    b.engine.push_frame(frame(3));
    b.engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(2)), boxes: boxes(1) }).unwrap();
    until(|| b.engine.usage().to_encode == 41);
    b.gate.open(50);
    let order: Vec<u8> = (0..3).map(|_| b.gate.started.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(order.contains(&2) && order.contains(&3), "{order:?}");
    for answer in answers {
        assert!(wait_for(answer).is_ok());
    }
}

#[test]
fn segment_requests_that_the_decoder_has_no_time_for_wait_as_images() {
    let ((starts, started), (permits, permitted)) = (channel(), channel());
    let b = bench_with(FakeDecoder { gate: Some((starts, permitted)), ..FakeDecoder::default() }, patient());
    b.gate.open(100);
    let answers: Vec<_> = (100..140)
        .map(|i| {
            let (segment, answer) = question(SegmentOn::Image(frame(i)));
            b.engine.segment(segment);
            answer
        })
        .collect();
    assert_eq!(started.recv_timeout(PATIENCE), Ok(1));
    // One request is on the decoder, two are encoded; frames of the camera are encoded all the same.
    until(|| b.engine.usage().queries == 2 && b.engine.usage().to_encode == 37);
    b.engine.push_frame(frame(7));
    until(|| b.engine.usage().kept_frames == 1);
    assert_eq!((b.engine.usage().queries, b.engine.usage().to_encode), (2, 37));
    (0..40).for_each(|_| permits.send(()).unwrap());
    for (i, answer) in (100..140).zip(answers) {
        assert_eq!(content(&wait_for(answer).unwrap().image), i * 0x01_01_01);
    }
}

#[test]
fn work_ends_between_two_turns_when_the_engine_stops() {
    let detect = |b: &Bench| {
        b.engine.detections(Detections { source: "detector", at: FrameRef::Newest, boxes: boxes(100) }).unwrap();
    };
    let objects = vec![ObjectPrompt { prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() }; 100];
    let prompt = |b: &Bench| {
        let (at, operation, persistence) = (FrameRef::Newest, Operation::Set, Persistence::Hold);
        let objects = objects.clone();
        b.engine.interact(Interaction::Prompts { at, operation, objects, persistence }).unwrap();
    };
    let ask = |b: &Bench| {
        let (segment, _) = question(SegmentOn::Frame(FrameRef::Newest));
        b.engine.segment(Segment { objects: objects.clone(), ..segment });
    };
    for begin in [&detect as &dyn Fn(&Bench), &prompt, &ask] {
        let ((starts, started), (permits, permitted)) = (channel(), channel());
        let b = bench_with(FakeDecoder { gate: Some((starts, permitted)), ..FakeDecoder::default() }, patient());
        b.encode(1);
        begin(&b);
        assert_eq!(started.recv_timeout(PATIENCE), Ok(32));
        b.click(FrameRef::Newest, 3.0, 3.0, Persistence::Hold);
        b.engine.stop();
        // The engine may have stopped already.
        (0..9).for_each(|_| permits.send(()).unwrap_or_default());
        assert!(started.recv_timeout(PATIENCE).is_err(), "another turn");
        let events: Vec<_> = b.events.try_iter().collect();
        assert!(!events.iter().any(|e| !matches!(e, Event::Result(r) if !r.prompted)), "{events:?}");
        assert_eq!(b.engine.metrics().refused.len(), 0);
    }
}

/// Returns a decoder that reports the number of objects of each turn and waits for a permit.
fn in_the_first_turn_of_a_hundred_held_objects() -> (Bench, Receiver<usize>, Sender<()>) {
    let ((starts, started), (permits, permitted)) = (channel(), channel());
    let b = bench_with(FakeDecoder { gate: Some((starts, permitted)), ..FakeDecoder::default() }, patient());
    b.encode(1);
    let object = ObjectPrompt { prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() };
    let (at, persistence, objects) = (FrameRef::Newest, Persistence::Hold, vec![object; 100]);
    b.engine.interact(Interaction::Prompts { at, operation: Operation::Set, objects, persistence }).unwrap();
    (0..4).for_each(|_| permits.send(()).unwrap());
    assert_eq!(b.result().objects.len(), 100);
    assert!((0..4).all(|_| started.recv_timeout(PATIENCE).is_ok()));
    b.encode(2);
    assert_eq!(started.recv_timeout(PATIENCE), Ok(32));
    (b, started, permits)
}

#[test]
fn decoding_of_held_objects_ends_between_two_turns_when_the_engine_stops() {
    let (b, started, permits) = in_the_first_turn_of_a_hundred_held_objects();
    b.engine.stop();
    // The engine may have stopped already.
    (0..9).for_each(|_| permits.send(()).unwrap_or_default());
    assert!(started.recv_timeout(PATIENCE).is_err(), "another turn");
    assert_eq!(b.events.try_iter().count(), 0);
}

#[test]
fn queues_are_bounded_by_bytes_too() {
    let keep = KeepLimits { bytes: 10_000, ..KeepLimits::default() };
    let b = bench(Settings { keep, ..patient() });
    let mask = || {
        let mask = MaskInput::Binary { width: 60, height: 50, data: vec![255; 3000] };
        b.engine.interact(Interaction::Mask { at: FrameRef::Newest, mask, persistence: Persistence::Hold })
    };
    let accepted = (0..10).take_while(|_| mask().is_ok()).count();
    assert_eq!((accepted, b.engine.usage().prompt_bytes), (3, 9000));
    let refusal = mask().unwrap_err();
    assert!(refusal.kind == RefusalKind::QueueFull && refusal.message.contains("keep.megabytes"), "{refusal:?}");
    // The encoder holds one image of 2304 bytes; four more wait.
    let answers: Vec<_> = (0..10)
        .map(|i| {
            let (segment, answer) = question(SegmentOn::Image(frame(100 + i)));
            b.engine.segment(segment);
            if i == 0 {
                assert_eq!(b.gate.started.recv_timeout(PATIENCE), Ok(100));
            }
            answer
        })
        .collect();
    let waiting = b.engine.usage();
    assert!(waiting.to_encode >= 3 && waiting.to_encode_bytes <= 10_000, "{waiting:?}");
    b.gate.open(10);
    let refused = answers.into_iter().map(wait_for).filter(Result::is_err).count();
    assert_eq!(refused, 9 - waiting.to_encode);
}

#[test]
fn the_number_of_objects_is_bounded() {
    let b = bench(patient());
    b.encode(1);
    let add = |count: usize| {
        let object = ObjectPrompt { prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() };
        let (at, objects) = (FrameRef::Newest, vec![object; count]);
        let (operation, persistence) = (Operation::Add, Persistence::Hold);
        b.engine.interact(Interaction::Prompts { at, operation, objects, persistence }).unwrap();
    };
    add(1000);
    assert_eq!(b.result().objects.len(), 1000);
    add(25);
    assert_eq!(b.refusal().kind, RefusalKind::TooManyObjects);
    add(24);
    until(|| b.engine.usage().objects == 1024);
    // The logits of the fake decoder have 8 x 8 cells.
    assert_eq!(b.engine.usage().object_bytes, 1024 * 8 * 8 * 4);
}

#[test]
fn a_click_does_not_wait_for_a_hundred_held_objects() {
    let (b, started, permits) = in_the_first_turn_of_a_hundred_held_objects();
    b.click(FrameRef::Newest, 29.0, 4.0, Persistence::Hold);
    permits.send(()).unwrap();
    // The click fills its turn with objects that the frame lacks.
    assert_eq!(started.recv_timeout(PATIENCE), Ok(32));
    permits.send(()).unwrap();
    let answer = b.result();
    assert_eq!((answer.source, answer.header.stamp, answer.objects.len()), (ResultSource::Prompt, stamp(2), 64));
    (0..3).for_each(|_| permits.send(()).unwrap());
    let whole = b.result();
    assert_eq!((whole.source, whole.header.stamp, whole.objects.len()), (ResultSource::Camera, stamp(2), 101));
}

#[test]
fn an_incomplete_answer_is_followed_by_the_complete_one() {
    let keep = KeepLimits { frames: 20, ..KeepLimits::default() };
    let b = bench(Settings { keep, ..patient() });
    b.encode(1);
    let object = ObjectPrompt { prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() };
    let (at, persistence, objects) = (FrameRef::Newest, Persistence::Hold, vec![object; 100]);
    b.engine.interact(Interaction::Prompts { at, operation: Operation::Set, objects, persistence }).unwrap();
    assert_eq!(b.result().objects.len(), 100);
    // Until the results on frame 1 are removed.
    for sec in 2..=6 {
        b.encode(sec);
        let on_it = std::iter::repeat_with(|| b.result()).find(|r| r.header.stamp == stamp(sec)).unwrap();
        assert_eq!(on_it.objects.len(), 100);
    }
    b.click(FrameRef::At(stamp(1)), 29.0, 4.0, Persistence::Hold);
    let on_one = || std::iter::repeat_with(|| b.result()).find(|r| r.header.stamp == stamp(1)).unwrap();
    assert_eq!(on_one().objects.len(), 32);
    let whole = on_one();
    assert_eq!((whole.source, whole.objects.len()), (ResultSource::Prompt, 101));
}

#[test]
fn a_prompt_times_out_by_the_engines_clock() {
    let clock = ManualClock::new();
    let (encoder, _gate) = gated_encoder();
    let (sink, events) = sink();
    let settings = Settings { prompt_timeout: Duration::from_secs(3600), ..Settings::default() };
    let (encoder, decoder) = (Turns::shared(encoder), Turns::shared(FakeDecoder::default()));
    let engine = Engine::start_with(Clock::Manual(clock.clone()), encoder, decoder, settings, sink).unwrap();
    let (point, mode, persistence) = (Point::foreground(1.0, 1.0), ClickMode::Point, Persistence::Once);
    engine.interact(Interaction::Click { at: FrameRef::Newest, point, mode, persistence }).unwrap();
    clock.advance(Duration::from_secs(3599));
    assert!(events.recv_timeout(Duration::from_millis(60)).is_err());
    clock.advance(Duration::from_secs(2));
    let Ok(Event::Refused(refusal)) = events.recv_timeout(PATIENCE) else { panic!("no refusal") };
    assert_eq!((refusal.kind, refusal.message.contains("3600s")), (RefusalKind::NoImage, true));
}

#[test]
fn an_answer_has_its_objects_however_many_masks_newer_frames_have() {
    let keep = KeepLimits { bytes: 4 * kept_frame(1).bytes(), ..KeepLimits::default() };
    let b = bench(Settings { keep, ..patient() });
    b.encode(1);
    sources(&b.events, |r| r.header.stamp == stamp(1));
    b.encode(2);
    let once = ObjectPrompt { prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() };
    let prompt = |sec, count| {
        let (at, operation, persistence) = (FrameRef::At(stamp(sec)), Operation::Add, Persistence::Once);
        let objects = vec![once.clone(); count];
        b.engine.interact(Interaction::Prompts { at, operation, objects, persistence }).unwrap();
        b.result().objects.len()
    };
    assert_eq!((prompt(2, 10), prompt(1, 3)), (10, 3));
}
