//! The threads between a camera and its masks: encode once, prompt many, by stamp.
//!
//! * Two threads, one per ONNX session: a click on a kept frame never waits for the frame on the encoder. A third one
//!   resolves clicks in metres (`resolve`).
//! * Several engines, one per camera, share the two sessions: they take turns, first come, first served ([`Session`]).
//! * The newest frame wins: [`Engine::push_frame`] replaces whatever the encoder did not start on yet.
//! * Every encoded frame is kept for a while under its stamp ([`kept`]), and so are a few images that were passed
//!   over: a prompt is decoded on its own frame, and what comes out carries that frame's header.
//! * Nobody starves: who is next on the decoder is said in `schedule`, on the encoder in `state`.
//! * Memory is bounded whatever the camera, the detector or the user does: slots, rings, queues and objects have a
//!   size, and what does not fit is refused, said and counted ([`Metrics`], [`Usage`]).
//! * A panic costs the frame or the prompt that it came from, and is said and counted (`panics`).

mod clock;
pub mod detected;
mod encoder;
mod frame;
pub mod kept;
mod metrics;
mod objects;
mod panics;
mod refusal;
mod request;
mod resolver;
mod result;
mod session;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;

pub use frame::{Frame, FramePixels, Header, Stamp};
pub use metrics::{Metrics, Percentiles, Stage, Usage};
pub use panics::DEFECT;
pub use refusal::{Refusal, RefusalKind};
pub use request::{
    ClickMode, DetectedBox, Detections, FrameRef, Interaction, Later, ObjectPrompt, Operation, Persistence, Segment,
    SegmentOn,
};
pub use result::{Event, EventSink, FrameResult, ObjectResult, Source, StageMs};
pub use session::{Decode, Encode, Session, Turns};
pub use settings::{EncodeMode, KeepLimits, NO_MEMORY, Settings, TrackSettings};

use clock::Clock;
use state::{Batch, Shared};

/// The running engine. Dropping it stops the threads; a session that is running is waited for.
pub struct Engine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn start(
        encoder: Session<dyn Encode>,
        decoder: Session<dyn Decode>,
        settings: Settings,
        events: EventSink,
    ) -> std::io::Result<Self> {
        Engine::start_with(Clock::System, encoder, decoder, settings, events)
    }

    fn start_with(
        clock: Clock,
        encoder: Session<dyn Encode>,
        decoder: Session<dyn Decode>,
        settings: Settings,
        events: EventSink,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(settings, clock));
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let events = Arc::new(events);
        let mut engine = Engine { shared: Arc::clone(&shared), threads: Vec::new() };
        let (s, e) = (Arc::clone(&shared), Arc::clone(&events));
        let (resolving, refusals) = (Arc::clone(&shared), Arc::clone(&events));
        let spawn =
            |name: &str, run: Box<dyn FnOnce() + Send>| std::thread::Builder::new().name(name.into()).spawn(run);
        engine.threads.push(spawn("encoder", Box::new(move || encoder::run(&s, &encoder, &e, &runtime)))?);
        engine.threads.push(spawn("resolver", Box::new(move || resolver::run(&resolving, &refusals)))?);
        engine.threads.push(spawn("decoder", Box::new(move || worker::run(&shared, &decoder, &events)))?);
        Ok(engine)
    }

    /// A frame of the camera. It replaces one that the encoder has not started on, unless it is older.
    pub fn push_frame(&self, frame: Frame) {
        self.shared.lock().take_frame(frame);
        self.shared.encode.notify_all();
        self.shared.newer.notify_one();
    }

    /// A prompt of a person or a program, worked off in order.
    ///
    /// # Errors
    /// Too many are waiting. It is counted.
    pub fn interact(&self, what: Interaction) -> Result<(), Refusal> {
        let mut state = self.shared.lock();
        let queued = state.queue_interaction(what);
        if let Err(refusal) = &queued {
            state.metrics.refuse(refusal.kind);
        }
        drop(state);
        self.shared.wake_all();
        queued
    }

    /// Boxes of a detector.
    ///
    /// # Errors
    /// Too many messages are waiting. It is counted.
    pub fn detections(&self, detections: Detections) -> Result<(), Refusal> {
        let mut state = self.shared.lock();
        let queued = state.queue_batch(Batch::Detections(detections)).map_err(|(_, refusal)| refusal);
        if let Err(refusal) = &queued {
            state.metrics.refuse(refusal.kind);
        }
        drop(state);
        self.shared.wake_all();
        queued
    }

    /// A question with an answer. It is always answered, if only with a refusal, through `segment.reply`.
    pub fn segment(&self, segment: Segment) {
        let mut state = self.shared.lock();
        state.demand.pointed = Some(state.clock.now());
        let Segment { on, objects, all_candidates, reply } = segment;
        let rejected = match on {
            SegmentOn::Image(frame) => {
                let on = SegmentOn::Frame(FrameRef::At(frame.header.stamp));
                let segment = Box::new(Segment { on, objects, all_candidates, reply });
                state.queue_own(frame, segment).err().map(|(segment, refusal)| (segment.reply, refusal))
            }
            on @ SegmentOn::Frame(_) => {
                let segment = Box::new(Segment { on, objects, all_candidates, reply });
                match state.queue_batch(Batch::Segment(segment)) {
                    Err((Batch::Segment(s), refusal)) => Some((s.reply, refusal)),
                    _ => None,
                }
            }
        };
        if let Some((reply, refusal)) = rejected {
            state.metrics.refuse(refusal.kind);
            // Whoever asked may be gone by now.
            let _ = reply.send(Err(refusal));
        }
        drop(state);
        self.shared.wake_all();
    }

    /// Counts frames that the middleware lost on their way here; `lost` may be zero.
    pub fn count_lost_frames(&self, lost: u64) {
        let lost_before = &mut self.shared.lock().metrics.frames_lost;
        *lost_before = Some(lost_before.unwrap_or_default() + lost);
    }

    /// Counts an input that was refused before it came here.
    pub fn count_refusal(&self, kind: RefusalKind) {
        self.shared.lock().metrics.refuse(kind);
    }

    /// Counts boxes of a detector that were not wanted.
    pub fn count_filtered(&self, boxes: usize) {
        self.shared.lock().metrics.detections_filtered += boxes as u64;
    }

    /// Changes what can be changed while the engine runs.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.lock().settings);
        // More frames may be needed now.
        self.shared.wake_all();
    }

    /// Whether somebody subscribes to what the engine computes, for [`EncodeMode::Auto`].
    pub fn set_listeners(&self, has_listeners: bool) {
        let mut state = self.shared.lock();
        if std::mem::replace(&mut state.demand.has_listeners, has_listeners) != has_listeners {
            drop(state);
            self.shared.encode.notify_all();
        }
    }

    /// Does something before or behind the engine that may panic: that is counted and said, and costs this once alone.
    pub fn guard<T>(&self, what: &str, run: impl FnOnce() -> T) -> Option<T> {
        let caught = self.shared.catch(what, run);
        caught.inspect_err(|message| tracing::error!("{message}; what it was at is lost, the rest goes on")).ok()
    }

    /// How long it took to hand a result on, milliseconds.
    pub fn record_publish(&self, ms: f32) {
        self.shared.lock().metrics.record(Stage::Publish, ms);
    }

    pub fn metrics(&self) -> Metrics {
        self.shared.lock().metrics.clone()
    }

    pub fn usage(&self) -> Usage {
        self.shared.lock().usage()
    }

    /// Asks the threads to stop, without waiting for them.
    pub fn stop(&self) {
        self.shared.lock().stop = true;
        self.shared.wake_all();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}
