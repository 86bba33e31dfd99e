//! Assembly of one camera: its topics and services when the node starts, its engine and the thread that publishes results
//! when the node is activated.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{debug_span, info, warn};

use super::config::{Config, ImageTransport, Parameters};
use super::depth::{self, DepthOutputs, DepthQueue};
use super::error::NodeError;
use super::lock::lock;
use super::outputs::{ClassOutputs, ImagePlaneOutput, Outputs, Picture, has_masks};
use super::process::is_finished_within;
use super::refusal_log::RefusalLog;
use super::ros::topics::Topics;
use super::slot::{ActiveCamera, CameraSlot, Publishers, SharedModel};
use super::text::TextControl;
use super::{everything, inputs, services, text};
use crate::camera::Transforms;
use crate::engine::{Engine, Event, FrameResult, Refusal, RefusalKind, Stage};
use crate::native::received;
use crate::pointing::Pointing;

/// Length of the queue of results that wait to be published. While it is full the decoder waits, and newer frames replace
/// older ones.
const RESULT_QUEUE: usize = 4;

/// Makes the topics and services of a camera. `autostart`: the node will activate itself.
///
/// # Errors
/// The middleware refuses a topic or a service.
pub fn create(topics: &mut Topics, name: &str, autostart: bool) -> Result<Arc<CameraSlot>, NodeError> {
    topics.set_camera(name);
    let publishers = Publishers {
        outputs: Outputs::new(topics)?,
        image_plane: ImagePlaneOutput::new(topics)?,
        classes: ClassOutputs::new(topics)?,
    };
    let image_topics = [topics.resolve("image"), topics.resolve(&topics.derived("image", "/compressed"))];
    image_topics.iter().for_each(|topic| received::watch(topic));
    let info_topic = topics.resolve("camera_info");
    let topics_of_camera = (info_topic, topics.resolve("depth"));
    let publishers = (publishers, DepthOutputs::new(topics)?);
    let slot = Arc::new(CameraSlot::new(name, image_topics, topics_of_camera, publishers, autostart));
    services::serve_prompts(topics, &slot)?;
    services::serve_clouds(topics, &slot)?;
    everything::serve(topics, &slot)?;
    text::serve(topics, &slot)?;
    inputs::subscribe(topics, &slot)?;
    Ok(slot)
}

/// A running camera: its engine, and the thread that publishes results.
pub struct RunningCamera {
    pub active: Arc<ActiveCamera>,
    publisher: JoinHandle<()>,
    depth: JoinHandle<()>,
    /// `None` without a text model.
    text: Option<JoinHandle<()>>,
}

impl RunningCamera {
    /// Waits at most `limit` for the threads of an engine that was asked to stop, and returns whether they ended.
    pub fn is_finished_within(&self, limit: Duration) -> bool {
        let since = Instant::now();
        is_finished_within(&self.publisher, limit)
            && is_finished_within(&self.depth, limit.saturating_sub(since.elapsed()))
            && self.text.as_ref().is_none_or(|text| is_finished_within(text, limit.saturating_sub(since.elapsed())))
    }

    /// Waits for the threads of an engine that was asked to stop.
    pub fn finish(self) {
        // The threads of the engine end first, because they hold the sender of the results. A panic is in the log already.
        let _ = self.publisher.join();
        // The publisher stopped these.
        let _ = self.depth.join();
        let _ = self.text.map(JoinHandle::join);
    }
}

/// Starts the engine of a camera, and the thread that publishes its results.
///
/// # Errors
/// The system starts no thread.
pub fn start(
    slot: &CameraSlot,
    model: &Arc<SharedModel>,
    image_transport: ImageTransport,
    parameters: &Arc<Mutex<Parameters>>,
    transforms: &Arc<Mutex<Transforms>>,
) -> Result<RunningCamera, NodeError> {
    let camera = &slot.camera;
    let [raw, compressed] = &slot.image_topics;
    let log_prefix = if camera.is_empty() { String::new() } else { format!("{camera}: ") };
    let (sender, results) = sync_channel::<Event>(RESULT_QUEUE);
    let sink = Box::new(move |event| {
        // Fails only after the publishing thread ended, when the node stops.
        let _ = sender.send(event);
    });
    let image_topic = match image_transport {
        ImageTransport::Raw => raw,
        ImageTransport::Compressed => compressed,
    };
    if let Some(advice) = compressed_remap_advice(raw, compressed, image_transport) {
        warn!("{log_prefix}{advice}");
    }
    let settings = lock(parameters).config().engine_settings(image_topic);
    let engine = Engine::start(Arc::clone(&model.encoder), Arc::clone(&model.decoder), settings, sink)?;
    let active = Arc::new(ActiveCamera {
        camera: camera.clone(),
        engine,
        refusals: RefusalLog::new(log_prefix.clone()),
        pointing: Arc::new(Pointing::new(Arc::clone(transforms), &slot.info_topic)),
        depth: DepthQueue::new(&slot.depth_topic),
        text: TextControl::default(),
        model: Arc::clone(model),
        image_topic: image_topic.clone(),
        parameters: Arc::clone(parameters),
    });
    if let Err(e) = lock(&slot.publishers).classes.announce(&active.config().classes) {
        warn!("{log_prefix}{e}");
    }
    let (camera, outputs, prefix) = (Arc::clone(&active), Arc::clone(&slot.depth_outputs), log_prefix.clone());
    let depth =
        std::thread::Builder::new().name("depth".into()).spawn(move || depth::run(&camera, &outputs, &prefix))?;
    let text = start_text(&active, &log_prefix)?;
    let (camera, publishers, console) = (Arc::clone(&active), Arc::clone(&slot.publishers), Arc::clone(&slot.console));
    let publisher = std::thread::Builder::new().name("publisher".into()).spawn(move || {
        let thread = format!("{log_prefix}the publisher");
        while let Ok(event) = results.recv() {
            // Before the topics: a person waits for the masks.
            console.event(&event, &camera.engine);
            camera.engine.guard(&thread, || publish(&camera, &log_prefix, &mut lock(&publishers), event));
        }
        camera.depth.stop();
        camera.text.stop();
    })?;
    Ok(RunningCamera { active, publisher, depth, text })
}

