//! Logs: `tracing` events reach the console and the file by rcutils, as those of rclcpp do, and `/rosout` (r2r publishes
//! none on Jazzy).

use std::ffi::CString;
use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use r2r::builtin_interfaces::msg::Time;
use r2r::qos::{DurabilityPolicy, ReliabilityPolicy};
use r2r::rcl_interfaces::msg::Log;
use r2r::{Publisher, QosProfile};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::convert;
use crate::logging::{self, Logging};
use crate::native::log;

/// Messages that wait for the publisher; more than that at once are only on the console and in the file.
const QUEUE: usize = 256;

/// What rclcpp publishes `/rosout` with: late subscribers see the last messages.
pub fn qos() -> QosProfile {
    QosProfile {
        depth: 1000,
        reliability: ReliabilityPolicy::Reliable,
        durability: DurabilityPolicy::TransientLocal,
        lifespan: Duration::from_secs(10),
        ..QosProfile::default()
    }
}

/// Name of the logger. Empty before the node has its own.
type Logger = Arc<OnceLock<CString>>;

/// The log of the node.
pub struct NodeLog {
    pub logging: Logging,
    logger: Logger,
}

impl NodeLog {
    /// Gives the log the name of the node's logger, and returns the level that the command line has for that name.
    pub fn name(&self, logger: &str) -> &'static str {
        let logger = self.logger.get_or_init(|| CString::new(logger).unwrap_or_default());
        let level = log::level_of(logger);
        log::take_all(logger);
        level
    }
}

/// Starts logging: see [`logging::start`]. The receiver gets what is to be published.
///
/// # Errors
/// `level` is no level, or the trace file cannot be written.
pub fn start(level: &str) -> Result<(Arc<NodeLog>, Receiver<Log>), String> {
    let (sender, receiver) = sync_channel(QUEUE);
    let logger = Logger::default();
    let layer = RosLayer { sender, logger: Arc::clone(&logger) };
    let logging = logging::start(level, Some(Box::new(layer)))?;
    Ok((Arc::new(NodeLog { logging, logger }), receiver))
}

/// Publishes what the layer gathers, until the last sender is gone or `stop` says so. Without a publisher (the command line
/// turns `/rosout` off) it is dropped.
pub fn publish(
    (log, logs): (&NodeLog, &Receiver<Log>),
    publisher: Option<&Publisher<Log>>,
    name: &str,
    stop: impl Fn() -> bool,
) {
    while !stop() {
        if let Ok(mut log) = logs.recv_timeout(Duration::from_millis(50))
            && let Some(publisher) = publisher
        {
            log.name = name.to_owned();
            // Nowhere to report a log that cannot be published: it is on the console already.
            let _ = publisher.publish(&log);
        }
        log.logging.say_repeats();
    }
}

struct RosLayer {
    sender: SyncSender<Log>,
    logger: Logger,
}

impl<S: Subscriber> Layer<S> for RosLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        let mut message = Message::default();
        event.record(&mut message);
        let record = log::Record {
            level: *meta.level(),
            message: &message.0,
            function: meta.target(),
            file: meta.file().unwrap_or_default(),
            line: meta.line().unwrap_or_default(),
        };
        log::write(self.logger.get().map_or(c"promptseg", |name| name), &record);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let log = Log {
            stamp: Time { sec: now.as_secs() as i32, nanosec: now.subsec_nanos() },
            level: match *meta.level() {
                Level::ERROR => Log::ERROR as u8,
                Level::WARN => Log::WARN as u8,
                Level::INFO => Log::INFO as u8,
                Level::DEBUG | Level::TRACE => Log::DEBUG as u8,
            },
            msg: convert::text(&message.0),
            file: meta.file().unwrap_or_default().to_owned(),
            function: meta.target().to_owned(),
            line: meta.line().unwrap_or_default(),
            ..Log::default()
        };
        // Logging never blocks the thread that logs.
        let _ = self.sender.try_send(log);
    }
}

/// The message of an event, with its fields behind it.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => {
                let fields = std::mem::take(&mut self.0);
                write!(self.0, "{value:?}{fields}")
            }
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
