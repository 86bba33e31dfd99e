//! Frames that are encoded on demand, and with a subscriber or a recent prompt.

use super::pressure::boxes;
use super::testing::{FakeDecoder, ManualClock, frame, gated_encoder, stamp};
use super::*;
use crate::prompt::Point;

#[test]
fn on_demand_a_click_waits_for_the_encoder_however_long_that_takes() {
    let clock = ManualClock::new();
    let (encoder, gate) = gated_encoder();
    let (sink, events) = sink();
    let settings = Settings { encode: EncodeMode::OnDemand, ..Settings::default() };
    let (encoder, decoder) = (Turns::shared(encoder), Turns::shared(FakeDecoder::default()));
    let engine = Engine::start_with(Clock::Manual(clock.clone()), encoder, decoder, settings, sink).unwrap();
    let click_on = |sec| {
        clock.advance(Duration::from_secs(60));
        engine.push_frame(frame(sec));
        let (at, point) = (FrameRef::Newest, Point::foreground(4.0, 4.0));
        let (mode, persistence) = (ClickMode::Point, Persistence::Once);
        engine.interact(Interaction::Click { at, point, mode, persistence }).unwrap();
        assert_eq!(gate.started.recv_timeout(PATIENCE), Ok(sec as u8));
        clock.advance(Duration::from_secs(60));
        assert!(events.recv_timeout(Duration::from_millis(60)).is_err(), "an answer on an older image");
    };
    let answer = || {
        let result = |e| if let Event::Result(r) = e { Some(r).filter(|r| r.prompted) } else { None };
        let answer = std::iter::repeat_with(|| events.recv_timeout(PATIENCE).expect("an answer")).find_map(result);
        answer.unwrap().header.stamp
    };
    for sec in [1, 2] {
        click_on(sec);
        gate.open(1);
        assert_eq!(answer(), stamp(sec));
    }
    // A failing encoder is not waited for.
    click_on(3);
    drop(gate);
    assert_eq!(answer(), stamp(2));
}

#[test]
fn on_demand_only_needed_frames_are_encoded() {
    let b = bench(Settings { encode: EncodeMode::OnDemand, ..patient() });
    b.gate.open(100);
    for sec in 1..=20 {
        b.engine.push_frame(frame(sec));
    }
    assert_eq!((b.engine.metrics().frames_encoded, b.engine.metrics().frames_unneeded), (0, 19));
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    assert_eq!(b.result().header.stamp, stamp(20), "the newest image, though it was not encoded before");
    for sec in 21..=30 {
        b.engine.push_frame(frame(sec));
    }
    b.click(FrameRef::At(stamp(25)), 9.0, 9.0, Persistence::Once);
    assert_eq!(b.result().header.stamp, stamp(25));
    // The camera's newest frame may have had a turn while the prompt waited.
    let encoded = b.engine.metrics().frames_encoded;
    assert!((2..=3).contains(&encoded), "{encoded}");
    b.click(FrameRef::Newest, 9.0, 9.0, Persistence::Hold);
    until(|| b.engine.usage().objects == 1);
    b.engine.push_frame(frame(31));
    until(|| b.engine.metrics().frames_encoded > encoded);
    let on_new = std::iter::repeat_with(|| b.result()).find(|r| r.header.stamp == stamp(31));
    assert_eq!(on_new.unwrap().objects.len(), 1, "a held object needs every frame");
}

#[test]
fn auto_encodes_with_a_subscriber_or_a_recent_prompt_and_the_first_click_waits_for_one_encoding() {
    let clock = ManualClock::new();
    let (encoder, gate) = gated_encoder();
    let (sink, events) = sink();
    let settings = Settings { encode: EncodeMode::Auto, ..Settings::default() };
    let (encoder, decoder) = (Turns::shared(encoder), Turns::shared(FakeDecoder::default()));
    let engine = Engine::start_with(Clock::Manual(clock.clone()), encoder, decoder, settings, sink).unwrap();
    let click = |at, persistence| {
        let (point, mode) = (Point::foreground(4.0, 4.0), ClickMode::Point);
        engine.interact(Interaction::Click { at, point, mode, persistence }).unwrap();
    };
    let answer = || {
        let result = |e| if let Event::Result(r) = e { Some(r).filter(|r| r.prompted) } else { None };
        std::iter::repeat_with(|| events.recv_timeout(PATIENCE).expect("an answer")).find_map(result).unwrap()
    };
    gate.open(100);
    let encodes = |sec| {
        let before = engine.metrics().frames_encoded;
        engine.push_frame(frame(sec));
        until(|| engine.metrics().frames_encoded == before + 1);
    };
    let leaves = |sec| {
        let before = engine.metrics();
        engine.push_frame(frame(sec));
        assert!(engine.usage().is_idle && !engine.shared.lock().has_encode_job());
        assert_eq!(engine.metrics().frames_encoded, before.frames_encoded);
    };
    // No subscriber and no prompt.
    (1..=5).for_each(leaves);
    assert_eq!((engine.metrics().frames_unneeded, engine.metrics().frames_superseded), (4, 0));
    // A subscriber, without a prompt or an object.
    engine.set_listeners(true);
    until(|| engine.metrics().frames_encoded == 1);
    (6..=7).for_each(encodes);
    engine.set_listeners(false);
    (8..=9).for_each(leaves);
    // The first click after a pause refers to the newest image, not to the last encoded image.
    clock.advance(Duration::from_millis(1));
    click(FrameRef::Newest, Persistence::Once);
    assert_eq!(answer().header.stamp, stamp(9));
    // From now on every frame is encoded, and the next click waits for no encoding.
    (10..=11).for_each(encodes);
    clock.advance(Duration::from_secs(9));
    encodes(12);
    click(FrameRef::Newest, Persistence::Once);
    assert_eq!(answer().header.stamp, stamp(12));
    clock.advance(Duration::from_secs(10));
    (13..=15).for_each(leaves);
    // A click with a stamp refers to the image of that stamp.
    click(FrameRef::At(stamp(14)), Persistence::Hold);
    assert_eq!(answer().header.stamp, stamp(14));
    clock.advance(Duration::from_secs(3600));
    until(|| !engine.usage().is_idle);
    // An object persists.
    let before = engine.metrics().frames_encoded;
    engine.push_frame(frame(16));
    until(|| engine.metrics().frames_encoded > before);
    engine.interact(Interaction::Clear).unwrap();
    until(|| engine.usage().objects == 0);
    clock.advance(Duration::from_secs(10));
    leaves(17);
    // Detections are answered on their frame. Without a subscriber no other frame is needed.
    let before = engine.metrics().frames_encoded;
    engine.detections(Detections { source: "detector", at: FrameRef::At(stamp(15)), boxes: boxes(1) }).unwrap();
    let detected = std::iter::repeat_with(answer).find(|r| r.source == ResultSource::Detector("detector"));
    assert_eq!(detected.unwrap().header.stamp, stamp(15));
    assert!(engine.metrics().frames_encoded <= before + 2);
    until(|| engine.usage().is_idle);
}
