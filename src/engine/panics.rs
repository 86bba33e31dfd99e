//! Panics of a codec, the runtime or the owner: each is caught, logged and counted, and the thread continues.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::refusal::{Refusal, RefusalKind};
use super::result::{Event, EventSink};
use super::state::SharedState;

/// Request to the reader of a panic message.
pub const DEFECT: &str = "this is a defect, please report it";

impl SharedState {
    /// Runs a closure that may panic. A panic is counted; its message starts with `activity`.
    pub fn catch<T>(&self, activity: &str, run: impl FnOnce() -> T) -> Result<T, String> {
        catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
            self.lock().metrics.panics += 1;
            format!("{activity} panicked: {}", panic_message(payload.as_ref()))
        })
    }

    /// Runs one piece of work of a thread. A panic is logged, counted and reported to the owner, whose receiver may be the
    /// code that panicked.
    pub fn guard(&self, events: &EventSink, activity: &str, run: impl FnOnce()) {
        let Err(message) = self.catch(activity, run) else { return };
        tracing::error!("{message}; the thread goes on");
        self.lock().metrics.refuse(RefusalKind::InternalError);
        let refusal = Refusal::new(RefusalKind::InternalError, format!("{message}; {DEFECT}"));
        // The panic is already counted and logged.
        let _ = self.catch("the receiver of events", || events(Event::Refused(refusal)));
    }
}

/// Returns the message of a panic.
fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