/// Starts the thread that searches for phrases, if there is a text model.
fn start_text(active: &Arc<ActiveCamera>, log_prefix: &str) -> Result<Option<JoinHandle<()>>, NodeError> {
    if active.model.text.is_none() {
        return Ok(None);
    }
    let (camera, log_prefix) = (Arc::clone(active), log_prefix.to_owned());
    let thread = std::thread::Builder::new().name("text".into()).spawn(move || {
        let Some(model) = &camera.model.text else { return };
        text::run(&text::TextCamera {
            engine: &camera.engine,
            control: &camera.text,
            model,
            config: &|| camera.config().text.clone(),
            warn: &|refusal| camera.refusals.warn("text", refusal),
            log_prefix: &log_prefix,
        });
    })?;
    Ok(Some(thread))
}

/// Publishes a result, or logs another event.
fn publish(camera: &ActiveCamera, log_prefix: &str, publishers: &mut Publishers, event: Event) {
    match event {
        Event::Result(result) => {
            let _span = debug_span!("publish", stamp = %result.header.stamp).entered();
            let since = Instant::now();
            let config = camera.config();
            let rectified = config.is_rectified(&camera.image_topic);
            let mut picture = Picture::default();
            if has_masks(&result, config.outputs) {
                // Before the masks go out: who sees them may ask for their clouds at once.
                push_to_depth(camera, &result, &config);
            }
            let outputs = publishers.outputs.publish(&result, &camera.model.name, config.outputs, &mut picture);
            let refuse = |refusal: Refusal| {
                camera.engine.count_refusal(refusal.kind);
                camera.refusals.warn("~/classes", &refusal);
            };
            let classes = match has_masks(&result, config.outputs) {
                true => {
                    let score = config.outputs.detections_score;
                    publishers.classes.publish(&result, (&config.classes, score), refuse)
                }
                false => Ok(()),
            };
            let image_plane = publishers.image_plane.publish(
                &camera.pointing,
                (config.image_plane, rectified),
                &result,
                &mut picture,
            );
            for e in [outputs, classes, image_plane].into_iter().filter_map(Result::err) {
                warn!("{log_prefix}{e}");
            }
            camera.engine.record(Stage::Publish, since.elapsed().as_secs_f32() * 1e3);
        }
        Event::Refused(refusal) => camera.refusals.warn("input", &refusal),
        Event::Tracking { id, lost: true, reason } => warn!("{log_prefix}object {id} is lost: {reason}"),
        Event::Tracking { id, lost: false, .. } => info!("{log_prefix}object {id} is found again"),
        Event::Note(note) => info!("{log_prefix}{note}"),
    }
}

/// Leaves a result for the depth thread.
fn push_to_depth(camera: &ActiveCamera, result: &FrameResult, config: &Config) {
    if !camera.depth.push_result(result, config.depth.timeout) {
        let message = "the depth thread is behind: an older result was dropped, its objects have no position in metres";
        let refusal = Refusal::new(RefusalKind::QueueFull, message);
        camera.engine.count_refusal(refusal.kind);
        camera.refusals.warn("depth", &refusal);
    }
}

/// Returns advice on `image` that was remapped to a topic of compressed images itself.
fn compressed_remap_advice(raw: &str, compressed: &str, transport: ImageTransport) -> Option<String> {
    let base = raw.strip_suffix("/compressed")?;
    if transport == ImageTransport::Compressed && compressed != format!("{raw}/compressed") {
        // `image/compressed` is remapped itself.
        return None;
    }
    let (parameter, subscribed) = match transport {
        ImageTransport::Raw => ("raw", raw),
        ImageTransport::Compressed => ("compressed", compressed),
    };
    Some(format!(
        "'image' is remapped to the compressed topic '{raw}', and with image_transport '{parameter}' the node listens to \
         '{subscribed}': remap 'image' to '{base}' and set image_transport to 'compressed'"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_remapped_to_its_compressed_topic_gets_advice() {
        let advice = |raw: &str, compressed: &str, transport| compressed_remap_advice(raw, compressed, transport);
        assert_eq!(advice("/cam/image", "/cam/image/compressed", ImageTransport::Raw), None);
        assert_eq!(advice("/cam/image", "/cam/image/compressed", ImageTransport::Compressed), None);
        assert_eq!(
            advice("/cam/image/compressed", "/jpeg", ImageTransport::Compressed),
            None,
            "image/compressed is remapped itself"
        );
        for transport in [ImageTransport::Raw, ImageTransport::Compressed] {
            let text = advice("/cam/image/compressed", "/cam/image/compressed/compressed", transport).unwrap();
            assert!(text.contains("remap 'image' to '/cam/image' and set image_transport to 'compressed'"), "{text}");
        }
    }
}
