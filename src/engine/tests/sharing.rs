//! Several engines, one for each camera, on the same two sessions.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::testing::{FakeDecoder, Gate, frame, gated_encoder, header};
use super::*;
use crate::model::{DecodeOptions, Decodes, Embedding};
use crate::prompt::{BoxPrompt, Point, Prompt};

/// Pause in which a ready thread runs on any machine.
const PAUSE: Duration = Duration::from_millis(5);

struct Camera {
    engine: Engine,
    events: Receiver<Event>,
}

impl Camera {
    fn start(encoder: &Session<dyn Encode>, decoder: &Session<dyn Decode>) -> Self {
        let (sender, events) = channel();
        let sender = Mutex::new(sender);
        let sink: EventSink = Box::new(move |event| {
            let _ = sender.lock().unwrap().send(event);
        });
        let engine = Engine::start(Arc::clone(encoder), Arc::clone(decoder), patient(), sink).unwrap();
        Camera { engine, events }
    }

    /// Pushes a frame whose header names the camera.
    fn push(&self, camera: &str, sec: i32) {
        let header = Header { frame_id: camera.into(), ..header(sec) };
        self.engine.push_frame(Frame { header, ..frame(sec) });
    }

    fn click(&self, at: FrameRef) {
        let (point, persistence) = (Point::foreground(3.0, 3.0), Persistence::Once);
        self.engine.interact(Interaction::Click { at, point, mode: ClickMode::Point, persistence }).unwrap();
    }

    fn answer(&self) -> FrameResult {
        loop {
            match self.events.recv_timeout(PATIENCE).expect("an answer") {
                Event::Result(r) if r.prompted => return r,
                Event::Refused(refusal) => panic!("refused: {refusal:?}"),
                _ => {}
            }
        }
    }
}

fn sessions<D: Decode + 'static>(decoder: D) -> (Session<dyn Encode>, Session<dyn Decode>, Gate) {
    let (encoder, gate) = gated_encoder();
    (Turns::shared(encoder), Turns::shared(decoder), gate)
}

#[test]
fn each_camera_is_answered_on_its_own_frame() {
    let (encoder, decoder, gate) = sessions(FakeDecoder::default());
    let cameras = ["front", "rear", "left"].map(|name| (name, Camera::start(&encoder, &decoder)));
    // The stamps of synchronised cameras are equal; only the contents of the images differ.
    gate.open(cameras.len());
    for (i, (name, camera)) in cameras.iter().enumerate() {
        let pixels = frame(10 + i as i32).pixels;
        camera.engine.push_frame(Frame { header: Header { frame_id: (*name).into(), ..header(7) }, pixels });
    }
    for (_, camera) in &cameras {
        camera.click(FrameRef::At(header(7).stamp));
    }
    for (i, (name, camera)) in cameras.iter().enumerate() {
        let answer = camera.answer();
        assert_eq!(answer.header, Header { frame_id: (*name).into(), ..header(7) });
        assert_eq!(answer.objects.len(), 1);
        assert_eq!(answer.objects[0].iou, (10 + i) as f32 / 100.0, "the mask belongs to the image of the camera");
    }
}

#[test]
fn a_busy_camera_starves_no_other() {
    const ROUNDS: i32 = 20;
    let (encoder, decoder, gate) = sessions(FakeDecoder::default());
    let (busy, calm) = (Camera::start(&encoder, &decoder), Camera::start(&encoder, &decoder));
    busy.push("busy", 1);
    assert_eq!(gate.started.recv_timeout(PATIENCE), Ok(1));
    let mut turns = 0;
    for round in 0..ROUNDS {
        // The busy camera always has a newer frame, the calm camera sometimes.
        busy.push("busy", 1);
        calm.push("calm", 50 + round);
        loop {
            std::thread::sleep(PAUSE);
            gate.open(1);
            busy.push("busy", 1);
            match gate.started.recv_timeout(PATIENCE).unwrap() {
                1 => turns += 1,
                other => break assert_eq!(i32::from(other), 50 + round),
            }
        }
        gate.open(1);
        assert_eq!(gate.started.recv_timeout(PATIENCE), Ok(1));
    }
    // The calm camera is next after the frame on the encoder, except if its thread was slow to wait.
    assert!(turns <= 2 * ROUNDS, "{ROUNDS} frames of the calm camera waited for {turns} of the busy one");
    gate.open(2);
}

#[test]
fn the_frame_is_chosen_when_it_is_the_cameras_turn() {
    let (encoder, decoder, gate) = sessions(FakeDecoder::default());
    let (first, second) = (Camera::start(&encoder, &decoder), Camera::start(&encoder, &decoder));
    first.push("first", 1);
    assert_eq!(gate.started.recv_timeout(PATIENCE), Ok(1));
    for sec in 51..=53 {
        second.push("second", sec);
    }
    gate.open(2);
    assert_eq!(gate.started.recv_timeout(PATIENCE), Ok(53), "the newest frame at the time of the turn");
    until(|| second.engine.metrics().frames_encoded == 1);
    assert_eq!(second.engine.metrics().frames_superseded, 2);
}

