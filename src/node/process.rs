//! End of threads and of the process.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::logging::finish_trace;
use crate::native::log;
use crate::native::process::end_process;

/// Waits at most `limit` for a thread, and returns whether it ended.
pub fn is_finished_within(thread: &JoinHandle<()>, limit: Duration) -> bool {
    let since = Instant::now();
    while since.elapsed() < limit && !thread.is_finished() {
        std::thread::sleep(Duration::from_millis(5));
    }
    thread.is_finished()
}

/// Ends the process without destructors, because a thread still runs a session that they would free.
pub fn leave(status: i32) -> ! {
    finish_trace();
    log::close_file();
    end_process(status)
}
