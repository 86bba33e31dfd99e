//! What is said and measured while it runs: `tracing` events to the terminal (of the node: to the log of ROS), spans to a
//! trace file.

mod repeats;
mod trace;

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use repeats::{Repeats, Unrepeated};
pub use trace::{finish_trace, finish_trace_on_interrupt};

/// Where events go instead of the standard error.
pub type Output = Box<dyn Layer<Registry> + Send + Sync>;

/// Changes the log while it runs.
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    repeats: Repeats,
    /// The level that the program was started with.
    level: Mutex<String>,
}

/// Starts logging. `level` is a level's name or a `tracing` filter; `RUST_LOG` wins over it. With `PROMPTSEG_TRACE=FILE`
/// every stage is also written to that file, for Perfetto or Chrome; [`finish_trace`] completes it.
///
/// # Errors
/// `level` is neither; the trace file cannot be written.
pub fn start(level: &str, output: Option<Output>) -> Result<Logging, String> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let repeats = Repeats::default();
    let output = output.unwrap_or_else(|| {
        let ansi = std::io::stderr().is_terminal();
        fmt::layer().with_writer(std::io::stderr).with_ansi(ansi).with_target(false).boxed()
    });
    let output = Unrepeated { layer: output, repeats: repeats.clone() }.with_filter(filter);
    let all = tracing_subscriber::registry().with(output).with(trace::layer()?);
    all.try_init().map_err(|e| e.to_string())?;
    Ok(Logging { filter: handle, repeats, level: Mutex::new(level.to_owned()) })
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => filter,
        // ONNX Runtime and r2r are chatty at info.
        _ => format!("{level},ort=warn,r2r=warn"),
    };
    EnvFilter::try_new(&filter)
        .map_err(|e| format!("log level '{filter}': {e}; give error, warn, info, debug, trace or a tracing filter"))
}

impl Logging {
    /// Changes the level; an empty one is that of the start.
    ///
    /// # Errors
    /// It is neither a level nor a filter.
    pub fn set_level(&self, level: &str) -> Result<(), String> {
        let started_with = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let filter = filter(if level.is_empty() { &started_with } else { level })?;
        self.filter.reload(filter).map_err(|e| e.to_string())
    }

    /// Replaces the level of the start, which an empty level means from now on.
    ///
    /// # Errors
    /// It is neither a level nor a filter.
    pub fn start_with_level(&self, level: &str) -> Result<(), String> {
        level.clone_into(&mut self.level.lock().unwrap_or_else(PoisonError::into_inner));
        self.set_level("")
    }

    /// Says how often warnings were held back since; to be called now and then.
    pub fn say_repeats(&self) {
        self.repeats.say();
    }
}
