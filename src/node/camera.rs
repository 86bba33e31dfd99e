//! One camera: its engine, its topics and services, and the thread that publishes its results.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{debug_span, error, info, warn};

use super::image_plane::ImagePlaneOutput;
use super::outputs::{Outputs, Picture};
use super::parameters::Parameters;
use super::pointing::{Pointing, is_rectified};
use super::refusals::Refusals;
use super::topics::Topics;
use super::{NodeError, inputs, services};
use crate::camera::Transforms;
use crate::engine::{Decode, Encode, Engine, Event, KeepLimits, Session, Settings, Turns};
use crate::model::{Candidates, Model};
use crate::monitor::ModelFacts;

/// Results that wait to be published. While it is full the decoder waits, and newer frames replace older ones.
const RESULTS: usize = 4;

/// The model that all cameras share.
pub struct SharedModel {
    pub name: String,
    /// For diagnostics.
    pub facts: ModelFacts,
    encoder: Session<dyn Encode>,
    decoder: Session<dyn Decode>,
}

impl SharedModel {
    pub fn new(model: Model) -> Self {
        SharedModel {
            name: model.info.name.clone(),
            facts: ModelFacts::of(&model),
            encoder: Turns::shared(model.encoder),
            decoder: Turns::shared(model.decoder),
        }
    }
}

/// What the inputs, services and outputs of one camera share.
pub struct Shared {
    /// Empty for the only camera of a node.
    pub camera: String,
    pub engine: Engine,
    pub refusals: Refusals,
    pub pointing: Arc<Pointing>,
    pub model: Arc<SharedModel>,
    /// Full name, after remapping.
    pub image_topic: String,
    parameters: Arc<Mutex<Parameters>>,
}

impl Shared {
    pub fn parameters(&self) -> Parameters {
        self.parameters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the images are rectified.
    pub fn is_rectified(&self, parameters: &Parameters) -> bool {
        is_rectified(parameters.text("projection"), &self.image_topic)
    }
}

/// A camera at work.
pub struct Camera {
    pub shared: Arc<Shared>,
    pub publisher: JoinHandle<()>,
}

/// Starts the engine of a camera and makes its topics and services.
///
/// # Errors
/// The middleware refuses a topic or a service; the system has no thread to give.
pub fn start(
    topics: &mut Topics,
    camera: &str,
    model: &Arc<SharedModel>,
    parameters: &Arc<Mutex<Parameters>>,
    transforms: &Arc<Mutex<Transforms>>,
) -> Result<Camera, NodeError> {
    topics.of_camera(camera);
    let label = if camera.is_empty() { String::new() } else { format!("{camera}: ") };
    let (results, publishing) = sync_channel::<Event>(RESULTS);
    let sink = Box::new(move |event| {
        // The publisher is gone while the node stops.
        let _ = results.send(event);
    });
    let settings = settings(&parameters.lock().unwrap_or_else(PoisonError::into_inner));
    let engine = Engine::start(Arc::clone(&model.encoder), Arc::clone(&model.decoder), settings, sink)?;
    let shared = Arc::new(Shared {
        camera: camera.to_owned(),
        engine,
        refusals: Refusals::new(label.clone()),
        pointing: Arc::new(Pointing::new(Arc::clone(transforms))),
        model: Arc::clone(model),
        image_topic: topics.resolve("image"),
        parameters: Arc::clone(parameters),
    });
    let outputs = Outputs::new(topics, model.name.clone())?;
    let mut image_plane = ImagePlaneOutput::new(topics)?;
    services::start(topics, &shared)?;
    inputs::start(topics, &shared)?;
    let s = Arc::clone(&shared);
    let publisher = std::thread::Builder::new().name("publisher".into()).spawn(move || {
        while let Ok(event) = publishing.recv() {
            // A panic while drawing or converting loses this answer, not the ones after it.
            let published = catch_unwind(AssertUnwindSafe(|| publish(&s, &label, &outputs, &mut image_plane, event)));
            if published.is_err() {
                s.engine.count_panic();
                error!("{label}publishing a result panicked; the result is lost");
            }
        }
    })?;
    Ok(Camera { shared, publisher })
}

/// `label`: what a line of the log begins with.
fn publish(shared: &Shared, label: &str, outputs: &Outputs, image_plane: &mut ImagePlaneOutput, event: Event) {
    match event {
        Event::Result(result) => {
            let _span = debug_span!("publish", stamp = %result.header.stamp).entered();
            let since = Instant::now();
            let quality = shared.parameters().integer("overlay_quality").clamp(1, 100) as u8;
            let mut picture = Picture::default();
            let published = outputs.publish(&result, quality, &mut picture);
            let image_plane = image_plane.publish(shared, &result, &mut picture);
            for e in [published, image_plane].into_iter().filter_map(Result::err) {
                warn!("{label}{e}");
            }
            shared.engine.record_publish(since.elapsed().as_secs_f32() * 1e3);
        }
        Event::Refused(refusal) => shared.refusals.say("input", &refusal),
        Event::Tracking { id, lost: true, reason } => warn!("{label}object {id} is lost: {reason}"),
        Event::Tracking { id, lost: false, .. } => info!("{label}object {id} is found again"),
        Event::Note(what) => info!("{label}{what}"),
    }
}

/// The parameters that concern the engine of one camera.
pub fn settings(parameters: &Parameters) -> Settings {
    let cameras = parameters.texts("cameras").len().max(1);
    let count = |name: &str| parameters.integer(name).max(0) as usize;
    Settings {
        keep: KeepLimits {
            frames: count("keep_frames"),
            bytes: count("keep_megabytes") * 1_000_000 / cameras,
            images: count("keep_images"),
        },
        encode_on_demand: parameters.text("encode") == "on_demand",
        prompt_timeout: Duration::from_secs_f64(parameters.float("prompt_timeout").clamp(0.0, 60.0)),
        candidates: match parameters.text("candidates") {
            "single" => Candidates::Single,
            "multi" => Candidates::Multi,
            _ => Candidates::Auto,
        },
        stability_offset: parameters.float("stability_offset") as f32,
        track_min_iou: parameters.float("track_min_iou") as f32,
        track_max_area_jump: parameters.float("track_max_area_jump") as f32,
    }
}
