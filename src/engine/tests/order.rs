//! Headers and order under random schedules of operations.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use tokio::sync::oneshot;

use super::testing::{FakeDecoder, TimedEncoder, content, frame, frame_of, header, stamp};
use super::*;
use crate::prompt::{BoxPrompt, Point, Prompt};

/// Pseudo-random numbers, the same for the same seed: xorshift64*.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

/// Output of a schedule, with its input.
struct Story {
    events: Vec<Event>,
    answers: Vec<Result<FrameResult, Refusal>>,
    /// Stamp of the frame with that content.
    stamps: HashMap<u32, Stamp>,
    /// Source and stamp of the detections, by their number.
    detections: Vec<(&'static str, Stamp)>,
}

const FIRST: u32 = 1000;

fn play(seed: u64, operations: usize) -> Story {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (sender, events): (_, Receiver<Event>) = channel();
    let sender = Mutex::new(sender);
    let sink: EventSink = Box::new(move |event| drop(sender.lock().unwrap().send(event)));
    let keep = KeepLimits { frames: 2 + chance.below(6) as usize, images: chance.below(8) as usize, bytes: 1 << 20 };
    let settings = Settings {
        keep,
        prompt_timeout: Duration::from_millis(20),
        encode: [EncodeMode::Always, EncodeMode::Auto, EncodeMode::OnDemand][chance.below(3) as usize],
        encode_linger: Duration::ZERO,
        ..Settings::default()
    };
    let (encoder, decoder) = (Turns::shared(TimedEncoder::default()), Turns::shared(FakeDecoder::default()));
    let engine = Engine::start(encoder, decoder, settings, sink).unwrap();
    let mut story = Story { events: Vec::new(), answers: Vec::new(), stamps: HashMap::new(), detections: Vec::new() };
    let (mut requests, mut known, mut time) = (Vec::new(), vec![stamp(1)], 10_000_000_000_000u64);
    for (i, next) in (FIRST..).take(operations).enumerate() {
        let some = known[known.len() - 1 - chance.below(known.len().min(12) as u64) as usize];
        let at = if chance.below(3) == 0 { FrameRef::At(some) } else { FrameRef::Newest };
        let (x, y) = (chance.below(30) as f32, chance.below(20) as f32);
        let persistence = [Persistence::Once, Persistence::Hold, Persistence::Track][chance.below(3) as usize];
        let object = |id| ObjectPrompt { id, prompt: Prompt::point(x, y), ..ObjectPrompt::default() };
        match chance.below(20) {
            0..=9 => {
                // Mostly ascending stamps; sometimes a repeated stamp, a late stamp, or a clock that is set back.
                time = match chance.below(20) {
                    0 => time,
                    1 => time - 30_000_000,
                    2 if i > 50 => time - 20_000_000_000,
                    _ => time + 10_000_000,
                };
                let stamp = Stamp { sec: (time / 1_000_000_000) as i32, nanosec: (time % 1_000_000_000) as u32 };
                story.stamps.insert(next, stamp);
                known.push(stamp);
                engine.push_frame(frame_of(next, stamp));
            }
            10..=12 => {
                let (point, mode) = (Point::foreground(x, y), ClickMode::Point);
                let _ = engine.interact(Interaction::Click { at, point, mode, persistence });
            }
            13 => {
                let operation = [Operation::Set, Operation::Add, Operation::Remove][chance.below(3) as usize];
                let objects = vec![object(1 + chance.below(5) as u32), object(0)];
                let objects = if operation == Operation::Remove { objects[..1].to_vec() } else { objects };
                let _ = engine.interact(Interaction::Prompts { at, operation, objects, persistence });
            }
            14 => {
                let (reply, _) = oneshot::channel();
                let of = [Interaction::NewObject, Interaction::Clear, Interaction::Undo { reply }];
                let _ = engine.interact(of.into_iter().nth(chance.below(3) as usize).unwrap());
            }
            15..=17 => {
                let source = ["detections", "yolo_detections"][chance.below(2) as usize];
                let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
                let tag = story.detections.len().to_string();
                let one = DetectedBox { bbox, mask: None, class_id: String::new(), tag, score: None };
                story.detections.push((source, some));
                let boxes = vec![one; 1 + chance.below(40) as usize];
                let _ = engine.detections(Detections { source, at: FrameRef::At(some), boxes });
            }
            _ => {
                let (reply, answer) = oneshot::channel();
                let on = if chance.below(2) == 0 {
                    SegmentOn::Frame(at)
                } else {
                    let stamp = Stamp { sec: 7, nanosec: next };
                    story.stamps.insert(next, stamp);
                    SegmentOn::Image(frame_of(next, stamp))
                };
                engine.segment(Segment { on, objects: vec![object(0)], all_candidates: false, reply });
                requests.push(answer);
            }
        }
        if chance.below(3) == 0 {
            std::thread::yield_now();
        }
    }
    story.answers.extend(requests.into_iter().map(wait_for));
    until(|| {
        let usage = engine.usage();
        usage.prompts + usage.queries + usage.to_encode == 0
            && (usage.in_flight == 0 || engine.shared.lock().settings.encode != EncodeMode::Always)
    });
    drop(engine);
    story.events.extend(events.try_iter());
    story
}

/// Plays at least `schedules`, and more until `check` has seen more than `enough` cases in total.
///
/// How many frames a schedule encodes depends on the speed of the machine, so a fixed number of schedules proves nothing on a slow one.
fn play_until(first_seed: u64, schedules: u64, enough: usize, mut check: impl FnMut(u64, &Story) -> usize) {
    let mut cases = 0;
    for played in 0.. {
        if played >= schedules && cases > enough {
            return;
        }
        assert!(played < 20 * schedules, "{cases} cases in {played} schedules are too few to prove anything");
        let seed = first_seed + played;
        cases += check(seed, &play(seed, 200));
    }
}

fn results(story: &Story) -> impl Iterator<Item = &FrameResult> {
    story.events.iter().filter_map(|e| if let Event::Result(r) = e { Some(r) } else { None })
}

#[test]
fn no_result_has_a_wrong_header_whatever_the_schedule() {
    play_until(0, 30, 500, |seed, story| {
        let mut masks = 0;
        for result in results(story).chain(story.answers.iter().flatten()) {
            let shown = content(&result.image);
            assert_eq!(story.stamps.get(&shown), Some(&result.header.stamp), "seed {seed}");
            for object in &result.objects {
                assert_eq!(object.iou, shown as f32 / 100.0, "seed {seed}: a mask of another frame");
                masks += 1;
            }
        }
        assert!(!story.events.iter().any(|e| matches!(e, Event::Refused(r) if r.kind == RefusalKind::InternalError)));
        masks
    });
}

#[test]
fn the_cameras_frames_come_out_in_the_order_of_their_stamps() {
    play_until(100, 15, 100, |seed, story| {
        let camera: Vec<&FrameResult> = results(story).filter(|r| r.source == ResultSource::Camera).collect();
        for pair in camera.windows(2) {
            let [(a, before), (b, after)] = [pair[0], pair[1]].map(|r| (content(&r.image), r.header.stamp));
            assert!(a < b, "seed {seed}: order of arrival");
            let set_back = before.seconds() - after.seconds() > 1.0;
            assert!(after >= before || set_back, "seed {seed}: {after} after {before}");
        }
        camera.windows(2).len()
    });
}

#[test]
fn detections_of_a_source_are_answered_in_the_order_of_their_stamps() {
    play_until(200, 15, 50, |seed, story| {
        // The answer includes the boxes of the other detector on the frame.
        let is_answer = |r: &FrameResult, i: &usize| ResultSource::Detector(story.detections[*i].0) == r.source;
        let answered: Vec<usize> = results(story)
            .filter_map(|r| r.objects.iter().filter_map(|o| o.tag.parse().ok()).find(|i| is_answer(r, i)))
            .collect();
        for (place, later) in answered.iter().enumerate() {
            for earlier in answered[place + 1..].iter().filter(|e| *e < later) {
                let ((source_a, a), (source_b, b)) = (story.detections[*earlier], story.detections[*later]);
                assert!(source_a != source_b || a >= b, "seed {seed}: {b} was answered before {a}");
            }
        }
        answered.len()
    });
}

#[test]
fn a_detector_waits_for_its_own_older_stamp_and_for_no_other_detector() {
    let b = bench(patient());
    b.encode(1);
    let started = |sec| assert_eq!(b.gate.started.recv_timeout(PATIENCE), Ok(sec));
    started(1);
    b.engine.push_frame(frame(2));
    started(2);
    b.engine.push_frame(frame(3));
    b.engine.push_frame(frame(4));
    b.gate.open(1);
    started(4);
    // Frame 3 was passed over and is encoded after frame 4.
    let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
    let one = DetectedBox { bbox, mask: None, class_id: String::new(), tag: String::new(), score: None };
    for (source, sec) in [("slow", 3), ("slow", 4), ("quick", 4)] {
        let at = FrameRef::At(stamp(sec));
        b.engine.detections(Detections { source, at, boxes: vec![one.clone()] }).unwrap();
    }
    let answer = || {
        let detector = |r: &FrameResult| matches!(r.source, ResultSource::Detector(_));
        let answer = std::iter::repeat_with(|| b.result()).find(detector).unwrap();
        (answer.source, answer.header.stamp)
    };
    b.gate.open(1);
    assert_eq!(answer(), (ResultSource::Detector("quick"), stamp(4)));
    started(3);
    b.gate.open(1);
    assert_eq!(answer(), (ResultSource::Detector("slow"), stamp(3)));
    assert_eq!(answer(), (ResultSource::Detector("slow"), stamp(4)));
}

#[test]
fn prompts_are_answered_in_order_of_arrival() {
    let b = bench(patient());
    b.encode(1);
    b.engine.push_frame(frame(2));
    // The first prompt waits for frame 2, which is on the encoder; the others could be answered at once.
    for (i, at) in [FrameRef::At(stamp(2)), FrameRef::Newest, FrameRef::At(stamp(1))].into_iter().enumerate() {
        b.click(at, i as f32, 4.0, Persistence::Hold);
    }
    b.gate.open(1);
    let clicks = std::iter::repeat_with(|| b.result()).filter(|r| r.source == ResultSource::Prompt);
    let order: Vec<usize> = clicks.take(3).map(|r| r.objects[0].points.len()).collect();
    assert_eq!(order, [1, 2, 3]);
}

#[test]
fn a_late_image_is_not_the_newest_but_a_clock_that_was_set_back_is() {
    let b = bench(patient());
    b.gate.open(10);
    let at = |sec, ms: u32| Stamp { sec, nanosec: ms * 1_000_000 };
    let push = |content, stamp| b.engine.push_frame(frame_of(content, stamp));
    push(1, at(50, 500));
    until(|| b.engine.metrics().frames_encoded == 1);
    push(2, at(50, 400));
    assert_eq!((b.engine.metrics().frames_late, b.engine.usage().images), (1, 1));
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    assert_eq!(b.result().header.stamp, at(50, 500));
    // A prompt with its stamp.
    b.click(FrameRef::At(at(50, 400)), 4.0, 4.0, Persistence::Once);
    assert_eq!(b.result().header.stamp, at(50, 400));
    push(3, at(10, 0));
    until(|| b.engine.metrics().frames_encoded == 3);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    assert_eq!((b.result().header.stamp, b.engine.metrics().frames_late), (at(10, 0), 1));
}

#[test]
fn a_camera_without_stamps_has_its_objects_on_every_frame() {
    let b = bench(patient());
    let mut answers = Vec::new();
    for content in [10, 20, 30] {
        let before = b.engine.metrics().frames_encoded;
        b.engine.push_frame(Frame { header: Header { stamp: Stamp::NONE, ..header(0) }, ..frame(content) });
        b.gate.open(1);
        until(|| b.engine.metrics().frames_encoded > before);
        if content == 10 {
            b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
        }
        answers.push(std::iter::repeat_with(|| b.result()).find(|r| !r.objects.is_empty()).unwrap().objects[0].iou);
    }
    assert_eq!(answers, [0.1, 0.2, 0.3]);
}

#[test]
fn pixels_are_converted_before_the_turn_of_a_camera() {
    let (encoder, gate) = testing::gated_encoder();
    let (encoder, decoder) = (Turns::shared(encoder), Turns::shared(FakeDecoder::default()));
    let start = || {
        let (sender, events) = channel();
        let sender = Mutex::new(sender);
        let sink: EventSink = Box::new(move |event| drop(sender.lock().unwrap().send(event)));
        (Engine::start(encoder.clone(), decoder.clone(), patient(), sink).unwrap(), events)
    };
    let ((front, _front_events), (rear, rear_events)) = (start(), start());
    front.push_frame(frame(1));
    assert_eq!(gate.started.recv_timeout(PATIENCE), Ok(1));
    let broken = FramePixels::Compressed { format: "jpeg".into(), data: vec![0xff, 0xd8, 0xff, 0, 0] };
    rear.push_frame(Frame { header: header(2), pixels: broken.clone() });
    // The other camera stays on the encoder. The broken image is refused all the same.
    let Ok(Event::Refused(refusal)) = rear_events.recv_timeout(PATIENCE) else { panic!("no refusal") };
    assert_eq!(refusal.kind, RefusalKind::BadImage);
    // A newer broken image that arrives during the wait is refused too. It replaces the valid image.
    rear.push_frame(frame(3));
    until(|| rear.usage().in_flight == 1 && rear.shared.lock().incoming.is_none());
    rear.push_frame(frame(4));
    until(|| rear.metrics().frames_superseded == 1);
    gate.open(2);
    assert_eq!(gate.started.recv_timeout(PATIENCE), Ok(4));
    until(|| rear.metrics().frames_encoded == 1);
    assert_eq!(rear.usage().images, 1, "the good one is kept as an image");
    drop(front);
}
