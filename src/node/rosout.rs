//! Logs: `tracing` events reach the terminal and `/rosout` (r2r publishes none on Jazzy).

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
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

/// Messages that wait for the publisher; more than that at once are only seen on the terminal.
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

/// Starts logging: see [`logging::start`]. What comes out is to be published.
///
/// # Errors
/// `level` is no level, or the trace file cannot be written.
pub fn start(level: &str) -> Result<(Arc<Logging>, Receiver<Log>), String> {
    let (sender, receiver) = sync_channel(QUEUE);
    let logging = logging::start(level, Some(Box::new(RosoutLayer { sender })))?;
    Ok((Arc::new(logging), receiver))
}

/// Publishes what the layer gathers, until the last sender is gone or `stop` says so.
pub fn publish(
    (logging, logs): (&Logging, &Receiver<Log>),
    publisher: &Publisher<Log>,
    name: &str,
    stop: impl Fn() -> bool,
) {
    while !stop() {
        if let Ok(mut log) = logs.recv_timeout(Duration::from_millis(50)) {
            log.name = name.to_owned();
            // Nowhere to report a log that cannot be published: it is on the terminal already.
            let _ = publisher.publish(&log);
        }
        logging.say_repeats();
    }
}

struct RosoutLayer {
    sender: SyncSender<Log>,
}

impl<S: Subscriber> Layer<S> for RosoutLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        let mut message = Message::default();
        event.record(&mut message);
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
