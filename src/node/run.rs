//! The life of the process: assembles the node from its parts, spins it, and stops it on a signal.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use r2r::rcl_interfaces::msg::Log;
use r2r::{Context, Node, ParameterValue};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::config::{Config, Parameters};
use super::error::NodeError;
#[cfg(bond)]
use super::lifecycle::Bond;
use super::lifecycle::{Lifecycle, Transitions};
use super::lock::lock;
use super::outputs::diagnostics;
use super::process::{is_finished_within, leave};
use super::refusal_log::RefusalLog;
use super::ros::clock::NodeClock;
use super::ros::names::Names;
use super::ros::qos;
use super::ros::qos_overrides::QosOverrides;
use super::ros::rosout::{self, NodeLog};
use super::ros::topics::{Spinner, SpinningNode, Topics};
use super::ros::transforms::TransformListener;
use super::slot::CameraSlot;
use super::{camera, console, services};
use crate::camera::Transforms;
use crate::logging::{Logging, finish_trace};
use crate::native::arguments::Arguments;
use crate::native::log::{close_file, is_rosout_enabled, last_error, without_locations};
use crate::native::process::share_one_heap;

/// Time that the node waits for its threads after Ctrl-C; a session that still runs then is abandoned.
const STOP_TIMEOUT: Duration = Duration::from_millis(600);

/// Period at which the engines learn whether outputs have subscribers.
const LISTENERS_PERIOD: Duration = Duration::from_millis(100);

