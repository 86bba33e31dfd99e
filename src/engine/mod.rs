//! The threads between a camera and its masks: encode once, prompt many, by stamp.
//!
//! * Two threads, one for each ONNX session: a click on a kept frame does not wait for the frame on the encoder. A third
//!   thread resolves clicks in metres. A fourth one segments everything, in turns that prompts and frames leave it.
//! * Several engines, one for each camera, share the two sessions and take turns, first come, first served ([`Session`]).
//! * The newest frame wins: [`Engine::push_frame`] replaces a frame that the encoder has not started on.
//! * Encoded frames are kept for a while by stamp ([`kept`]), and so are some images that were passed over: a prompt is
//!   decoded on its own frame, and the results carry the header of that frame.
//! * No request starves: `state/schedule.rs` orders the work of the decoder, `state/encode_jobs.rs` the jobs of the encoder.
//! * Memory is bounded whatever the camera, the detectors or the users do: slots, queues, frames and objects have limits,
//!   and an input above a limit is refused and counted ([`Metrics`], [`Usage`]).
//! * A panic loses the frame or the prompt that it came from. It is logged and counted.
//!
//! ```text
//! request ──> state ──> encoder ──> kept ──> worker ──> result
//!                ├────> resolver (clicks in metres)
//!                └────> generator (everything)
//! ```
//!
//! * `request`, `generation`, `result`, `refusal`: input, output, and why an input is refused.
//! * `frame`, [`kept`]: frames of the camera, before and after encoding.
//! * `session`: the image encoder and the mask decoder, shared by several engines.
//! * `state`: state that the threads share.
//! * `objects`: the objects that prompts point at; `persistence`: how long they live.
//! * `encoder`, `resolver`, `worker`, `generator`: the threads.
//! * `search`: frames that the owner searches itself, for phrases.
//! * `settings`, `metrics`, `clock`, `panics`: what all of them use.
//! * [`detections`]: filters for boxes of detectors.

mod clock;
pub mod detections;
mod encoder;
mod frame;
mod generation;
mod generator;
pub mod kept;
mod metrics;
mod objects;
mod panics;
mod persistence;
mod refusal;
mod request;
mod resolver;
mod result;
mod search;
mod session;
mod settings;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

pub use frame::{Frame, FramePixels, Header, Stamp};
pub use generation::{GenerationClient, GenerationEnd, GenerationRequest, GenerationResult};
pub use metrics::{GenerationCounts, Metrics, Percentiles, Stage, TextCounts, Usage};
pub use panics::DEFECT;
pub use persistence::Persistence;
pub use refusal::{Refusal, RefusalKind};
pub use request::{
    Action, Answer, CandidateMask, ClickMode, DeferredPrompt, DetectedBox, Detections, FrameRef, Interaction,
    ObjectPrompt, Operation, OperatorRequest, Segment, SegmentOn,
};
pub use result::{Event, EventSink, FrameResult, ObjectResult, ResultSource, StageMs};
pub use session::{Decode, Encode, Session, Turns};
pub use settings::{
    EncodeMode, EverythingSettings, GenerationSettings, KeepLimits, MaskNms, NO_MEMORY, Settings, TrackSettings,
    WhenBusy,
};

use clock::Clock;
use state::{ClientRequest, Query, SharedState};

