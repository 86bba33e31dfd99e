//! Tests of the engine with fake sessions: order, limits and headers, without a model and without waiting for a clock.

mod deferred;
mod demand;
mod follow;
mod generation_refusals;
mod generations;
mod grid;
mod interactions;
mod objects;
mod operator;
mod order;
mod own_masks;
mod panics;
mod pressure;
mod prompts;
mod queries;
mod running_mode;
mod search;
mod sharing;
pub mod testing;
mod tracker;

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot::{self, error::TryRecvError};

use testing::{FakeDecoder, Gate, frame, gated_encoder};

use crate::engine::*;
use crate::prompt::{Point, Prompt};

/// Time-out of a failing test, long enough for any machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An engine with fake sessions, and its events.
pub struct Bench {
    /// Dropped before the engine, whose thread may wait for a permit.
    pub gate: Gate,
    pub engine: Engine,
    pub events: Receiver<Event>,
    /// Prompts of each decoding.
    pub decoded_prompts: Arc<Mutex<Vec<Vec<Prompt>>>>,
}

pub fn bench(settings: Settings) -> Bench {
    bench_with(FakeDecoder::default(), settings)
}

pub fn bench_with(decoder: FakeDecoder, settings: Settings) -> Bench {
    let decoded_prompts = Arc::clone(&decoder.prompts);
    bench_of(decoder, decoded_prompts, settings)
}

pub fn bench_of(
    decoder: impl Decode + 'static,
    decoded_prompts: Arc<Mutex<Vec<Vec<Prompt>>>>,
    settings: Settings,
) -> Bench {
    let (encoder, gate) = gated_encoder();
    let (sender, events) = channel();
    let sender = Mutex::new(sender);
    let sink: EventSink = Box::new(move |event| {
        let _ = sender.lock().unwrap().send(event);
    });
    let engine = Engine::start(Turns::shared(encoder), Turns::shared(decoder), settings, sink).unwrap();
    Bench { engine, gate, events, decoded_prompts }
}

impl Bench {
    /// Encodes a frame and waits until it is kept.
    pub fn encode(&self, sec: i32) {
        let before = self.engine.metrics().frames_encoded;
        self.engine.push_frame(frame(sec));
        self.gate.open(1);
        until(|| self.engine.metrics().frames_encoded > before);
    }

    pub fn click(&self, at: FrameRef, x: f32, y: f32, persistence: Persistence) {
        self.engine
            .interact(Interaction::Click { at, point: Point::foreground(x, y), mode: ClickMode::Point, persistence })
            .unwrap();
    }

    /// Returns the next result that answers a prompt.
    pub fn result(&self) -> FrameResult {
        loop {
            match self.events.recv_timeout(PATIENCE).expect("a result") {
                Event::Result(r) if r.prompted => return r,
                Event::Result(_) | Event::Tracking { .. } | Event::Note(_) => {}
                Event::Refused(refusal) => panic!("refused: {refusal:?}"),
            }
        }
    }

    pub fn refusal(&self) -> Refusal {
        loop {
            match self.events.recv_timeout(PATIENCE).expect("a refusal") {
                Event::Refused(refusal) => return refusal,
                Event::Result(r) => assert!(!r.prompted || r.objects.is_empty(), "a result instead of a refusal"),
                Event::Tracking { .. } | Event::Note(_) => {}
            }
        }
    }
}

/// Waits for a reply. A test whose reply is lost fails after [`PATIENCE`].
pub fn wait_for<T>(mut receiver: oneshot::Receiver<T>) -> T {
    let mut reply = None;
    until(|| {
        reply = receiver.try_recv().inspect_err(|e| assert_eq!(*e, TryRecvError::Empty, "no reply")).ok();
        reply.is_some()
    });
    reply.unwrap()
}

pub fn until(mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < PATIENCE, "the condition did not become true");
        std::thread::yield_now();
    }
}

/// Returns a receiver of events for an engine, and its other end.
pub fn sink() -> (EventSink, Receiver<Event>) {
    let (sender, events) = channel();
    let sender = Mutex::new(sender);
    (Box::new(move |event| drop(sender.lock().unwrap().send(event))), events)
}

pub fn patient() -> Settings {
    Settings { prompt_timeout: PATIENCE, ..Settings::default() }
}
