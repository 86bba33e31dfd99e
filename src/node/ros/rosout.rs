//! Log: `tracing` events reach the console and the file by rcutils, as in rclcpp, and `/rosout`, which r2r does not publish on
//! Jazzy.

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

/// Length of the queue of the publisher. Messages beyond it are only on the console and in the file.
const QUEUE: usize = 256;

/// Quality of service of `/rosout` in rclcpp: late subscribers receive the last messages.
pub fn qos() -> QosProfile {
    QosProfile {
        depth: 1000,
        reliability: ReliabilityPolicy::Reliable,
        durability: DurabilityPolicy::TransientLocal,
        lifespan: Duration::from_secs(10),
        ..QosProfile::default()
    }
}

/// Name of the logger; empty before the node has a name.
type Logger = Arc<OnceLock<CString>>;

/// The log of the node.
pub struct NodeLog {
    pub logging: Logging,
    logger: Logger,
}

impl NodeLog {
    /// Sets the name of the node's logger, and returns the level that the command line has for that name.
    pub fn set_name(&self, logger: &str) -> &'static str {
        let logger = self.logger.get_or_init(|| CString::new(logger).unwrap_or_default());
        let level = log::logger_level(logger);
        log::accept_all(logger);
        level
    }
}

/// Starts logging: see [`logging::start`]. The receiver gets the messages to publish.
///
/// # Errors
/// `level` is no level, or writing the trace file fails.
pub fn start(level: &str) -> Result<(Arc<NodeLog>, Receiver<Log>), String> {
    let (sender, receiver) = sync_channel(QUEUE);
    let logger = Logger::default();
    let layer = RosLayer { sender, logger: Arc::clone(&logger) };
    let logging = logging::start(level, Some(Box::new(layer)))?;
    Ok((Arc::new(NodeLog { logging, logger }), receiver))
}

/// Publishes the messages of the layer until `stop` returns true. Without a publisher (the command line turns `/rosout` off)
/// the messages are dropped.
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
            // A failure is not logged: the message is on the console already.
            let _ = publisher.publish(&log);
        }
        log.logging.log_suppressed();
    }
}

/// Layer of `tracing` that writes events to rcutils and queues them for `/rosout`.
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

/// Message of an event, followed by its fields.
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
