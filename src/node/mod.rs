//! The ROS 2 node: topics, services and parameters around the [`crate::engine`]. The only place that names r2r.
//!
//! One thread spins r2r; its streams are drained by tasks; one thread publishes what the engine computes. `image` in,
//! prompts in, `~/masks` out: see `docs/interfaces.md` for the whole list.

mod camera;
mod convert;
mod detections;
mod diagnostics;
mod image_plane;
mod inputs;
mod matching;
mod model_options;
mod names;
mod outputs;
pub mod parameter_docs;
mod parameter_table;
mod parameters;
mod pointing;
mod qos;
mod rcl;
mod refusals;
mod rosout;
mod services;
mod topics;
mod transforms;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use r2r::rcl_interfaces::msg::Log;
use r2r::{Context, Node, QosProfile};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use crate::camera::Transforms;
use crate::logging::{Logging, finish_trace};
use crate::model::Model;
use camera::{Camera, Shared, SharedModel, settings};
use diagnostics::Latest;
use parameters::Parameters;
use qos::{Overrides, Profile};
use refusals::Refusals;
use topics::Topics;
use transforms::TransformListener;

/// How long the node waits for its threads after Ctrl-C; a session that still runs then is abandoned.
const STOP_WITHIN: Duration = Duration::from_millis(600);

