//! A panic costs the frame or the prompt that it came from: it is caught, said and counted, and the thread goes on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::refusal::{Refusal, RefusalKind};
use super::result::{Event, EventSink};
use super::state::Shared;

/// What whoever meets a panic is asked for.
pub const DEFECT: &str = "this is a defect, please report it";

impl Shared {
    /// Runs something that may panic: a codec, the runtime. The words are for whoever waits for the outcome.
    pub fn catch<T>(&self, what: &str, run: impl FnOnce() -> T) -> Result<T, String> {
        catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
            self.lock().metrics.panics += 1;
            format!("{what} panicked: {}", words(payload.as_ref()))
        })
    }

    /// Runs a thread's piece of work. What it panics with is told to the owner, who may be the one who panicked.
    pub fn guard(&self, events: &EventSink, what: &str, run: impl FnOnce()) {
        let Err(message) = self.catch(what, run) else { return };
        tracing::error!("{message}; the thread goes on");
        self.lock().metrics.refuse(RefusalKind::InternalError);
        let refusal = Refusal::new(RefusalKind::InternalError, format!("{message}; {DEFECT}"));
        // Counted and in the log already.
        let _ = self.catch("the receiver of events", || events(Event::Refused(refusal)));
    }
}

fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
