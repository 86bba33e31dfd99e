//! The end of threads, and of the process.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::logging::finish_trace;
use crate::native::log;
use crate::native::process::end_process;

/// Waits for a thread, but not longer than that.
pub fn finished(thread: &JoinHandle<()>, limit: Duration) -> bool {
    let since = Instant::now();
    while since.elapsed() < limit && !thread.is_finished() {
        std::thread::sleep(Duration::from_millis(5));
    }
    thread.is_finished()
}

/// Ends the process while a thread is still within a session: its destructors would run beside it.
pub fn leave(status: i32) -> ! {
    finish_trace();
    log::close_file();
    end_process(status)
}
