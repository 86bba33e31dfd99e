//! The running mode of everything.

use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::{oneshot, watch};

use super::grid::{GridDecoder, generation, published};
use super::testing::{FakeDecoder, TimedEncoder, frame, header};
use super::*;
use crate::everything::Progress;

/// An engine with the running mode, which advances its clock by hand.
struct Running {
    clock: testing::ManualClock,
    engine: Engine,
    events: Receiver<Event>,
    permits: Sender<()>,
}

impl Running {
    fn new() -> Self {
        let clock = testing::ManualClock::new();
        let mut settings = Settings { encode: EncodeMode::Auto, ..patient() };
        settings.everything.period = Some(Duration::from_secs(1));
        settings.everything.generation = generation();
        let ((starts, _), (permits, permitted)) = (channel(), channel());
        let decoder = GridDecoder { inner: FakeDecoder::default(), started: starts, permits: permitted };
        let encoder = Turns::shared(TimedEncoder::default());
        let (sink, events) = sink();
        let engine =
            Engine::start_with(Clock::Manual(clock.clone()), encoder, Turns::shared(decoder), settings, sink).unwrap();
        Running { clock, engine, events, permits }
    }

    fn permit(&self, batches: usize) {
        (0..batches).for_each(|_| self.permits.send(()).unwrap());
    }
}

#[test]
fn the_running_mode_segments_new_frames_while_somebody_subscribes() {
    let r = Running::new();
    r.permit(100);
    r.engine.push_frame(frame(1));
    r.engine.set_listeners(true);
    assert_eq!(published(&r.events).header, header(1));
    // Neither the same frame again nor a new frame before its time.
    r.clock.advance(Duration::from_secs(5));
    until(|| r.engine.usage().generations == 0);
    r.engine.push_frame(frame(2));
    assert_eq!(published(&r.events).header, header(2));
    r.engine.push_frame(frame(3));
    until(|| r.engine.metrics().frames_encoded == 3);
    r.engine.set_listeners(false);
    r.clock.advance(Duration::from_secs(5));
    assert_eq!(r.engine.metrics().generations.requested, 2, "nobody subscribes");
    r.engine.set_listeners(true);
    assert_eq!(published(&r.events).header, header(3));
    assert_eq!(r.engine.metrics().generations.requested, 3);
}

#[test]
fn a_frame_on_the_encoder_is_segmented_once_it_is_encoded() {
    let ((starts, _started), (permits, permitted)) = (channel(), channel());
    let decoder = GridDecoder { inner: FakeDecoder::default(), started: starts, permits: permitted };
    let mut settings = Settings { encode: EncodeMode::Auto, ..patient() };
    settings.everything.period = Some(Duration::from_nanos(1));
    settings.everything.generation = generation();
    let b = bench_of(decoder, Arc::default(), settings);
    (0..100).for_each(|_| permits.send(()).unwrap());
    b.engine.set_listeners(true);
    b.encode(1);
    assert_eq!(published(&b.events).header, header(1));
    // The next frame stays on the encoder: the frame before it is not segmented again.
    b.engine.push_frame(frame(2));
    until(|| b.engine.usage().in_flight == 1 && b.engine.usage().generations == 0);
    assert!(!b.engine.shared.lock().start_running_mode());
    assert_eq!(b.engine.metrics().generations.requested, 1);
    b.gate.open(1);
    assert_eq!(published(&b.events).header, header(2));
    assert_eq!(b.engine.metrics().generations.requested, 2);
}

#[test]
fn a_request_takes_the_place_of_the_running_mode() {
    let r = Running::new();
    r.engine.set_listeners(true);
    r.engine.push_frame(frame(1));
    until(|| r.engine.usage().generations == 1 && r.engine.shared.lock().queries.is_empty());
    let (progress, _watched) = watch::channel(Progress { decoded: 0, points: 0, masks: 0 });
    let (reply, answer) = oneshot::channel();
    let (on, client) = (SegmentOn::Frame(FrameRef::Newest), GenerationClient { progress, reply });
    r.engine.segment_everything(GenerationRequest { on, region: None, settings: generation(), client });
    r.permit(100);
    wait_for(answer).unwrap();
    until(|| r.engine.metrics().generations.superseded == 1);
    assert_eq!(r.engine.metrics().generations.finished, 1);
}
