//! The ROS 2 node: topics, services and parameters around the [`crate::engine`]. The only place that names r2r.
//!
//! One thread spins r2r; its streams are drained by tasks; one thread publishes what the engine computes. `image` in,
//! prompts in, `~/masks` out: see `docs/interfaces.md` for the whole list.

mod convert;
mod diagnostics;
mod inputs;
mod outputs;
pub mod parameter_docs;
mod parameter_table;
mod parameters;
mod refusals;
mod rosout;
mod services;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use r2r::builtin_interfaces::msg::Time;
use r2r::{Clock, Context, Node, QosProfile};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use crate::engine::{Engine, Event, KeepLimits, Settings};
use crate::model::{Candidates, Model, SessionOptions};
use outputs::Outputs;
use parameters::Parameters;
use refusals::Refusals;

/// How long the node waits for its threads after Ctrl-C; a session that still runs then is abandoned.
const STOP_WITHIN: Duration = Duration::from_millis(600);

/// Results that wait to be published. While it is full the decoder waits, and newer frames replace older ones.
const RESULTS: usize = 4;

/// Why the node did not start.
#[derive(Debug, Error)]
pub enum NodeError {
    #[error("ROS 2: {0}")]
    Ros(#[from] r2r::Error),
    #[error("parameters: {0}")]
    Parameters(String),
    #[error("{0}")]
    Logging(String),
    #[error(transparent)]
    Model(#[from] crate::model::Error),
    #[error("starting threads: {0}")]
    Threads(#[from] std::io::Error),
}

/// What the inputs, services and outputs share.
pub(crate) struct Shared {
    pub engine: Engine,
    pub refusals: Refusals,
    pub model_name: String,
    pub encoder_provider: String,
    pub decoder_provider: String,
    parameters: Arc<Mutex<Parameters>>,
}

impl Shared {
    pub fn parameters(&self) -> Parameters {
        self.parameters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs the node until SIGINT or SIGTERM. ROS arguments (`--ros-args ...`) are read from the command line.
///
/// # Errors
/// The node could not start: ROS, a parameter, the model.
pub fn run(log_level: &str) -> Result<(), NodeError> {
    let logs = rosout::start(log_level).map_err(|reason| {
        // There is no log yet to say it in.
        eprintln!("promptseg_node: {reason}");
        NodeError::Logging(reason)
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(node(logs));
    if let Err(e) = &outcome {
        error!("{e}");
    }
    runtime.shutdown_background();
    outcome
}

async fn node(logs: std::sync::mpsc::Receiver<r2r::rcl_interfaces::msg::Log>) -> Result<(), NodeError> {
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
    std::thread::Builder::new()
        .name("rosout".into())
        .spawn(move || rosout::publish(&logs, &rosout, &log_name, until))?;

    let parameters = read_parameters(&node)?;
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
    let (encoder_provider, decoder_provider) =
        (model.encoder.providers().to_string(), model.decoder.providers().to_string());
    let model_name = model.info.name.clone();
    let (encoder, decoder) = (model.encoder.providers(), model.decoder.providers());
    let took = since.elapsed().as_secs_f32();
    info!("{name}: model '{model_name}' in {took:.1} s; encoder on {}, decoder on {}", encoder.used, decoder.used);
    for (provider, reason) in &encoder.refused {
        info!("{name}: not on {provider}: {reason}");
    }

    let (results, publishing) = sync_channel::<Event>(RESULTS);
    let sink = Box::new(move |event| {
        // The publisher is gone while the node stops.
        let _ = results.send(event);
    });
    let engine = Engine::start(Box::new(model.encoder), Box::new(model.decoder), settings(&parameters), sink)?;
    let parameters = Arc::new(Mutex::new(parameters));
    let shared = Arc::new(Shared {
        engine,
        refusals: Refusals::default(),
        model_name: model_name.clone(),
        encoder_provider,
        decoder_provider,
        parameters: Arc::clone(&parameters),
    });

    let outputs = Outputs::new(&mut node, model_name)?;
    let s = Arc::clone(&shared);
    let publisher = std::thread::Builder::new().name("publisher".into()).spawn(move || {
        while let Ok(event) = publishing.recv() {
            // A panic while drawing or converting loses this answer, not the ones after it.
            let published = catch_unwind(AssertUnwindSafe(|| publish(&s, &outputs, event)));
            if published.is_err() {
                error!("publishing a result panicked; the result is lost");
            }
        }
    })?;

    services::start(&mut node, &shared)?;
    let events = node.create_publisher("/parameter_events", QosProfile::parameter_events())?;
    let s = Arc::clone(&shared);
    services::start_parameters(&mut node, &parameters, events, move |values| {
        s.engine.configure(|current| *current = settings(values));
    })?;
    let diagnostics = node.create_publisher("/diagnostics", QosProfile::default())?;
    tokio::spawn(report(Arc::clone(&shared), name.clone(), diagnostics, node.get_ros_clock()));
    inputs::start(&mut node, &shared, &shared.parameters())?;

    let until = stopped;
    let spinning = std::thread::Builder::new().name("spin".into()).spawn(move || {
        while !until() {
            node.spin_once(Duration::from_millis(50));
        }
    })?;
    info!("{name}: ready");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    info!("{name}: stopping");
    shared.engine.stop();
    drop(shared);
    // First what publishes, then what owns the publishers.
    let since = Instant::now();
    let published = finished(&publisher, since);
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
    // SAFETY: takes no memory of ours and does not return; nothing is left to be written.
    unsafe { libc::_exit(0) }
}

fn publish(shared: &Shared, outputs: &Outputs, event: Event) {
    match event {
        Event::Result(result) => {
            let quality = shared.parameters().integer("overlay_quality").clamp(1, 100) as u8;
            if let Err(e) = outputs.publish(&result, quality) {
                warn!("{e}");
            }
        }
        Event::Refused(refusal) => shared.refusals.say("input", &refusal),
        Event::Tracking { id, lost: true, reason } => warn!("object {id} is lost: {reason}"),
        Event::Tracking { id, lost: false, .. } => info!("object {id} is found again"),
    }
}

async fn report(
    shared: Arc<Shared>,
    name: String,
    publisher: r2r::Publisher<r2r::diagnostic_msgs::msg::DiagnosticArray>,
    clock: Arc<Mutex<Clock>>,
) {
    let mut before = shared.engine.metrics();
    let mut since = Instant::now();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    loop {
        second.tick().await;
        let stamp = now(&clock);
        let (message, metrics) = diagnostics::status(&shared, &name, stamp, &before, since.elapsed().as_secs_f64());
        (before, since) = (metrics, Instant::now());
        if publisher.publish(&message).is_err() {
            // Only while the node goes away.
            return;
        }
    }
}

fn now(clock: &Mutex<Clock>) -> Time {
    let time = clock.lock().unwrap_or_else(PoisonError::into_inner).get_now().unwrap_or_default();
    Clock::to_builtin_time(&time)
}

fn read_parameters(node: &Node) -> Result<Parameters, NodeError> {
    let overrides = node.params.lock().unwrap_or_else(PoisonError::into_inner);
    let given = overrides.iter().map(|(name, p)| (name, &p.value));
    let (parameters, unknown) = Parameters::with_overrides(given).map_err(|e| NodeError::Parameters(e.to_string()))?;
    for refused in unknown {
        warn!("parameters: {refused}");
    }
    Ok(parameters)
}

fn load(parameters: &Parameters, what: &str) -> Result<Model, NodeError> {
    let mut providers = Vec::new();
    for name in parameters.texts("providers") {
        providers.push(name.parse()?);
    }
    let cache = parameters.text("engine_cache");
    let options = SessionOptions {
        providers,
        threads: parameters.integer("threads").max(0) as usize,
        device_id: parameters.integer("device_id") as i32,
        fp16: parameters.flag("fp16"),
        engine_cache: (!cache.is_empty()).then(|| PathBuf::from(cache)),
        ..SessionOptions::default()
    };
    if what == "tiny" {
        return Ok(Model::tiny(&options)?);
    }
    let decoder = parameters.text("decoder");
    let decoder = (!decoder.is_empty()).then(|| Path::new(decoder));
    Ok(Model::open(Path::new(what), decoder, &options)?)
}

fn settings(parameters: &Parameters) -> Settings {
    let count = |name: &str| parameters.integer(name).max(0) as usize;
    Settings {
        keep: KeepLimits {
            frames: count("keep_frames"),
            bytes: count("keep_megabytes") * 1_000_000,
            images: count("keep_images"),
        },
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