/// Runs the node until SIGINT or SIGTERM. ROS arguments (`--ros-args ...`) are read from the command line. `log_level` takes
/// precedence over the level among them.
///
/// # Errors
/// ROS, a parameter or the model keeps the node from starting.
pub fn run(log_level: Option<&str>) -> Result<(), NodeError> {
    share_one_heap();
    let arguments = std::env::args_os().map(|a| CString::new(a.into_vec()).unwrap_or_default()).collect::<Vec<_>>();
    let arguments = Arguments::parse(&arguments);
    let ros_level = arguments.as_ref().ok().and_then(Arguments::log_level);
    let (log, logs) = rosout::start(log_level.or(ros_level).unwrap_or("info")).map_err(|reason| {
        // Printed, because there is no log yet.
        eprintln!("promptseg_node: {reason}");
        NodeError::Logging(reason)
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = match arguments {
        Ok(arguments) => runtime.block_on(run_node(log, logs, arguments, log_level.is_none())),
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

/// Runs the node between the start of the log and the end of the process. `uses_ros_level`: the command line has a level for ROS
/// only, so that the level for the node's logger applies.
async fn run_node(
    log: Arc<NodeLog>,
    logs: Receiver<Log>,
    arguments: Arguments,
    uses_ros_level: bool,
) -> Result<(), NodeError> {
    let signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let context = create_context()?;
    let mut node = Node::create(context, "promptseg", "")?;
    let stop = Arc::new(AtomicBool::new(false));
    let names = Names::new(&node, arguments)?;
    let level = log.set_name(&names.logger());
    if uses_ros_level && let Err(e) = log.logging.set_initial_level(level) {
        warn!("--log-level: {e}");
    }
    start_rosout(&mut node, Arc::clone(&log), logs, names.logger(), Arc::clone(&stop))?;
    let (parameters, overrides) = read_parameters(&names)?;
    let config = parameters.config();
    set_log_level(&log.logging, &config);
    if config.process.use_sim_time {
        let time_source = node.get_time_source();
        time_source.enable_sim_time(&mut node)?;
    }
    let parts = assemble(node, names, log, parameters, overrides)?;
    parts.run(signals, stop, config.process.autostart).await
}

/// Starts the thread that publishes `/rosout`.
fn start_rosout(
    node: &mut Node,
    log: Arc<NodeLog>,
    logs: Receiver<Log>,
    logger: String,
    stop: Arc<AtomicBool>,
) -> Result<(), NodeError> {
    let publisher = if is_rosout_enabled() { Some(node.create_publisher("/rosout", rosout::qos())?) } else { None };
    std::thread::Builder::new().name("rosout".into()).spawn(move || {
        rosout::publish((&log, &logs), publisher.as_ref(), &logger, || stop.load(Ordering::Relaxed));
    })?;
    Ok(())
}

/// Parts of the assembled node.
struct Parts {
    /// Full name of the node.
    name: String,
    slots: Vec<Arc<CameraSlot>>,
    transitions: Arc<Transitions>,
    lifecycle: Arc<Lifecycle>,
    #[cfg(bond)]
    bond: Arc<Bond>,
    parameters: Arc<Mutex<Parameters>>,
    listener: TransformListener,
    spinner: Spinner,
}

/// Makes all topics and services.
fn assemble(
    node: Node,
    names: Names,
    log: Arc<NodeLog>,
    parameters: Parameters,
    overrides: QosOverrides,
) -> Result<Parts, NodeError> {
    let name = node.fully_qualified_name()?;
    let clock = NodeClock::new(&node);
    let config = parameters.config();
    let parameters = Arc::new(Mutex::new(parameters));
    let transforms = Arc::new(Mutex::new(Transforms::new()));
    let mut topics = Topics::new(node, names, overrides);
    // The only camera of a node needs no name.
    let only_camera = [String::new()];
    let cameras = if config.cameras.names.is_empty() { &only_camera[..] } else { &config.cameras.names };
    let slots = cameras.iter().map(|camera| camera::create(&mut topics, camera, config.process.autostart));
    let slots = slots.collect::<Result<Vec<_>, _>>()?;
    topics.set_camera("");
    let spinning = topics.spinning();
    let shared = (Arc::clone(&parameters), Arc::clone(&transforms));
    let transitions = Transitions::new(name.clone(), spinning.clone(), shared, slots.clone());
    let lifecycle = Lifecycle::start(&mut topics, &name, transitions.on_transition())?;
    #[cfg(bond)]
    let bond = Bond::new(&mut topics, name.rsplit('/').next().unwrap_or(&name), clock.clone())?;
    #[cfg(bond)]
    tokio::spawn(Arc::clone(&bond).run(Arc::clone(&lifecycle)));
    #[cfg(not(bond))]
    info!("no bond with a lifecycle manager: bond was not sourced when promptseg was built");
    #[cfg(not(yolo_msgs))]
    info!("no yolo_detections: yolo_msgs was not sourced when promptseg was built");
    let (t, is_simulated) = (Arc::clone(&transitions), AtomicBool::new(config.process.use_sim_time));
    services::serve_parameters(&mut topics, &name, &parameters, clock.clone(), move |config| {
        set_log_level(&log.logging, config);
        t.apply_settings(config);
        set_sim_time(&spinning, config.process.use_sim_time, &is_simulated);
    })?;
    #[cfg(type_description)]
    services::serve_type_description(&mut topics)?;
    let publisher = topics.publisher("/diagnostics", qos::OUTPUTS)?;
    let sources = (slots.clone(), Arc::clone(&lifecycle), Arc::clone(&transitions.progress));
    let latest = diagnostics::Latest::default();
    diagnostics::serve(&config.process.metrics_address, &latest)?;
    let progress = (Arc::clone(&lifecycle), Arc::clone(&transitions.progress));
    console::start(&config.console, &slots, progress, Arc::clone(&latest))?;
    tokio::spawn(diagnostics::report(sources, latest, name.clone(), publisher, clock.clone()));
    let listener = TransformListener::new(&mut topics, transforms, clock)?;
    lock(&parameters).declare(topics.declared());
    let spinner = topics.finish();
    Ok(Parts {
        name,
        slots,
        transitions,
        lifecycle,
        #[cfg(bond)]
        bond,
        parameters,
        listener,
        spinner,
    })
}

impl Parts {
    /// Spins the node until a signal comes or the start fails, and stops it.
    async fn run(
        self,
        (mut interrupt, mut terminate): (Signal, Signal),
        stop: Arc<AtomicBool>,
        autostart: bool,
    ) -> Result<(), NodeError> {
        let Parts { name, slots, transitions, lifecycle, parameters, listener, spinner, .. } = self;
        let (spinning, ended) = spin((spinner, listener), slots, parameters, Arc::clone(&stop))?;
        let outcome = tokio::select! {
            started = start(&lifecycle, &name, autostart) => started,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
            _ = ended => Err(NodeError::Spin),
        };
        if let Err(e) = &outcome {
            error!("{e}");
        }
        info!("{name}: stopping");
        #[cfg(bond)]
        self.bond.publish(false);
        // The threads that publish end before the thread that owns the publishers.
        let since = Instant::now();
        let is_idle = transitions.stop(STOP_TIMEOUT) && lifecycle.state().is_primary();
        stop.store(true, Ordering::Relaxed);
        if !is_finished_within(&spinning, STOP_TIMEOUT.saturating_sub(since.elapsed())) || !is_idle {
            leave(i32::from(outcome.is_err()));
        }
        outcome
    }
}

/// Starts the thread that spins the node. The receiver ends with the thread: a node that nobody spins must not look alive.
fn spin(
    (mut spinner, mut listener): (Spinner, TransformListener),
    slots: Vec<Arc<CameraSlot>>,
    parameters: Arc<Mutex<Parameters>>,
    stop: Arc<AtomicBool>,
) -> Result<(JoinHandle<()>, oneshot::Receiver<Infallible>), NodeError> {
    let (alive, ended) = oneshot::channel::<Infallible>();
    let refusals = RefusalLog::default();
    let thread = std::thread::Builder::new().name("spin".into()).spawn(move || {
        let _alive = alive;
        let mut last_report = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            spinner.spin_once(Duration::from_millis(50));
            if last_report.elapsed() >= LISTENERS_PERIOD {
                last_report = Instant::now();
                slots.iter().for_each(|slot| slot.report_listeners());
            }
            let is_simulated = lock(&parameters).config().process.use_sim_time;
            // All cameras use the transforms, so that a refused transform counts for each.
            listener.take(is_simulated, |topic, refusal| {
                slots.iter().filter_map(|s| s.get()).for_each(|camera| camera.engine.count_refusal(refusal.kind));
                refusals.warn(topic, &refusal);
            });
        }
    })?;
    Ok((thread, ended))
}

/// Configures and activates a node that starts by itself, and waits for ever after that.
///
/// # Errors
/// A transition fails: the node ends, for its supervisor to start it again.
async fn start(lifecycle: &Lifecycle, name: &str, autostart: bool) -> Result<(), NodeError> {
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

/// Creates the context, and turns a panic of r2r into an error: r2r panics for reasons of rcl such as a ROS_DOMAIN_ID that is
/// no number.
fn create_context() -> Result<Context, NodeError> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let created = std::panic::catch_unwind(Context::create);
    std::panic::set_hook(hook);
    match created {
        Ok(context) => context.map_err(|_| NodeError::Context(last_error())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(NodeError::Context(without_locations(text.unwrap_or("no reason given"))))
        }
    }
}

/// Switches the clock if the parameter changed.
fn set_sim_time(node: &SpinningNode, wanted: bool, is_simulated: &AtomicBool) {
    if is_simulated.swap(wanted, Ordering::Relaxed) == wanted {
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

fn set_log_level(logging: &Logging, config: &Config) {
    if let Err(e) = logging.set_level(&config.process.log_level) {
        warn!("log_level: {e}");
    }
}

/// Reads the parameters of the command line and its files.
fn read_parameters(names: &Names) -> Result<(Parameters, QosOverrides), NodeError> {
    let given: BTreeMap<String, ParameterValue> = names.overrides()?.into_iter().collect();
    let mut warnings = Vec::new();
    let parameters = Parameters::with_overrides(given.iter(), &mut warnings);
    for warning in warnings {
        warn!("parameters: {warning}");
    }
    Ok((parameters?, QosOverrides::new(given.iter())))
}