/// A running engine. Dropping it stops the threads and waits for them, including a running session.
pub struct Engine {
    shared: Arc<SharedState>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// The operating system cannot start a thread.
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
        let shared = Arc::new(SharedState::new(settings, clock));
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let events = Arc::new(events);
        let mut engine = Engine { shared: Arc::clone(&shared), threads: Vec::new() };
        let (s, e) = (Arc::clone(&shared), Arc::clone(&events));
        let (resolving, refusals) = (Arc::clone(&shared), Arc::clone(&events));
        let spawn =
            |name: &str, run: Box<dyn FnOnce() + Send>| std::thread::Builder::new().name(name.into()).spawn(run);
        engine.threads.push(spawn("encoder", Box::new(move || encoder::run(&s, &encoder, &e, &runtime)))?);
        engine.threads.push(spawn("resolver", Box::new(move || resolver::run(&resolving, &refusals)))?);
        let (s, d, e) = (Arc::clone(&shared), Arc::clone(&decoder), Arc::clone(&events));
        engine.threads.push(spawn("generator", Box::new(move || generator::run(&s, &d, &e)))?);
        engine.threads.push(spawn("decoder", Box::new(move || worker::run(&shared, &decoder, &events)))?);
        Ok(engine)
    }

    /// Hands over a frame of the camera. It replaces a frame that the encoder has not started on, unless it is older.
    pub fn push_frame(&self, frame: Frame) {
        self.shared.lock().push_frame(frame);
        self.shared.encode.notify_all();
        self.shared.newer.notify_one();
    }

    /// Queues a prompt of a person or a program. Prompts are processed in order.
    ///
    /// # Errors
    /// Too many prompts are waiting. The refusal is counted.
    pub fn interact(&self, interaction: Interaction) -> Result<(), Refusal> {
        let mut state = self.shared.lock();
        let queued = state.queue_interaction(interaction);
        if let Err(refusal) = &queued {
            state.metrics.refuse(refusal.kind);
        }
        drop(state);
        self.shared.wake_all();
        queued
    }

    /// Queues the boxes of a detector.
    ///
    /// # Errors
    /// Too many messages are waiting. The refusal is counted.
    pub fn detections(&self, detections: Detections) -> Result<(), Refusal> {
        self.queue_detections(Query::Detections(detections))
    }

    fn queue_detections(&self, detections: Query) -> Result<(), Refusal> {
        let mut state = self.shared.lock();
        let queued = state.queue_query(detections).map_err(|(_, refusal)| refusal);
        if let Err(refusal) = &queued {
            state.metrics.refuse(refusal.kind);
        }
        drop(state);
        self.shared.wake_all();
        queued
    }

    /// Queues a `segment` request. The result or a refusal is sent through `segment.reply`.
    pub fn segment(&self, segment: Segment) {
        let mut state = self.shared.lock();
        state.demand.last_prompt = Some(state.clock.now());
        let Segment { on, objects, all_candidates, reply } = segment;
        let at = match &on {
            SegmentOn::Image(frame) => FrameRef::At(frame.header.stamp),
            SegmentOn::Frame(at) => *at,
        };
        let segment = Segment { on: SegmentOn::Frame(at), objects, all_candidates, reply };
        state.queue_request(on, ClientRequest::Segment(Box::new(segment)));
        drop(state);
        self.shared.wake_all();
    }

    /// Queues a request for the masks of everything. The result, or why there is none, is sent through `client.reply`.
    pub fn segment_everything(&self, request: GenerationRequest) {
        self.shared.lock().queue_generation(request);
        self.shared.wake_all();
    }

    /// Counts frames that the middleware lost; `lost` may be zero.
    pub fn count_lost_frames(&self, lost: u64) {
        let lost_before = &mut self.shared.lock().metrics.frames_lost;
        *lost_before = Some(lost_before.unwrap_or_default() + lost);
    }

    /// Counts an input that was refused before it reached the engine.
    pub fn count_refusal(&self, kind: RefusalKind) {
        self.shared.lock().metrics.refuse(kind);
    }

    /// Counts boxes of a detector that a filter removed.
    pub fn count_filtered(&self, boxes: usize) {
        self.shared.lock().metrics.detections_filtered += boxes as u64;
    }

    /// Changes the settings.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.lock().settings);
        // The change may make frames needed.
        self.shared.wake_all();
    }

    /// Returns the settings.
    pub fn settings(&self) -> Settings {
        self.shared.lock().settings.clone()
    }

    /// Sets whether an output has a subscriber, for [`EncodeMode::Auto`].
    pub fn set_listeners(&self, has_subscribers: bool) {
        let mut state = self.shared.lock();
        if std::mem::replace(&mut state.demand.has_subscribers, has_subscribers) != has_subscribers {
            drop(state);
            self.shared.encode.notify_all();
        }
    }

    /// Sets whether the results of the next decodings have the certain parts of their masks ([`ObjectResult::certain`]).
    pub fn set_certain_masks(&self, needed: bool) {
        self.shared.lock().demand.needs_certain_masks = needed;
    }

    /// Runs a closure of the owner that may panic. Returns `None` after a panic, which is logged and counted.
    pub fn guard<T>(&self, activity: &str, run: impl FnOnce() -> T) -> Option<T> {
        let caught = self.shared.catch(activity, run);
        caught.inspect_err(|message| tracing::error!("{message}; this input is lost, the node continues")).ok()
    }

    /// Records the duration of a stage that the engine's owner runs, in milliseconds.
    pub fn record(&self, stage: Stage, ms: f32) {
        self.shared.lock().metrics.record(stage, ms);
    }

    /// Returns the counters and latencies.
    pub fn metrics(&self) -> Metrics {
        self.shared.lock().metrics.clone()
    }

    /// Returns when the image of that stamp arrived, if the encoded frame is kept.
    pub fn arrival(&self, stamp: Stamp) -> Option<Instant> {
        self.shared.lock().kept.at(stamp).map(|frame| frame.arrived)
    }

    /// Returns the current memory and queues.
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
            // The panic of a thread is already logged.
            let _ = thread.join();
        }
    }
}
