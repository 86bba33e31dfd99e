//! Ctrl-C and SIGTERM: the run ends after the frame that it works on, so that its files are whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

/// Whether the run is to end.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Waits for the signals on a thread. A second signal ends the process at once.
    ///
    /// # Errors
    /// The signals cannot be handled.
    pub fn watch() -> Result<Interrupt, String> {
        let failed = |e: std::io::Error| format!("no handler for Ctrl-C: {e}");
        let flag = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (mut interrupt, mut terminate) = {
            let _guard = runtime.enter();
            let handler = |kind| signal(kind).map_err(failed);
            (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?)
        };
        let set = Arc::clone(&flag);
        let wait = async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if set.swap(true, Ordering::SeqCst) {
                    // The exit code with which shells report SIGINT.
                    std::process::exit(130);
                }
            }
        };
        let thread = std::thread::Builder::new().name("interrupt".into());
        thread.spawn(move || runtime.block_on(wait)).map_err(failed)?;
        Ok(Interrupt(flag))
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
