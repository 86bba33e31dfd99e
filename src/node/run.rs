//! The life of the process: assembles the node from its parts, spins it, and stops it on a signal.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use r2r::rcl_interfaces::msg::Log;
use r2r::{Context, Node, ParameterValue};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::camera::Slot;
use super::config::values::Parameters;
use super::error::NodeError;
use super::lifecycle::Lifecycle;
#[cfg(bond)]
use super::lifecycle::bond;
use super::lifecycle::transitions::Transitions;
use super::lock::lock;
use super::outputs::diagnostics::{self, Latest};
use super::process::{finished, leave};
use super::refusal_log::Refusals;
use super::ros::clock::NodeClock;
use super::ros::names::Names;
use super::ros::qos::{self, Overrides};
use super::ros::rosout::{self, NodeLog};
use super::ros::topics::{SpinningNode, Topics};
use super::ros::transforms::TransformListener;
use super::services::segment as services;
use crate::camera::Transforms;
use crate::logging::{Logging, finish_trace};
use crate::native::arguments::Arguments;
use crate::native::log::{close_file, is_rosout_enabled, last_error, without_places};
use crate::native::process::share_one_heap;

/// How long the node waits for its threads after Ctrl-C; a session that still runs then is abandoned.
const STOP_WITHIN: Duration = Duration::from_millis(600);

/// How often subscribers of the outputs are looked for.
const LISTENERS_PERIOD: Duration = Duration::from_millis(100);

/// Runs the node until SIGINT or SIGTERM. ROS arguments (`--ros-args ...`) are read from the command line. `log_level` wins
/// over the level among them.
///
/// # Errors
/// The node could not start: ROS, a parameter, the model.
pub fn run(log_level: Option<&str>) -> Result<(), NodeError> {
    share_one_heap();
    let arguments = std::env::args_os().map(|a| CString::new(a.into_vec()).unwrap_or_default()).collect::<Vec<_>>();
    let arguments = Arguments::parse(&arguments);
    let of_ros = arguments.as_ref().ok().and_then(Arguments::log_level);
    let (log, logs) = rosout::start(log_level.or(of_ros).unwrap_or("info")).map_err(|reason| {
        // There is no log yet to say it in.
        eprintln!("promptseg_node: {reason}");
        NodeError::Logging(reason)
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = match arguments {
        Ok(arguments) => runtime.block_on(node(log, logs, arguments, log_level.is_none())),
        Err(reason) => Err(NodeError::CommandLine(reason)),
    };
    if let Err(e) = outcome.as_ref()
        && !matches!(e, NodeError::Start(_))
    {
        error!("{e}");
    }
    runtime.shutdown_background();
    finish_trace();
    close_file();
    outcome
}

/// r2r panics where rcl gives a reason, such as a ROS_DOMAIN_ID that is no number.
fn create_context() -> Result<Context, NodeError> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let created = std::panic::catch_unwind(Context::create);
    std::panic::set_hook(hook);
    match created {
        Ok(context) => context.map_err(|_| NodeError::Context(last_error())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(NodeError::Context(without_places(text.unwrap_or("no reason given"))))
        }
    }
}

/// `level_of_ros`: the command line has no level of its own, so that the one for the node's logger counts.
async fn node(
    log: Arc<NodeLog>,
    logs: Receiver<Log>,
    arguments: Arguments,
    level_of_ros: bool,
) -> Result<(), NodeError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let context = create_context()?;
    let mut node = Node::create(context, "promptseg", "")?;
    let name = node.fully_qualified_name()?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = {
        let stop = Arc::clone(&stop);
        move || stop.load(Ordering::Relaxed)
    };

    let names = Names::of(&node, arguments)?;
    let level = log.name(&names.logger());
    if level_of_ros && let Err(e) = log.logging.start_with_level(level) {
        warn!("--log-level: {e}");
    }
    let rosout = if is_rosout_enabled() { Some(node.create_publisher("/rosout", rosout::qos())?) } else { None };
    let (logger, until) = (names.logger(), stopped.clone());
    std::thread::Builder::new().name("rosout".into()).spawn({
        let log = Arc::clone(&log);
        move || rosout::publish((&log, &logs), rosout.as_ref(), &logger, until)
    })?;

    let (parameters, overrides) = read_parameters(&names)?;
    set_level(&log.logging, &parameters);
    if parameters.flag("use_sim_time") {
        let time_source = node.get_time_source();
        time_source.enable_sim_time(&mut node)?;
    }
    let clock = NodeClock::of(&node);
    let autostart = parameters.flag("autostart");
    let cameras = match parameters.texts("cameras") {
        // The only camera of a node needs no name.
        [] => vec![String::new()],
        names => names.to_vec(),
    };
    let parameters = Arc::new(Mutex::new(parameters));
    let transforms = Arc::new(Mutex::new(Transforms::new()));
    let mut topics = Topics::new(node, names, overrides);
    let mut slots = Vec::with_capacity(cameras.len());
    for camera in &cameras {
        slots.push(Slot::new(&mut topics, camera, autostart)?);
    }
    topics.of_camera("");
    let spinning = topics.spinning();
    let shared = (Arc::clone(&parameters), Arc::clone(&transforms));
    let transitions = Transitions::new(name.clone(), spinning.clone(), shared, slots.clone());
    let lifecycle = Lifecycle::start(&mut topics, &name, transitions.on_transition())?;
    #[cfg(bond)]
    let bond = bond::Bond::new(&mut topics, name.rsplit('/').next().unwrap_or(&name), clock.clone())?;
    #[cfg(bond)]
    tokio::spawn(Arc::clone(&bond).keep(Arc::clone(&lifecycle)));
    #[cfg(not(bond))]
    info!("no bond with a lifecycle manager: bond was not sourced when promptseg was built");
    #[cfg(not(yolo_msgs))]
    info!("no yolo_detections: yolo_msgs was not sourced when promptseg was built");
    let (t, simulated) = (Arc::clone(&transitions), AtomicBool::new(lock(&parameters).flag("use_sim_time")));
    services::start_parameters(&mut topics, &name, &parameters, clock.clone(), move |values| {
        set_level(&log.logging, values);
        t.settings_changed(values);
        follow_sim_time(&spinning, values, &simulated);
    })?;
    #[cfg(type_description)]
    services::start_type_description(&mut topics)?;
    let diagnostics = topics.publisher("/diagnostics", qos::OUTPUTS)?;
    let progress = Arc::clone(&transitions.progress);
    let of = (slots.clone(), Arc::clone(&lifecycle), progress);
    let latest = Latest::default();
    diagnostics::serve(lock(&parameters).text("metrics_address"), &latest)?;
    tokio::spawn(diagnostics::report(of, latest, name.clone(), diagnostics, clock.clone()));
    let refusals = Refusals::default();
    let mut listener = TransformListener::new(&mut topics, transforms, clock)?;

    lock(&parameters).declare(topics.declared());
    let mut spinner = topics.finish();
    let until = stopped;
    let (spins, ended) = oneshot::channel::<Infallible>();
    let spinning = std::thread::Builder::new().name("spin".into()).spawn(move || {
        // Dropped with the thread: a node that nobody spins would look as if it lived.
        let _spins = spins;
        let mut looked = Instant::now();
        while !until() {
            spinner.spin_once(Duration::from_millis(50));
            if looked.elapsed() >= LISTENERS_PERIOD {
                looked = Instant::now();
                slots.iter().for_each(|slot| slot.report_listeners());
            }
            let is_simulated = lock(&parameters).flag("use_sim_time");
            // Transforms belong to all cameras, and so does what is wrong with them.
            listener.take(is_simulated, |topic, refusal| {
                slots.iter().filter_map(|s| s.get()).for_each(|camera| camera.engine.count_refusal(refusal.kind));
                refusals.say(topic, &refusal);
            });
        }
    })?;
    let outcome = tokio::select! {
        started = live(&lifecycle, &name, autostart) => started,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = ended => Err(NodeError::Spin),
    };
    if let Err(e) = &outcome {
        error!("{e}");
    }
    info!("{name}: stopping");
    #[cfg(bond)]
    bond.say(false);
    // First what publishes, then what owns the publishers.
    let since = Instant::now();
    let idle = transitions.stop(STOP_WITHIN) && lifecycle.state().is_primary();
    stop.store(true, Ordering::Relaxed);
    if !finished(&spinning, STOP_WITHIN.saturating_sub(since.elapsed())) || !idle {
        leave(i32::from(outcome.is_err()));
    }
    outcome
}

