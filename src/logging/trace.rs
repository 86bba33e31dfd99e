//! The trace of `PROMPTSEG_TRACE=FILE`: the duration of each stage, for <https://ui.perfetto.dev> or chrome://tracing.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tracing_chrome::{ChromeLayerBuilder, FlushGuard, TraceStyle};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

/// Writer of the trace; it completes the file when it is dropped.
static WRITER: Mutex<Option<FlushGuard>> = Mutex::new(None);

/// Returns the layer that writes the trace, or none if `PROMPTSEG_TRACE` is not set.
///
/// # Errors
/// The file cannot be created.
pub fn layer<S>() -> Result<Option<impl Layer<S>>, String>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let Some(path) = std::env::var_os("PROMPTSEG_TRACE").filter(|p| !p.is_empty()) else { return Ok(None) };
    let file = File::create(&path).map_err(|e| format!("PROMPTSEG_TRACE={}: {e}", path.display()))?;
    let (layer, guard) = ChromeLayerBuilder::new()
        .writer(TraceFile { file: Some(BufWriter::new(file)), path: path.into() })
        .include_args(true)
        .trace_style(TraceStyle::Threaded)
        .build();
    *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    Ok(Some(layer.with_filter(Targets::new().with_target("promptseg", LevelFilter::DEBUG))))
}

/// A file that ends at the first write error, for instance on a full disk. (tracing-chrome's thread would panic.)
struct TraceFile {
    file: Option<BufWriter<File>>,
    path: PathBuf,
}

impl TraceFile {
    /// Runs a write, and closes the file if the write fails.
    fn attempt(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
        if let Some(Err(e)) = self.file.as_mut().map(write) {
            tracing::warn!("PROMPTSEG_TRACE={}: {e}; the trace ends at this point", self.path.display());
            self.file = None;
        }
        Ok(())
    }
}

impl Write for TraceFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(|file| file.write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt(BufWriter::flush)
    }
}

/// Completes the trace file, if there is one. Later stages are not in the file. Call this function before the process
/// ends.
pub fn finish_trace() {
    drop(WRITER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Completes the trace file on Ctrl-C and ends the process, for programs without a signal handler of their own.
pub fn finish_trace_on_interrupt() {
    if WRITER.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
        return;
    }
    let wait = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(tokio::signal::ctrl_c())?;
        finish_trace();
        // The exit code with which shells report SIGINT.
        std::process::exit(130)
    };
    let spawned = std::thread::Builder::new().name("interrupt".into()).spawn(move || {
        let waited: std::io::Result<()> = wait();
        if let Err(e) = waited {
            tracing::warn!("no handler for Ctrl-C, after which the trace file will lack its end: {e}");
        }
    });
    if let Err(e) = spawned {
        tracing::warn!("no handler for Ctrl-C, after which the trace file will lack its end: {e}");
    }
}
