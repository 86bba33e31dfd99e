//! rcutils' log: the console in the format of `RCUTILS_CONSOLE_OUTPUT_FORMAT`, and the file in `$ROS_LOG_DIR`, as every node
//! of rclcpp has them. r2r starts both with the context, as the command line says.

use std::ffi::{CStr, CString, c_int};
use std::sync::{Mutex, PoisonError};

use r2r_rcl::{
    rcl_logging_fini, rcl_logging_rosout_enabled, rcutils_get_error_string, rcutils_log, rcutils_log_location_t,
    rcutils_logging_get_logger_effective_level, rcutils_logging_set_logger_level, rcutils_reset_error,
};
use tracing::Level;

/// rcutils is not to be called by two threads at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Severities of rcutils.
const DEBUG: c_int = 10;
const INFO: c_int = 20;
const WARN: c_int = 30;
const ERROR: c_int = 40;

/// One line of the log.
pub struct Record<'a> {
    pub level: Level,
    pub message: &'a str,
    pub function: &'a str,
    pub file: &'a str,
    pub line: u32,
}

/// Writes to the console, and to the file once the context has opened it. What is to be written is decided before:
/// [`take_all`].
pub fn write(logger: &CStr, record: &Record<'_>) {
    let severity = match record.level {
        Level::ERROR => ERROR,
        Level::WARN => WARN,
        Level::INFO => INFO,
        Level::DEBUG | Level::TRACE => DEBUG,
    };
    let c = |text: &str| CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
    let (message, function, file) = (c(record.message), c(record.function), c(record.file));
    let location = rcutils_log_location_t {
        function_name: function.as_ptr(),
        file_name: file.as_ptr(),
        line_number: record.line as usize,
    };
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: all strings end with a zero byte and outlive the call; the format takes one string, which is given.
    unsafe {
        rcutils_log(&raw const location, severity, logger.as_ptr(), c"%s".as_ptr(), message.as_ptr());
    }
}

/// The level that the command line gives to a logger, and rcutils without it.
pub fn level_of(logger: &CStr) -> &'static str {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the name ends with a zero byte.
    match unsafe { rcutils_logging_get_logger_effective_level(logger.as_ptr()) } {
        level if level <= DEBUG => "debug",
        level if level <= INFO => "info",
        level if level <= WARN => "warn",
        _ => "error",
    }
}

/// Has rcutils write whatever is given to this logger: this crate's own filter decides.
pub fn take_all(logger: &CStr) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the name ends with a zero byte. Without memory for the name its level stays as it is.
    let _ = unsafe { rcutils_logging_set_logger_level(logger.as_ptr(), DEBUG) };
}

/// Whether the command line leaves `/rosout` on.
pub fn is_rosout_enabled() -> bool {
    // SAFETY: reads a flag.
    unsafe { rcl_logging_rosout_enabled() }
}

/// Writes out the file, which holds back lines for seconds. What is logged later is on the console only.
pub fn close_file() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: may be called at any time, also twice. There is nothing to do about an answer that it failed.
    let _ = unsafe { rcl_logging_fini() };
}

/// What went wrong in the last call of rcl on this thread, without the places in its sources.
pub fn last_error() -> String {
    // SAFETY: copies a string of this thread that ends with a zero byte within its array.
    let error = unsafe { rcutils_get_error_string() };
    // SAFETY: as above.
    let text = unsafe { CStr::from_ptr(error.str_.as_ptr()) }.to_string_lossy().into_owned();
    // SAFETY: forgets that string.
    unsafe { rcutils_reset_error() };
    without_places(&text)
}

/// "Error opening YAML file, at ./src/parser.c:270, at ..." is for those who know rcl's sources.
pub fn without_places(text: &str) -> String {
    let is_place = |part: &&str| part.rsplit_once(':').is_some_and(|(file, _)| file.ends_with(".c"));
    let parts: Vec<&str> = text.trim().split(", at ").filter(|part| !is_place(part)).collect();
    parts.join(", at ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_rcl_lose_the_places_in_its_sources() {
        let text = "Couldn't parse params file: '--params-file x.yaml'. Error: Error opening YAML file, at \
                    ./src/parser.c:270, at ./src/rcl/arguments.c:406";
        let cut = "Couldn't parse params file: '--params-file x.yaml'. Error: Error opening YAML file";
        assert_eq!(without_places(text), cut);
        assert_eq!(without_places("look, at once"), "look, at once");
    }

    #[test]
    fn the_level_of_a_logger_is_that_of_the_nearest_name() {
        assert_eq!(level_of(c"native_log_test.a"), "info", "rcutils' own default");
        take_all(c"native_log_test");
        assert_eq!(level_of(c"native_log_test.a"), "debug");
    }
}
