//! Panics in codecs, sessions and the receiver of events: each loses one frame or prompt and is counted.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use image::RgbImage;
use tokio::sync::oneshot;

use super::testing::{FakeDecoder, TimedEncoder, content, frame, frame_of, stamp};
use super::*;
use crate::model::Embedding;
use crate::prompt::{Point, Prompt};

/// Content of the image on which the encoder panics.
const BAD: u32 = 13;

struct PanickingEncoder(TimedEncoder);

impl Encode for PanickingEncoder {
    fn encode(&mut self, image: &RgbImage) -> Result<Embedding, String> {
        assert!(content(image) != BAD, "an encoder that panics, on purpose");
        self.0.encode(image)
    }
}

#[test]
fn an_encoder_that_panics_loses_one_frame() {
    let (sender, events) = channel();
    let sender = Mutex::new(sender);
    let sink: EventSink = Box::new(move |event| drop(sender.lock().unwrap().send(event)));
    let encoder = Turns::shared(PanickingEncoder(TimedEncoder::default()));
    let engine = Engine::start(encoder, Turns::shared(FakeDecoder::default()), patient(), sink).unwrap();
    engine.push_frame(frame_of(BAD, stamp(1)));
    let Ok(Event::Refused(refusal)) = events.recv_timeout(PATIENCE) else { panic!("no refusal") };
    assert_eq!(refusal.kind, RefusalKind::ModelFailed);
    assert!(refusal.message.contains("panicked: an encoder that panics, on purpose"), "{}", refusal.message);
    // A `segment` request with such an image gets a reply, and both threads continue.
    let (reply, answer) = oneshot::channel();
    let objects = vec![ObjectPrompt { prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() }];
    let on = SegmentOn::Image(frame_of(BAD, stamp(2)));
    engine.segment(Segment { on, objects, all_candidates: false, reply });
    assert_eq!(wait_for(answer).unwrap_err().kind, RefusalKind::ModelFailed);
    engine.push_frame(frame_of(14, stamp(3)));
    until(|| engine.usage().kept_frames == 1);
    let metrics = engine.metrics();
    assert_eq!((metrics.panics, metrics.refused[&RefusalKind::ModelFailed]), (2, 2));
}

#[test]
fn a_decoder_that_panics_is_counted_and_a_segment_request_has_a_reply() {
    let b = bench(patient());
    b.encode(66);
    let (reply, answer) = oneshot::channel();
    let objects = vec![ObjectPrompt { prompt: Prompt::point(3.0, 3.0), ..ObjectPrompt::default() }];
    b.engine.segment(Segment { on: SegmentOn::Frame(FrameRef::Newest), objects, all_candidates: false, reply });
    let refusal = wait_for(answer).unwrap_err();
    assert!(refusal.message.contains("the mask decoder panicked: a decoder that panics, on purpose"), "{refusal:?}");
    assert!(b.engine.metrics().panics >= 1);
}

#[test]
fn a_panic_before_or_behind_the_engine_is_counted() {
    let engine = bench(patient()).engine;
    assert_eq!(engine.guard("reading a message", || 7), Some(7));
    assert_eq!(engine.guard("reading a message", || -> u8 { panic!("on purpose") }), None);
    assert_eq!(engine.metrics().panics, 1);
}

#[test]
fn an_event_sink_that_panics_loses_that_event_and_no_other() {
    let (sender, events) = channel();
    let (sender, calls) = (Mutex::new(sender), AtomicUsize::new(0));
    let sink: EventSink = Box::new(move |event| {
        // The first result, and the refusal that reports its panic.
        assert!(calls.fetch_add(1, Ordering::Relaxed) >= 2, "a sink that panics, on purpose");
        drop(sender.lock().unwrap().send(event));
    });
    let (encoder, decoder) = (Turns::shared(TimedEncoder::default()), Turns::shared(FakeDecoder::default()));
    let engine = Engine::start(encoder, decoder, patient(), sink).unwrap();
    engine.push_frame(frame(1));
    until(|| engine.metrics().panics == 2);
    assert_eq!(engine.metrics().refused[&RefusalKind::InternalError], 1);
    let (point, mode, persistence) = (Point::foreground(3.0, 3.0), ClickMode::Point, Persistence::Hold);
    engine.interact(Interaction::Click { at: FrameRef::Newest, point, mode, persistence }).unwrap();
    let Ok(Event::Result(result)) = events.recv_timeout(PATIENCE) else { panic!("no result") };
    assert_eq!((result.source, result.objects.len()), (ResultSource::Prompt, 1));
}

#[test]
fn an_event_sink_that_panics_on_the_encoders_thread_stops_no_frame() {
    let sink: EventSink = Box::new(|event| assert!(!matches!(event, Event::Refused(_)), "on purpose"));
    let (encoder, decoder) = (Turns::shared(TimedEncoder::default()), Turns::shared(FakeDecoder::default()));
    let engine = Engine::start(encoder, decoder, patient(), sink).unwrap();
    let broken = FramePixels::Compressed { format: "jpeg".into(), data: vec![1, 2, 3] };
    engine.push_frame(Frame { header: testing::header(1), pixels: broken });
    until(|| engine.metrics().panics == 2);
    engine.push_frame(frame(2));
    until(|| engine.usage().kept_frames == 1 && engine.usage().in_flight == 0);
}