/// Starts the node, if it starts by itself; without a model it ends then, for whoever started it to start it again. After
/// that, its life is in the hands of others.
async fn live(lifecycle: &Lifecycle, name: &str, autostart: bool) -> Result<(), NodeError> {
    if autostart {
        for transition in ["configure", "activate"] {
            if !lifecycle.change(0, transition).await {
                return Err(NodeError::Start(transition));
            }
        }
        info!("{name}: ready");
    } else {
        info!("{name}: waits for a lifecycle manager, or for `ros2 lifecycle set {name} configure`");
    }
    std::future::pending().await
}

/// Switches the clock when the parameter has changed.
fn follow_sim_time(node: &SpinningNode, parameters: &Parameters, simulated: &AtomicBool) {
    let wanted = parameters.flag("use_sim_time");
    if simulated.swap(wanted, Ordering::Relaxed) == wanted {
        return;
    }
    let node = node.clone();
    tokio::spawn(async move {
        let switched = node.with_node(move |node| {
            let source = node.get_time_source();
            if wanted {
                return source.enable_sim_time(node);
            }
            source.disable_sim_time();
            Ok(())
        });
        if let Err(e) = switched.await {
            warn!("use_sim_time could not be set to {wanted}: {e}");
        }
    });
}

fn set_level(logging: &Logging, parameters: &Parameters) {
    if let Err(e) = logging.set_level(parameters.text("log_level")) {
        warn!("log_level: {e}");
    }
}

fn read_parameters(names: &Names) -> Result<(Parameters, Overrides), NodeError> {
    let given: BTreeMap<String, ParameterValue> = names.overrides()?.into_iter().collect();
    let given = || given.iter();
    let (parameters, unknown) = Parameters::with_overrides(given())?;
    for refused in unknown {
        warn!("parameters: {refused}");
    }
    Ok((parameters, Overrides::new(given())))
}
