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

mod batch;
#[cfg(test)]
mod batch_tests;
mod clock;
mod command;
mod current;
#[cfg(test)]
mod current_tests;
mod decode;
mod demand;
pub mod detected;
mod encode;
mod feedback;
mod follow;
#[cfg(test)]
mod follow_tests;
mod frame;
mod history;
mod interact;
#[cfg(test)]
mod interact_tests;
pub mod kept;
mod metrics;
mod objects;
#[cfg(test)]
mod order_tests;
mod panics;
#[cfg(test)]
mod panics_tests;
#[cfg(test)]
mod pressure_tests;
mod queue;
mod resolve;
mod results;
mod schedule;
mod session;
#[cfg(test)]
mod sharing_tests;
mod state;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use image::RgbImage;

pub use command::{
    ClickMode, DetectedBox, Detections, Event, FrameRef, FrameResult, Interaction, Later, ObjectPrompt, ObjectResult,
    Operation, Persistence, Refusal, RefusalKind, Segment, SegmentOn, Source, StageMs,
};
pub use demand::EncodeMode;
pub use follow::{NO_MEMORY, TrackSettings};
pub use frame::{Frame, FramePixels, Header, Stamp};
pub use kept::KeepLimits;
pub use metrics::{Metrics, Percentiles, Stage, Usage};
pub use panics::DEFECT;
pub use session::{Session, Turns};

use crate::model::network::Network;
use crate::model::{Candidates, DecodeOptions, Decodes, Embedding, ImageEncoder, MaskDecoder};
use clock::Clock;
use state::{Batch, Shared};

/// Runs the image encoder. A trait, so that tests can put a fake in its place.
pub trait Encode: Send {
    /// # Errors
    /// What the runtime says when it fails.
    fn encode(&mut self, image: &RgbImage) -> Result<Embedding, String>;
}

/// Runs the mask decoder.
pub trait Decode: Send {
    /// # Errors
    /// What the runtime says when it fails.
    fn decode(
        &mut self,
        embedding: &Embedding,
        prompts: &[crate::prompt::Prompt],
        options: &DecodeOptions,
    ) -> Result<Decodes, String>;
    /// Side of the square of low-resolution logits.
    fn low_res_side(&self) -> usize;
    /// Logits above this are inside.
    fn mask_threshold(&self) -> f32;
    /// The model's memory, where it has one.
    fn network(&mut self) -> Option<&mut dyn Network> {
        None
    }
}

impl Encode for ImageEncoder {
    fn encode(&mut self, image: &RgbImage) -> Result<Embedding, String> {
        ImageEncoder::encode(self, image).map_err(|e| e.to_string())
    }
}

impl Decode for MaskDecoder {
    fn decode(
        &mut self,
        embedding: &Embedding,
        prompts: &[crate::prompt::Prompt],
        options: &DecodeOptions,
    ) -> Result<Decodes, String> {
        MaskDecoder::decode(self, embedding, prompts, options).map_err(|e| e.to_string())
    }

    fn low_res_side(&self) -> usize {
        MaskDecoder::low_res_side(self)
    }

    fn mask_threshold(&self) -> f32 {
        MaskDecoder::mask_threshold(self)
    }

    fn network(&mut self) -> Option<&mut dyn Network> {
        MaskDecoder::network(self)
    }
}

/// What can be changed while the engine runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Topic that the camera publishes on, for messages.
    pub image_topic: String,
    pub keep: KeepLimits,
    /// Which frames are encoded before a prompt asks for them.
    pub encode: EncodeMode,
    /// How long after a prompt [`EncodeMode::Auto`] encodes every frame.
    pub encode_linger: Duration,
    /// How long a prompt waits for a frame that has not come yet.
    pub prompt_timeout: Duration,
    /// Which of the model's candidates is the answer.
    pub candidates: Candidates,
    /// Offset of the stability score, in logits.
    pub stability_offset: f32,
    /// Without memory a tracked object below this predicted IoU is lost.
    pub track_min_iou: f32,
    /// Without memory a tracked object whose area changes by more than this factor between two frames is lost.
    pub track_max_area_jump: f32,
    /// How objects are followed by a model with memory.
    pub track: TrackSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            image_topic: "image".into(),
            keep: KeepLimits::default(),
            encode: EncodeMode::default(),
            encode_linger: Duration::from_secs(10),
            prompt_timeout: Duration::from_secs(1),
            candidates: Candidates::Auto,
            stability_offset: 1.0,
            track_min_iou: 0.5,
            track_max_area_jump: 3.0,
            track: TrackSettings::default(),
        }
    }
}

/// Where results go. Called from the engine's threads; while it blocks, the decoder waits (that is the back-pressure:
/// newer frames replace each other meanwhile).
pub type EventSink = Box<dyn Fn(Event) + Send + Sync>;

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
        engine.threads.push(spawn("encoder", Box::new(move || encode::run(&s, &encoder, &e, &runtime)))?);
        engine.threads.push(spawn("resolver", Box::new(move || resolve::run(&resolving, &refusals)))?);
        engine.threads.push(spawn("decoder", Box::new(move || decode::run(&shared, &decoder, &events)))?);
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
