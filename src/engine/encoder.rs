//! The encoder's thread: it encodes one image at a time, the camera's newest frame or an image that a request waits for.

use std::pin::pin;
use std::sync::mpsc::SyncSender;
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
use super::result::{Event, EventSink};
use super::session::{Encode, Session};
use super::state::{ClientRequest, EncodeJob, Query, SharedState};
use crate::model::Embedding;

/// Runs the loop of the encoder's thread. `runtime` waits for the session and for a newer frame at the same time.
pub(super) fn run(shared: &SharedState, encoder: &Session<dyn Encode>, events: &EventSink, runtime: &Runtime) {
    while wait_for_job(shared) {
        shared.guard(events, "the encoder's thread", || encode_next(shared, encoder, events, runtime));
        let mut state = shared.lock();
        (state.encoding, state.encoding_stamp) = (false, None);
        drop(state);
        shared.decode.notify_all();
        shared.resolve.notify_all();
    }
}

/// Sleeps until the encoder has a job. Returns false when the engine stops.
fn wait_for_job(shared: &SharedState) -> bool {
    let mut state = shared.lock();
    while !state.stop && !state.has_encode_job() {
        state = shared.encode.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    !state.stop
}

/// Use of the embedding.
enum Destination {
    /// New frame of the camera.
    Newest,
    /// Frame that was passed over, for prompts that carry its stamp.
    Wanted,
    /// Image of a request.
    Request(ClientRequest),
    /// Part of an image, for the generator's thread.
    Crop(SyncSender<Result<Embedding, Refusal>>),
}

/// An image that is converted to RGB, or the reason why it cannot be.
struct PreparedImage {
    destination: Destination,
    header: Header,
    image: Result<Arc<RgbImage>, Refusal>,
    arrived: Instant,
    convert_ms: f32,
}

/// Encodes the next image.
fn encode_next(shared: &SharedState, encoder: &Session<dyn Encode>, events: &EventSink, runtime: &Runtime) {
    // The frame is taken once this engine is next, so that frames which arrive during the turns of other engines replace it.
    let next = encoder.next.blocking_lock();
    let Some(mut prepared) = take_job(shared) else { return };
    let encoded = match &prepared.image {
        Ok(_) => {
            let mut session = runtime.block_on(lock_session(shared, encoder, &mut prepared));
            drop(next);
            if shared.is_stopped() {
                return;
            }
            encode(&mut *session, shared, &prepared)
        }
        Err(refusal) => {
            // The owner is notified without blocking other cameras.
            drop(next);
            Err(refusal.clone())
        }
    };
    store(shared, events, prepared, encoded);
}

/// Waits for the session. Newer frames are converted in the meantime, so that the session does not wait for them.
async fn lock_session<'a>(
    shared: &SharedState,
    encoder: &'a Session<dyn Encode>,
    prepared: &mut PreparedImage,
) -> MutexGuard<'a, dyn Encode + 'static> {
    let mut session = pin!(encoder.session.lock());
    loop {
        tokio::select! {
            biased;
            session = &mut session => {
                // A newer frame may have arrived at the same moment.
                take_newer(shared, prepared);
                return session;
            }
            () = shared.newer.notified() => take_newer(shared, prepared),
        }
    }
}

/// Takes the next job and converts its image. Returns `None` if there is no job any more or the engine stops.
fn take_job(shared: &SharedState) -> Option<PreparedImage> {
    let mut state = shared.lock();
    if state.stop {
        return None;
    }
    let (job, arrived) = state.next_encode_job()?;
    state.encoding = true;
    let (destination, frame) = match job {
        EncodeJob::Newest(frame) => (Destination::Newest, frame),
        EncodeJob::Wanted(frame) => (Destination::Wanted, frame),
        EncodeJob::RequestImage(frame, request) => (Destination::Request(request), frame),
        EncodeJob::Crop(crop) => {
            let frame = Frame { header: crop.header, pixels: FramePixels::Rgb(crop.image) };
            (Destination::Crop(crop.reply), frame)
        }
    };
    if matches!(destination, Destination::Newest | Destination::Wanted) {
        state.encoding_stamp = Some(frame.header.stamp);
    }
    drop(state);
    Some(prepare(shared, destination, frame, arrived))
}

