//! One camera: its topics and services, and while the node is active its engine and the thread that publishes its results.

use std::convert::Infallible;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use r2r::Node;
use tokio::sync::watch;
use tracing::{debug_span, info, warn};

use super::config::values::Parameters;
use super::error::NodeError;
use super::inputs::subscribe as inputs;
use super::lock::lock;
use super::outputs::image_plane::ImagePlaneOutput;
use super::outputs::publishers::{OutputSettings, Outputs, Picture};
use super::process::finished;
use super::refusal_log::Refusals;
use super::ros::topics::{Offer, Topics};
use super::services::segment as services;
use crate::camera::Transforms;
use crate::engine::{Decode, Encode, Engine, Event, KeepLimits, Session, Settings, TrackSettings, Turns};
use crate::model::{Candidates, MEGABYTE, Model};
use crate::monitor::ModelFacts;
use crate::native::received;
use crate::pointing::{Pointing, is_rectified};

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
        lock(&self.parameters).clone()
    }

    /// Whether the images are rectified.
    pub fn is_rectified(&self, parameters: &Parameters) -> bool {
        is_rectified(parameters.text("projection"), &self.image_topic)
    }
}

/// A camera's place in the node, with its topics and services: made once. What works is in it while the node is active.
pub struct Slot {
    /// Empty for the only camera of a node.
    pub camera: String,
    /// Full names, after remapping, of the images that come raw and compressed.
    image_topics: [String; 2],
    /// Full name, after remapping.
    info_topic: String,
    published: Arc<Mutex<Published>>,
    at_work: watch::Sender<AtWork>,
}

/// Whether a camera works.
enum AtWork {
    No,
    /// The node is about to activate itself.
    Soon,
    Yes(Arc<Shared>),
}

struct Published {
    outputs: Outputs,
    image_plane: ImagePlaneOutput,
}

impl Published {
    fn each<E>(&mut self, mut what: impl FnMut(&mut dyn Offer) -> Result<(), E>) -> Result<(), E> {
        self.outputs.each().into_iter().try_for_each(&mut what)?;
        what(&mut self.image_plane.output)
    }
}

impl Slot {
    /// Makes the topics and services of a camera. `soon`: it will be at work without further ado.
    ///
    /// # Errors
    /// The middleware refuses a topic or a service.
    pub fn new(topics: &mut Topics, camera: &str, soon: bool) -> Result<Arc<Self>, NodeError> {
        topics.of_camera(camera);
        let published = Published { outputs: Outputs::new(topics)?, image_plane: ImagePlaneOutput::new(topics)? };
        let image_topics = [topics.resolve("image"), topics.resolve(&topics.derived("image", "/compressed"))];
        image_topics.iter().for_each(|topic| received::watch(topic));
        let slot = Arc::new(Slot {
            camera: camera.to_owned(),
            image_topics,
            info_topic: topics.resolve("camera_info"),
            published: Arc::new(Mutex::new(published)),
            at_work: watch::Sender::new(if soon { AtWork::Soon } else { AtWork::No }),
        });
        services::start(topics, &slot)?;
        inputs::start(topics, &slot)?;
        Ok(slot)
    }

    /// Offers what the camera publishes.
    ///
    /// # Errors
    /// The middleware refuses a topic.
    pub fn offer(&self, node: &mut Node) -> r2r::Result<()> {
        lock(&self.published).each(|output| output.offer(node))
    }

    /// Reports to the engine whether somebody subscribes to an output. Called by the thread that spins the node.
    pub fn report_listeners(&self) {
        let Some(shared) = self.get() else { return };
        let has_listeners = {
            let mut published = match self.published.try_lock() {
                Ok(published) => published,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // The publisher is at work: the next call will do.
                Err(TryLockError::WouldBlock) => return,
            };
            let mut has_listeners = false;
            let look = |output: &mut dyn Offer| -> Result<(), Infallible> {
                has_listeners |= output.has_listeners();
                Ok(())
            };
            let Ok(()) = published.each(look);
            has_listeners
        };
        shared.engine.set_listeners(has_listeners);
    }

    /// Takes it back.
    pub fn withdraw(&self, node: &mut Node) {
        let withdraw = |output: &mut dyn Offer| -> Result<(), Infallible> {
            output.withdraw(node);
            Ok(())
        };
        let Ok(()) = lock(&self.published).each(withdraw);
    }

    /// What works, if the node is active. Not to be held for long: `deactivate` waits for it.
    pub fn get(&self) -> Option<Arc<Shared>> {
        match &*self.at_work.borrow() {
            AtWork::Yes(shared) => Some(Arc::clone(shared)),
            AtWork::No | AtWork::Soon => None,
        }
    }

    /// As [`Slot::get`], but waits for a node that is about to activate itself.
    pub async fn get_soon(&self) -> Option<Arc<Shared>> {
        let mut at_work = self.at_work.subscribe();
        // The sender is `self`, and there.
        let _ = at_work.wait_for(|a| !matches!(a, AtWork::Soon)).await;
        self.get()
    }

    pub fn set(&self, at_work: Option<Arc<Shared>>) {
        self.at_work.send_replace(at_work.map_or(AtWork::No, AtWork::Yes));
    }
}

/// A camera at work.
pub struct Camera {
    pub shared: Arc<Shared>,
    pub publisher: JoinHandle<()>,
}

impl Camera {
    /// Waits for the threads of an engine that was asked to stop, but not for a session that takes its time.
    pub fn is_finished_within(&self, limit: Duration) -> bool {
        finished(&self.publisher, limit)
    }