/// Why the node did not start.
#[derive(Debug, Error)]
pub enum NodeError {
    #[error("ROS 2: {0}")]
    Ros(#[from] r2r::Error),
    #[error("parameters: {0}")]
    Parameters(#[from] parameters::Refused),
    #[error("{0}")]
    Logging(String),
    #[error("metrics_address: {0}")]
    Metrics(String),
    #[error(transparent)]
    Model(#[from] crate::model::Error),
    #[error("starting threads: {0}")]
    Threads(#[from] std::io::Error),
}

/// Runs the node until SIGINT or SIGTERM. ROS arguments (`--ros-args ...`) are read from the command line.
///
/// # Errors
/// The node could not start: ROS, a parameter, the model.
pub fn run(log_level: &str) -> Result<(), NodeError> {
    let (logging, logs) = rosout::start(log_level).map_err(|reason| {
        // There is no log yet to say it in.
        eprintln!("promptseg_node: {reason}");
        NodeError::Logging(reason)
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(node(logging, logs));
    if let Err(e) = &outcome {
        error!("{e}");
    }
    runtime.shutdown_background();
    finish_trace();
    outcome
}

async fn node(logging: Arc<Logging>, logs: Receiver<Log>) -> Result<(), NodeError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let context = Context::create()?;
    let mut node = Node::create(context, "promptseg", "")?;
    let name = node.fully_qualified_name()?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = {
        let stop = Arc::clone(&stop);
        move || stop.load(Ordering::Relaxed)
    };

    let rosout = node.create_publisher("/rosout", rosout::qos())?;
    let (log_name, until) = (name.trim_start_matches('/').replace('/', "."), stopped.clone());
    std::thread::Builder::new().name("rosout".into()).spawn({
        let logging = Arc::clone(&logging);
        move || rosout::publish((&logging, &logs), &rosout, &log_name, until)
    })?;

    let (parameters, overrides) = read_parameters(&node)?;
    set_level(&logging, &parameters);
    if parameters.flag("use_sim_time") {
        let time_source = node.get_time_source();
        time_source.enable_sim_time(&mut node)?;
    }

    let what = parameters.text("model").to_owned();
    info!("{name}: loading model '{what}'");
    let since = Instant::now();
    let (p, w) = (parameters.clone(), what.clone());
    let loading = tokio::task::spawn_blocking(move || load(&p, &w));
    let model = tokio::select! {
        loaded = loading => loaded.map_err(|e| NodeError::Threads(std::io::Error::other(e)))??,
        _ = interrupt.recv() => leave(),
        _ = terminate.recv() => leave(),
    };
    let model_name = model.info.name.clone();
    let (encoder, decoder) = (model.encoder.providers(), model.decoder.providers());
    let took = since.elapsed().as_secs_f32();
    info!("{name}: model '{model_name}' in {took:.1} s; encoder on {}, decoder on {}", encoder.runs(), decoder.runs());
    // A missing provider is missing for both; a variant may be refused for one half alone.
    let decoders = decoder.refused.iter().filter(|refused| refused.precision.is_some());
    for refused in encoder.refused.iter().chain(decoders) {
        info!("{name}: not on {refused}");
    }
    for note in encoder.notes.iter().chain(&decoder.notes) {
        warn!("{name}: {note}");
    }

    let model = Arc::new(SharedModel::new(model));
    let clock = node.get_ros_clock();
    let names = match parameters.texts("cameras") {
        // The only camera of a node needs no name.
        [] => vec![String::new()],
        names => names.to_vec(),
    };
    let parameters = Arc::new(Mutex::new(parameters));
    let sim_clock =
        (parameters.lock().unwrap_or_else(PoisonError::into_inner)).flag("use_sim_time").then(|| Arc::clone(&clock));
    let transforms = Arc::new(Mutex::new(Transforms::new()));
    let mut topics = Topics::new(node, overrides)?;
    let mut cameras = Vec::with_capacity(names.len());
    for camera in &names {
        cameras.push(camera::start(&mut topics, camera, &model, &parameters, &transforms)?);
    }
    topics.of_camera("");
    let events = topics.publisher("/parameter_events", Profile::fixed(QosProfile::parameter_events()))?;
    let engines: Vec<Arc<Shared>> = cameras.iter().map(|c| Arc::clone(&c.shared)).collect();
    services::start_parameters(&mut topics, &name, &parameters, events, move |values| {
        set_level(&logging, values);
        for camera in &engines {
            camera.engine.configure(|current| *current = settings(values));
        }
    })?;
    let diagnostics = topics.publisher("/diagnostics", qos::OUTPUTS)?;
    let engines: Vec<Arc<Shared>> = cameras.iter().map(|c| Arc::clone(&c.shared)).collect();
    let latest = Latest::default();
    diagnostics::serve(parameters.lock().unwrap_or_else(PoisonError::into_inner).text("metrics_address"), &latest)?;
    tokio::spawn(diagnostics::report(engines.clone(), latest, name.clone(), diagnostics, clock));
    let refusals = Refusals::default();
    let mut listener = TransformListener::new(&mut topics, transforms, sim_clock)?;

    parameters.lock().unwrap_or_else(PoisonError::into_inner).declare(topics.declared());
    let mut spinner = topics.finish();
    let until = stopped;
    let spinning = std::thread::Builder::new().name("spin".into()).spawn(move || {
        while !until() {
            spinner.spin_once(Duration::from_millis(50));
            // Transforms belong to all cameras, and so does what is wrong with them.
            listener.take(|topic, refusal| {
                engines.iter().for_each(|camera| camera.engine.count_refusal(refusal.kind));
                refusals.say(topic, &refusal);
            });
        }
    })?;
    info!("{name}: ready");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    info!("{name}: stopping");
    for Camera { shared, .. } in &cameras {
        shared.engine.stop();
    }
    let publishers: Vec<_> = cameras.into_iter().map(|c| c.publisher).collect();
    // First what publishes, then what owns the publishers.
    let since = Instant::now();
    let published = publishers.iter().all(|p| finished(p, since));
    stop.store(true, Ordering::Relaxed);
    if !published || !finished(&spinning, since) {
        leave();
    }
    Ok(())
}

/// Waits for a thread, but not for a session that takes its time.
fn finished(thread: &std::thread::JoinHandle<()>, since: Instant) -> bool {
    while since.elapsed() < STOP_WITHIN && !thread.is_finished() {
        std::thread::sleep(Duration::from_millis(5));
    }
    thread.is_finished()
}

/// Ends the process while a thread is still within a session: its destructors would run beside it.
fn leave() -> ! {
    finish_trace();
    rcl::end_process(0)
}

fn set_level(logging: &Logging, parameters: &Parameters) {
    if let Err(e) = logging.set_level(parameters.text("log_level")) {
        warn!("log_level: {e}");
    }
}

fn read_parameters(node: &Node) -> Result<(Parameters, Overrides), NodeError> {
    let given = node.params.lock().unwrap_or_else(PoisonError::into_inner);
    let given = || given.iter().map(|(name, p)| (name, &p.value));
    let (parameters, unknown) = Parameters::with_overrides(given())?;
    for refused in unknown {
        warn!("parameters: {refused}");
    }
    Ok((parameters, Overrides::new(given())))
}

fn load(parameters: &Parameters, what: &str) -> Result<Model, NodeError> {
    let options = model_options::session_options(parameters)?;
    if what == "tiny" {
        return Ok(Model::tiny(&options)?);
    }
    let decoder = parameters.text("decoder");
    let decoder = (!decoder.is_empty()).then(|| Path::new(decoder));
    Ok(Model::open(Path::new(what), decoder, &options)?)
}
