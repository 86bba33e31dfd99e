//! The encoder's thread: one frame at a time, the newest of the camera or one that a prompt waits for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tracing::debug_span;

use super::command::{Event, Refusal, RefusalKind};
use super::frame::Frame;
use super::kept::KeptFrame;
use super::state::{Batch, EncodeJob, Queued, Shared};
use super::{Encode, EventSink, Session};

pub(super) fn run(shared: &Shared, encoder: &Session<dyn Encode>, events: &EventSink) {
    while wait(shared) {
        // The frame is chosen when it is this engine's turn: what came while another one encoded is newer.
        let mut encoder = encoder.blocking_lock();
        let Some(job) = start_job(shared) else { continue };
        let (frame, since) = match &job {
            EncodeJob::Newest(f, since) | EncodeJob::Wanted(f, since) => (f.as_ref(), *since),
            EncodeJob::Own(f, _, since) => (f, *since),
        };
        let encoded = encode(&mut *encoder, frame, since);
        drop(encoder);
        let mut state = shared.lock();
        state.encoding = None;
        match (encoded, job) {
            (Ok(kept), EncodeJob::Own(_, segment, since)) => {
                let item = Batch::OnOwnImage(Arc::new(kept), segment);
                state.batches.push_back(Queued { item, since });
            }
            (Err(refusal), EncodeJob::Own(_, segment, _)) => {
                state.metrics.refuse(refusal.kind);
                // Whoever asked may be gone by now.
                let _ = segment.reply.send(Err(refusal));
            }
            (Ok(kept), job) => {
                let kept = Arc::new(kept);
                let limits = state.settings.keep;
                state.metrics.frames_encoded += 1;
                if matches!(job, EncodeJob::Newest(..)) {
                    state.fresh = Some(Arc::clone(&kept));
                    state.kept.insert(kept, &limits);
                } else {
                    state.kept.insert_older(kept, &limits);
                }
            }
            (Err(refusal), _) => {
                state.metrics.refuse(refusal.kind);
                drop(state);
                events(Event::Refused(refusal));
            }
        }
        shared.decode.notify_all();
    }
}

/// Sleeps until there is something to encode; false when the engine stops.
fn wait(shared: &Shared) -> bool {
    let mut state = shared.lock();
    while !state.stop && !state.has_encode_job() {
        state = shared.encode.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
    }
    !state.stop
}

/// `None` when the engine was stopped while it waited for its turn.
fn start_job(shared: &Shared) -> Option<EncodeJob> {
    let mut state = shared.lock();
    if state.stop {
        return None;
    }
    let job = state.next_encode_job()?;
    state.encoding = match &job {
        EncodeJob::Newest(f, _) | EncodeJob::Wanted(f, _) => Some(f.header.stamp),
        EncodeJob::Own(..) => None,
    };
    Some(job)
}

fn encode(encoder: &mut dyn Encode, frame: &Frame, since: Instant) -> Result<KeptFrame, Refusal> {
    let _span = debug_span!("encode", stamp = %frame.header.stamp).entered();
    let image = frame.to_rgb().map_err(|e| Refusal::new(RefusalKind::BadImage, e.to_string()))?;
    // A panic in a codec or in the runtime must not take the node down: the frame is lost, the next one may do.
    let embedding = catch_unwind(AssertUnwindSafe(|| encoder.encode(&image)))
        .unwrap_or_else(|_| Err("the image encoder panicked".into()))
        .map_err(|e| Refusal::new(RefusalKind::ModelFailed, e))?;
    let age_ms = since.elapsed().as_secs_f32() * 1e3;
    Ok(KeptFrame { header: frame.header.clone(), image, embedding, age_ms })
}