/// Converts the pixels of a frame to RGB.
fn prepare(shared: &SharedState, destination: Destination, frame: Frame, arrived: Instant) -> PreparedImage {
    let _span = debug_span!("convert", stamp = %frame.header.stamp).entered();
    let header = frame.header.clone();
    let start = shared.clock.now();
    let image = shared.catch("reading the image", || frame.into_rgb());
    let image = image.and_then(|image| image.map_err(|e| e.to_string()));
    let image = image.map_err(|e| Refusal::new(RefusalKind::BadImage, e));
    PreparedImage { destination, header, image, arrived, convert_ms: shared.clock.ms_since(start) }
}

/// Replaces the prepared frame with a newer frame of the camera, if any. The replaced frame is kept as an image.
fn take_newer(shared: &SharedState, prepared: &mut PreparedImage) {
    if !matches!(prepared.destination, Destination::Newest) {
        return;
    }
    let mut state = shared.lock();
    let Some((frame, arrived)) = state.incoming.take() else { return };
    state.metrics.frames_superseded += 1;
    state.encoding_stamp = Some(frame.header.stamp);
    if let Ok(image) = &prepared.image {
        let passed_over = Frame { header: prepared.header.clone(), pixels: FramePixels::Rgb(Arc::clone(image)) };
        let limits = state.settings.keep;
        state.recent.push(passed_over, &limits);
    }
    drop(state);
    *prepared = prepare(shared, Destination::Newest, frame, arrived);
}

/// Runs the image encoder on a prepared image.
fn encode(encoder: &mut dyn Encode, shared: &SharedState, prepared: &PreparedImage) -> Result<KeptFrame, Refusal> {
    let image = prepared.image.clone()?;
    let _span = debug_span!("encode", stamp = %prepared.header.stamp).entered();
    let wait_ms = shared.clock.ms_since(prepared.arrived) - prepared.convert_ms;
    // A panic in the runtime loses this frame, not the node.
    let embedding = shared.catch("the image encoder", || encoder.encode(&image)).and_then(|encoded| encoded);
    let embedding = embedding.map_err(|e| Refusal::new(RefusalKind::ModelFailed, e))?;
    let number = {
        let mut state = shared.lock();
        state.encoded += 1;
        state.encoded
    };
    Ok(KeptFrame {
        number,
        header: prepared.header.clone(),
        image,
        embedding,
        arrived: prepared.arrived,
        encoded: shared.clock.now(),
        wait_ms: wait_ms.max(0.0),
        convert_ms: prepared.convert_ms,
    })
}

/// Keeps the encoded frame, or reports why the image was not encoded.
fn store(shared: &SharedState, events: &EventSink, prepared: PreparedImage, encoded: Result<KeptFrame, Refusal>) {
    let mut state = shared.lock();
    match (encoded, prepared.destination) {
        (Ok(kept), destination) => {
            let kept = Arc::new(kept);
            let timings = kept.embedding.timings;
            state.metrics.record(Stage::ImageWait, kept.wait_ms);
            state.metrics.record(Stage::Convert, kept.convert_ms);
            state.metrics.record(Stage::Preprocess, timings.preprocess_ms as f32);
            state.metrics.record(Stage::Encode, timings.run_ms as f32);
            let limits = state.settings.keep;
            match destination {
                Destination::Newest => {
                    state.metrics.frames_encoded += 1;
                    state.keep_newest(kept);
                }
                Destination::Wanted => {
                    state.metrics.frames_encoded += 1;
                    state.kept.insert_older(kept, &limits);
                }
                Destination::Request(request) => state.add_query(Query::EncodedImage(kept, request), prepared.arrived),
                // The generation may have been cancelled.
                Destination::Crop(reply) => drop(reply.send(Ok(kept.embedding.clone()))),
            }
        }
        (Err(refusal), Destination::Request(request)) => {
            // Only requests of clients have images.
            let _ = state.refuse_request(request, refusal);
        }
        // The generation fails with this reason, which is counted then.
        (Err(refusal), Destination::Crop(reply)) => drop(reply.send(Err(refusal))),
        (Err(refusal), destination) => {
            state.metrics.refuse(refusal.kind);
            state.store_refused_image(prepared.header.stamp, &refusal.message);
            if matches!(destination, Destination::Newest) {
                state.encoder_failed = Some(shared.clock.now());
            }
            drop(state);
            events(Event::Refused(refusal));
        }
    }
}
