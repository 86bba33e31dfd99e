//! The encoder's thread: one frame at a time, the newest of the camera or one that somebody waits for.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use image::RgbImage;
use tokio::runtime::Runtime;
use tokio::sync::MutexGuard;
use tracing::debug_span;

use super::frame::{Frame, FramePixels, Header};
use super::kept::KeptFrame;
use super::metrics::Stage;
use super::refusal::{Refusal, RefusalKind};
use super::request::Segment;
use super::result::{Event, EventSink};
use super::session::{Encode, Session};
use super::state::{Batch, EncodeJob, Shared};

/// `runtime`: of this thread, to wait for its turn and for a newer frame at the same time.
pub(super) fn run(shared: &Shared, encoder: &Session<dyn Encode>, events: &EventSink, runtime: &Runtime) {
    while wait(shared) {
        shared.guard(events, "the encoder's thread", || turn(shared, encoder, events, runtime));
        let mut state = shared.lock();
        (state.encoding, state.encoding_stamp) = (false, None);
        drop(state);
        shared.decode.notify_all();
        shared.resolve.notify_all();
    }
}

/// Sleeps until there is something to encode; false when the engine stops.
fn wait(shared: &Shared) -> bool {
    let mut state = shared.lock();
    while !state.stop && !state.has_encode_job() {
        state = shared.encode.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    !state.stop
}

/// What becomes of the embedding.
enum Aim {
    Newest,
    Wanted,
    Own(Box<Segment>),
}

/// An image that is ready to be encoded.
struct Job {
    aim: Aim,
    header: Header,
    image: Result<Arc<RgbImage>, Refusal>,
    arrived: Instant,
    convert_ms: f32,
}

fn turn(shared: &Shared, encoder: &Session<dyn Encode>, events: &EventSink, runtime: &Runtime) {
    // The frame is chosen when this engine is next: what came while two others had their turns is newer.
    let next = encoder.next.blocking_lock();
    let Some(mut job) = start_job(shared) else { return };
    let encoded = match &job.image {
        Ok(_) => {
            let mut session = runtime.block_on(my_turn(shared, encoder, &mut job));
            drop(next);
            if shared.is_stopped() {
                return;
            }
            encode(&mut *session, shared, &job)
        }
        Err(refusal) => {
            // No other camera is to wait for whoever is told.
            drop(next);
            Err(refusal.clone())
        }
    };
    finish(shared, events, job, encoded);
}

/// Waits for the session, and reads the pixels of every newer frame meanwhile: that is not to hold up who is next.
async fn my_turn<'a>(
    shared: &Shared,
    encoder: &'a Session<dyn Encode>,
    job: &mut Job,
) -> MutexGuard<'a, dyn Encode + 'static> {
    let mut session = pin!(encoder.session.lock());
    loop {
        tokio::select! {
            biased;
            session = &mut session => {
                // One that came in the moment of the turn.
                take_newer(shared, job);
                return session;
            }
            () = shared.newer.notified() => take_newer(shared, job),
        }
    }
}

/// `None` when there is nothing to do any more, or the engine was stopped while it waited for its turn.
fn start_job(shared: &Shared) -> Option<Job> {
    let mut state = shared.lock();
    if state.stop {
        return None;
    }
    let (job, arrived) = state.next_encode_job()?;
    state.encoding = true;
    let (aim, frame) = match job {
        EncodeJob::Newest(frame) => (Aim::Newest, frame),
        EncodeJob::Wanted(frame) => (Aim::Wanted, frame),
        EncodeJob::Own(frame, segment) => (Aim::Own(segment), frame),
    };
    if !matches!(aim, Aim::Own(_)) {
        state.encoding_stamp = Some(frame.header.stamp);
    }
    drop(state);
    Some(ready(shared, aim, frame, arrived))
}

fn ready(shared: &Shared, aim: Aim, frame: Frame, arrived: Instant) -> Job {
    let _span = debug_span!("convert", stamp = %frame.header.stamp).entered();
    let header = frame.header.clone();
    let start = shared.clock.now();
    let image = shared.catch("reading the image", || frame.into_rgb());
    let image = image.and_then(|image| image.map_err(|e| e.to_string()));
    let image = image.map_err(|e| Refusal::new(RefusalKind::BadImage, e));
    Job { aim, header, image, arrived, convert_ms: shared.clock.ms_since(start) }
}

/// Puts a newer frame of the camera into the place of the one that waits; that one is kept as an image.
fn take_newer(shared: &Shared, job: &mut Job) {
    if !matches!(job.aim, Aim::Newest) {
        return;
    }
    let mut state = shared.lock();
    let Some((frame, arrived)) = state.incoming.take() else { return };
    state.metrics.frames_superseded += 1;
    state.encoding_stamp = Some(frame.header.stamp);
    if let Ok(image) = &job.image {
        let passed_over = Frame { header: job.header.clone(), pixels: FramePixels::Rgb(Arc::clone(image)) };
        let limits = state.settings.keep;
        state.recent.push(passed_over, &limits);
    }
    drop(state);
    *job = ready(shared, Aim::Newest, frame, arrived);
}

fn encode(encoder: &mut dyn Encode, shared: &Shared, job: &Job) -> Result<KeptFrame, Refusal> {
    let image = job.image.clone()?;
    let _span = debug_span!("encode", stamp = %job.header.stamp).entered();
    let wait_ms = shared.clock.ms_since(job.arrived) - job.convert_ms;
    // A panic in the runtime must not take the node down: the frame is lost, the next one may do.
    let embedding = shared.catch("the image encoder", || encoder.encode(&image)).and_then(|encoded| encoded);
    let embedding = embedding.map_err(|e| Refusal::new(RefusalKind::ModelFailed, e))?;
    let number = {
        let mut state = shared.lock();
        state.encoded += 1;
        state.encoded
    };
    Ok(KeptFrame {
        number,
        header: job.header.clone(),
        image,
        embedding,
        arrived: job.arrived,
        encoded: shared.clock.now(),
        wait_ms: wait_ms.max(0.0),
        convert_ms: job.convert_ms,
    })
}

fn finish(shared: &Shared, events: &EventSink, job: Job, encoded: Result<KeptFrame, Refusal>) {
    let mut state = shared.lock();
    match (encoded, job.aim) {
        (Ok(kept), aim) => {
            let kept = Arc::new(kept);
            let timings = kept.embedding.timings;
            state.metrics.record(Stage::ImageWait, kept.wait_ms);
            state.metrics.record(Stage::Convert, kept.convert_ms);
            state.metrics.record(Stage::Preprocess, timings.preprocess_ms as f32);
            state.metrics.record(Stage::Encode, timings.run_ms as f32);
            let limits = state.settings.keep;
            match aim {
                Aim::Newest => {
                    state.metrics.frames_encoded += 1;
                    state.keep_newest(kept);
                }
                Aim::Wanted => {
                    state.metrics.frames_encoded += 1;
                    state.kept.insert_older(kept, &limits);
                }
                Aim::Own(segment) => state.add_batch(Batch::OnOwnImage(kept, segment), job.arrived),
            }
        }
        (Err(refusal), Aim::Own(segment)) => {
            state.metrics.refuse(refusal.kind);
            // Whoever asked may be gone by now.
            let _ = segment.reply.send(Err(refusal));
        }
        (Err(refusal), aim) => {
            state.metrics.refuse(refusal.kind);
            state.remember_refused(job.header.stamp, &refusal.message);
            if matches!(aim, Aim::Newest) {
                state.encoder_failed = Some(shared.clock.now());
            }
            drop(state);
            events(Event::Refused(refusal));
        }
    }
}