#[test]
fn a_click_is_answered_while_another_camera_is_encoded() {
    let (encoder, decoder, gate) = sessions(FakeDecoder::default());
    let (front, rear) = (Camera::start(&encoder, &decoder), Camera::start(&encoder, &decoder));
    gate.open(1);
    front.push("front", 1);
    until(|| front.engine.metrics().frames_encoded == 1);
    assert_eq!(gate.started.recv_timeout(PATIENCE), Ok(1));
    rear.push("rear", 2);
    assert_eq!(gate.started.recv_timeout(PATIENCE), Ok(2));
    front.click(FrameRef::Newest);
    assert_eq!(&*front.answer().header.frame_id, "front");
    gate.open(1);
}

/// Reports the number of prompts of each decoding and waits for a permit.
struct GatedDecoder {
    inner: FakeDecoder,
    started: Sender<usize>,
    permits: Receiver<()>,
}

impl Decode for GatedDecoder {
    fn decode(&mut self, e: &Embedding, prompts: &[Prompt], options: &DecodeOptions) -> Result<Decodes, String> {
        let _ = self.started.send(prompts.len());
        self.permits.recv_timeout(2 * PATIENCE).map_err(|_| "the test is over".to_owned())?;
        self.inner.decode(e, prompts, options)
    }

    fn low_res_side(&self) -> usize {
        self.inner.low_res_side()
    }

    fn mask_threshold(&self) -> f32 {
        self.inner.mask_threshold()
    }
}

#[test]
fn a_click_goes_between_two_chunks_of_another_cameras_detections() {
    let ((starts, started), (permits, permitted)) = (channel(), channel());
    let decoder = GatedDecoder { inner: FakeDecoder::default(), started: starts, permits: permitted };
    let (encoder, decoder, gate) = sessions(decoder);
    let (detector, operator) = (Camera::start(&encoder, &decoder), Camera::start(&encoder, &decoder));
    gate.open(2);
    detector.push("detector", 1);
    operator.push("operator", 2);
    until(|| detector.engine.metrics().frames_encoded + operator.engine.metrics().frames_encoded == 2);
    let bbox = BoxPrompt { x_min: 2.0, y_min: 2.0, x_max: 9.0, y_max: 9.0 };
    let one = DetectedBox { bbox, mask: None, class_id: String::new(), tag: String::new(), score: None };
    detector.engine.detections(Detections { source: "detector", at: FrameRef::Newest, boxes: vec![one; 640] }).unwrap();
    let mut order = vec![started.recv_timeout(PATIENCE).unwrap()];
    operator.click(FrameRef::Newest);
    while order.len() < 21 {
        std::thread::sleep(PAUSE);
        permits.send(()).unwrap();
        order.push(started.recv_timeout(PATIENCE).unwrap());
    }
    permits.send(()).unwrap();
    assert_eq!(&*operator.answer().header.frame_id, "operator");
    assert_eq!(detector.answer().objects.len(), 640);
    let turn = order.iter().position(|prompts| *prompts == 1).unwrap();
    assert!(turn < 20, "the click was decoded after all chunks of the other camera: {order:?}");
}

#[test]
fn a_camera_with_a_slow_publisher_delays_no_other() {
    let (encoder, decoder, gate) = sessions(FakeDecoder::default());
    let (sender, events) = std::sync::mpsc::sync_channel(0);
    let sink: EventSink = Box::new(move |event| drop(sender.send(event)));
    let slow = Engine::start(Arc::clone(&encoder), Arc::clone(&decoder), patient(), sink).unwrap();
    let other = Camera::start(&encoder, &decoder);
    // Dropped before the engines, whose threads may wait for a permit.
    let events = events;
    let broken = FramePixels::Compressed { format: "jpeg".into(), data: vec![1, 2, 3] };
    slow.push_frame(Frame { header: header(1), pixels: broken });
    // Its publisher blocks on the refusal.
    until(|| slow.metrics().refused.contains_key(&RefusalKind::BadImage));
    gate.open(1);
    other.push("other", 2);
    until(|| other.engine.metrics().frames_encoded == 1);
    drop(events);
}

#[test]
fn an_engine_that_stops_while_it_waits_takes_no_turn() {
    let (encoder, decoder, gate) = sessions(FakeDecoder::default());
    let (front, rear) = (Camera::start(&encoder, &decoder), Camera::start(&encoder, &decoder));
    front.push("front", 1);
    assert_eq!(gate.started.recv_timeout(PATIENCE), Ok(1));
    rear.push("rear", 2);
    until(|| rear.engine.shared.lock().encoding);
    rear.engine.stop();
    gate.open(2);
    drop(rear);
    assert!(gate.started.try_recv().is_err());
}

#[test]
fn one_engine_stops_and_the_other_continues() {
    let (encoder, decoder, gate) = sessions(FakeDecoder::default());
    let (front, rear) = (Camera::start(&encoder, &decoder), Camera::start(&encoder, &decoder));
    gate.open(10);
    front.push("front", 1);
    until(|| front.engine.metrics().frames_encoded == 1);
    drop(front);
    rear.push("rear", 2);
    rear.click(FrameRef::Newest);
    assert_eq!(rear.answer().header.stamp.sec, 2);
}
