//! The log and the trace of the program. `tracing` events go to standard error, or to the log of ROS in the node; `tracing`
//! spans go to a trace file.

mod repeats;
mod trace;

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use repeats::{Repeats, Unrepeated};
pub use trace::{finish_trace, finish_trace_on_interrupt};

/// Destination of events that replaces standard error.
pub type Output = Box<dyn Layer<Registry> + Send + Sync>;

/// Settings of the log that can change while the program runs.
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    repeats: Repeats,
    /// Level at the start of the program.
    initial_level: Mutex<String>,
}

/// Starts logging. `level` is the name of a level or a `tracing` filter; `RUST_LOG` overrides it. With
/// `PROMPTSEG_TRACE=FILE` every stage is also written to that file, for Perfetto or Chrome; [`finish_trace`] completes the
/// file.
///
/// # Errors
/// `level` is neither a level nor a filter, or the trace file cannot be written.
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
    Ok(Logging { filter: handle, repeats, initial_level: Mutex::new(level.to_owned()) })
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => filter,
        // ONNX Runtime and r2r log many lines at level info.
        _ => format!("{level},ort=warn,r2r=warn"),
    };
    EnvFilter::try_new(&filter)
        .map_err(|e| format!("log level '{filter}': {e}; give error, warn, info, debug, trace or a tracing filter"))
}

impl Logging {
    /// Changes the level; an empty text restores the initial level.
    ///
    /// # Errors
    /// `level` is neither a level nor a filter.
    pub fn set_level(&self, level: &str) -> Result<(), String> {
        let initial = self.initial_level.lock().unwrap_or_else(PoisonError::into_inner);
        let filter = filter(if level.is_empty() { &initial } else { level })?;
        self.filter.reload(filter).map_err(|e| e.to_string())
    }

    /// Changes the level and the initial level.
    ///
    /// # Errors
    /// `level` is neither a level nor a filter.
    pub fn set_initial_level(&self, level: &str) -> Result<(), String> {
        level.clone_into(&mut self.initial_level.lock().unwrap_or_else(PoisonError::into_inner));
        self.set_level("")
    }

    /// Logs how often repeated warnings were suppressed. The caller calls this function at regular intervals.
    pub fn log_suppressed(&self) {
        self.repeats.log_suppressed();
    }
}