    /// Waits for the threads of an engine that was asked to stop.
    pub fn finish(self) {
        // Its engine's threads end first: they hold what it receives from. A panic was said by the thread itself.
        let _ = self.publisher.join();
    }
}

/// Starts the engine of a camera.
///
/// # Errors
/// The system has no thread to give.
pub fn start(
    slot: &Slot,
    model: &Arc<SharedModel>,
    image_transport: &str,
    parameters: &Arc<Mutex<Parameters>>,
    transforms: &Arc<Mutex<Transforms>>,
) -> Result<Camera, NodeError> {
    let camera = &slot.camera;
    let [raw, compressed] = &slot.image_topics;
    let label = if camera.is_empty() { String::new() } else { format!("{camera}: ") };
    let (results, publishing) = sync_channel::<Event>(RESULTS);
    let sink = Box::new(move |event| {
        // The publisher is gone while the node stops.
        let _ = results.send(event);
    });
    let image_topic = if image_transport == "compressed" { compressed } else { raw };
    let settings = settings(&lock(parameters), image_topic);
    if let Some(advice) = remapped_to_compressed(raw, compressed, image_transport) {
        warn!("{label}{advice}");
    }
    let engine = Engine::start(Arc::clone(&model.encoder), Arc::clone(&model.decoder), settings, sink)?;
    let shared = Arc::new(Shared {
        camera: camera.clone(),
        engine,
        refusals: Refusals::new(label.clone()),
        pointing: Arc::new(Pointing::new(Arc::clone(transforms), &slot.info_topic)),
        model: Arc::clone(model),
        image_topic: image_topic.clone(),
        parameters: Arc::clone(parameters),
    });
    let (s, published) = (Arc::clone(&shared), Arc::clone(&slot.published));
    let publisher = std::thread::Builder::new().name("publisher".into()).spawn(move || {
        while let Ok(event) = publishing.recv() {
            s.engine.guard(&format!("{label}the publisher"), || publish(&s, &label, &mut lock(&published), event));
        }
    })?;
    Ok(Camera { shared, publisher })
}

/// `label`: what a line of the log begins with.
fn publish(shared: &Shared, label: &str, published: &mut Published, event: Event) {
    match event {
        Event::Result(result) => {
            let _span = debug_span!("publish", stamp = %result.header.stamp).entered();
            let since = Instant::now();
            let settings = OutputSettings::from(&shared.parameters());
            let mut picture = Picture::default();
            let outputs = published.outputs.publish(&result, &shared.model.name, settings, &mut picture);
            let image_plane = published.image_plane.publish(shared, &result, &mut picture);
            for e in [outputs, image_plane].into_iter().filter_map(Result::err) {
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

/// How much one camera keeps.
pub fn keep_limits(parameters: &Parameters) -> KeepLimits {
    let cameras = parameters.texts("cameras").len().max(1);
    let count = |name: &str| parameters.integer(name).max(0) as usize;
    KeepLimits {
        frames: count("keep_frames"),
        bytes: count("keep_megabytes") * MEGABYTE / cameras,
        images: count("keep_images"),
    }
}

/// What to do about `image` that was remapped to a topic of compressed images itself.
fn remapped_to_compressed(raw: &str, compressed: &str, transport: &str) -> Option<String> {
    let base = raw.strip_suffix("/compressed")?;
    if transport == "compressed" && compressed != format!("{raw}/compressed") {
        // `image/compressed` is remapped itself.
        return None;
    }
    let listens = if transport == "compressed" { compressed } else { raw };
    Some(format!(
        "'image' is remapped to the compressed topic '{raw}', and with image_transport '{transport}' the node listens to \
         '{listens}': remap 'image' to '{base}' and set image_transport to 'compressed'"
    ))
}

/// The parameters that concern the engine of one camera.
pub fn settings(parameters: &Parameters, image_topic: &str) -> Settings {
    let count = |name: &str| parameters.integer(name).max(0) as usize;
    Settings {
        image_topic: image_topic.to_owned(),
        keep: keep_limits(parameters),
        encode: parameters.text("encode").parse().unwrap_or_default(),
        encode_linger: Duration::from_secs_f64(parameters.float("encode_linger").clamp(0.0, 86_400.0)),
        prompt_timeout: Duration::from_secs_f64(parameters.float("prompt_timeout").clamp(0.0, 60.0)),
        candidates: match parameters.text("candidates") {
            "single" => Candidates::Single,
            "multi" => Candidates::Multi,
            _ => Candidates::Auto,
        },
        stability_offset: parameters.float("stability_offset") as f32,
        track_min_iou: parameters.float("track_min_iou") as f32,
        track_max_area_jump: parameters.float("track_max_area_jump") as f32,
        track: TrackSettings {
            max_objects: count("track_max_objects"),
            recent: count("track_memories"),
            conditioning: count("track_prompted_frames"),
            fill_holes: count("track_fill_holes"),
            separate: parameters.flag("track_no_overlap"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_remapped_to_its_compressed_topic_is_advised_about() {
        let advice = |raw: &str, compressed: &str, transport: &str| remapped_to_compressed(raw, compressed, transport);
        assert_eq!(advice("/cam/image", "/cam/image/compressed", "raw"), None);
        assert_eq!(advice("/cam/image", "/cam/image/compressed", "compressed"), None);
        assert_eq!(advice("/cam/image/compressed", "/jpeg", "compressed"), None, "image/compressed is remapped itself");
        for transport in ["raw", "compressed"] {
            let said = advice("/cam/image/compressed", "/cam/image/compressed/compressed", transport).unwrap();
            assert!(said.contains("remap 'image' to '/cam/image' and set image_transport to 'compressed'"), "{said}");
        }
    }
}
