//! The loop of the generator's thread.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::debug_span;

use super::masks;
use super::networks::{CropEncoder, Run, TurnDecoder};
use crate::engine::generation::{Generation, GenerationEnd, GenerationResult};
use crate::engine::metrics::Stage;
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::result::{Event, EventSink, FrameResult, ResultSource, StageMs};
use crate::engine::session::{Decode, Session};
use crate::engine::state::{ClientRequest, ReadyGeneration, SharedState};
use crate::everything::{AutomaticMaskGenerator, Error, Progress, SearchError};
use crate::model::{self, GridDefaults};

/// Time between two checks whether the running mode is due.
const RUNNING_MODE_CHECK_PERIOD: Duration = Duration::from_millis(20);

pub fn run(shared: &SharedState, decoder: &Session<dyn Decode>, events: &EventSink) {
    let (low_res_side, mask_threshold, (bytes_per_prompt, defaults)) = {
        let mut decoder = decoder.session.blocking_lock();
        let grid = decoder.grid_decoder().map(|grid| (grid.bytes_per_prompt(), grid.grid_defaults()));
        (decoder.low_res_side(), decoder.mask_threshold(), grid.unwrap_or_default())
    };
    while let Some(ready) = wait_for_generation(shared) {
        let ReadyGeneration { generation, frame } = ready;
        let outcome = {
            let _span = debug_span!("everything", stamp = %frame.header.stamp).entered();
            let run = Run { shared, generation: &generation, frame: &frame, failure: Mutex::new(None) };
            let (run, decode_ms) = (&run, 0.0);
            let decoder = TurnDecoder { run, decoder, low_res_side, mask_threshold, bytes_per_prompt, decode_ms };
            shared.catch("the generator's thread", || generate(run, decoder, defaults))
        };
        let outcome = outcome.unwrap_or_else(|e| Err(Some(Refusal::new(RefusalKind::InternalError, e))));
        shared.lock().generations.withdraw();
        shared.guard(events, "the generator's thread", || finish(shared, events, generation, outcome));
    }
}

/// Sleeps until a generation can start. Returns `None` when the engine stops.
fn wait_for_generation(shared: &SharedState) -> Option<ReadyGeneration> {
    let mut state = shared.lock();
    loop {
        if state.stop {
            return None;
        }
        state.end_stale_generations();
        if let Some(ready) = state.generations.take_ready() {
            return Some(ready);
        }
        if state.start_running_mode() {
            shared.decode.notify_all();
            shared.encode.notify_all();
        }
        state = if state.settings.everything.period.is_some() {
            shared.generate.wait_timeout(state, RUNNING_MODE_CHECK_PERIOD).unwrap_or_else(PoisonError::into_inner).0
        } else {
            shared.generate.wait(state).unwrap_or_else(PoisonError::into_inner)
        };
    }
}

/// Segments everything in the image or its region.
///
/// # Errors
/// Why there are no masks; `None` if the generation was cancelled or superseded.
fn generate(
    run: &Run<'_>,
    mut decoder: TurnDecoder<'_>,
    defaults: GridDefaults,
) -> Result<GenerationResult, Option<Refusal>> {
    let Run { shared, generation, frame, .. } = *run;
    let since = shared.clock.now();
    let settings = generation.settings.of_generator(defaults, generation.region);
    let generator = AutomaticMaskGenerator::new(settings).map_err(|e| Some(refusal(&e.into())))?;
    let mut progress = |progress: Progress| {
        if let Some(client) = &generation.client {
            client.progress.send_replace(progress);
        }
        if run.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let generated = generator.generate(&mut CropEncoder(run), &mut decoder, &frame.image, &mut progress);
    if run.is_over() {
        return Err(None);
    }
    let masks = match generated {
        Ok(masks) => masks,
        Err(e) => {
            let failure = run.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
            return Err(Some(failure.unwrap_or_else(|| refusal(&e))));
        }
    };
    let most_bytes = shared.lock().settings.keep.bytes;
    let (objects, left_out) = masks::results(masks, &generation.settings, most_bytes);
    let total = shared.clock.ms_since(since);
    let encoded = frame.embedding.timings;
    let ms = StageMs {
        wait: frame.wait_ms,
        convert: frame.convert_ms,
        preprocess: encoded.preprocess_ms as f32,
        encode: encoded.run_ms as f32,
        decode: decoder.decode_ms,
        postprocess: (total - decoder.decode_ms).max(0.0),
        total,
    };
    let result = FrameResult {
        header: frame.header.clone(),
        source: ResultSource::Everything,
        image: Arc::clone(&frame.image),
        objects,
        corner: None,
        current: None,
        prompted: true,
        ms,
    };
    Ok(GenerationResult { result, left_out })
}

/// Counts the outcome of a generation, publishes its masks if they are on a frame of the camera, and answers its client.
fn finish(
    shared: &SharedState,
    events: &EventSink,
    generation: Box<Generation>,
    outcome: Result<GenerationResult, Option<Refusal>>,
) {
    let result = match outcome {
        Ok(result) => result,
        Err(Some(refusal)) => {
            let without_client = shared.lock().refuse_request(ClientRequest::Generation(generation), refusal);
            if let Some(refusal) = without_client {
                shared.refuse(events, refusal);
            }
            return;
        }
        Err(None) => {
            let mut state = shared.lock();
            if !state.stop {
                state.end_stale_generation(generation);
            }
            return;
        }
    };
    {
        let metrics = &mut shared.lock().metrics;
        metrics.generations.finished += 1;
        metrics.generations.masks_left_out += result.left_out as u64;
        metrics.results += 1;
        metrics.masks += result.result.objects.len() as u64;
        metrics.record(Stage::Generation, result.result.ms.total);
    }
    if generation.at.is_some() {
        events(Event::Result(result.result.clone()));
    }
    // The running mode has no client.
    let _ = generation.reply(Ok::<_, GenerationEnd>(result));
}

/// Returns the refusal of a request that the generator refuses.
fn refusal(e: &Error) -> Refusal {
    let kind = match e {
        Error::Settings(_) | Error::Search(SearchError::NoClicks { .. } | SearchError::Box { .. }) => {
            RefusalKind::BadSettings
        }
        Error::Search(SearchError::RegionOutside { .. } | SearchError::RegionSize { .. }) => RefusalKind::OutsideImage,
        Error::TooSmall { .. } => RefusalKind::BadImage,
        Error::Model(model::Error::PromptKind { .. }) => RefusalKind::UnsupportedModel,
        Error::Model(_) | Error::Cancelled => RefusalKind::ModelFailed,
    };
    Refusal::new(kind, e.to_string())
}
