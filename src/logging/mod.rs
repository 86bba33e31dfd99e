//! What is said and measured while it runs: `tracing` events to the terminal (and `/rosout`), spans to a trace file.

mod repeats;
mod trace;

use std::io::IsTerminal;

use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use repeats::{Repeats, Unrepeated};
pub use trace::{finish_trace, finish_trace_on_interrupt};

/// Where events go beside the terminal.
pub type Beside = Box<dyn Layer<Registry> + Send + Sync>;

/// Changes the log while it runs.
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    repeats: Repeats,
    /// The level that the program was started with.
    level: String,
}

/// Starts logging. `level` is a level's name or a `tracing` filter; `RUST_LOG` wins over it. With `PROMPTSEG_TRACE=FILE`
/// every stage is also written to that file, for Perfetto or Chrome; [`finish_trace`] completes it.
///
/// # Errors
/// `level` is neither; the trace file cannot be written.
pub fn start(level: &str, beside: Option<Beside>) -> Result<Logging, String> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let repeats = Repeats::default();
    let terminal = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .and_then(beside);
    let terminal = Unrepeated { layer: terminal, repeats: repeats.clone() }.with_filter(filter);
    let all = tracing_subscriber::registry().with(terminal).with(trace::layer()?);
    all.try_init().map_err(|e| e.to_string())?;
    Ok(Logging { filter: handle, repeats, level: level.to_owned() })
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
        let filter = filter(if level.is_empty() { &self.level } else { level })?;
        self.filter.reload(filter).map_err(|e| e.to_string())
    }

    /// Says how often warnings were held back since; to be called now and then.
    pub fn say_repeats(&self) {
        self.repeats.say();
    }
}
