//! The log of rcutils: the console in the format of `RCUTILS_CONSOLE_OUTPUT_FORMAT`, and the file in `$ROS_LOG_DIR`, as in
//! rclcpp nodes. r2r starts both with the context, according to the command line.

use std::ffi::{CStr, CString, c_int};
use std::sync::{Mutex, PoisonError};

use r2r_rcl::{
    rcl_logging_fini, rcl_logging_rosout_enabled, rcutils_get_error_string, rcutils_log, rcutils_log_location_t,
    rcutils_logging_get_logger_effective_level, rcutils_logging_set_logger_level, rcutils_reset_error,
};
use tracing::Level;

/// Lock around calls of rcutils, which is not thread-safe.
static CALLS: Mutex<()> = Mutex::new(());

/// Severities of rcutils.
const DEBUG: c_int = 10;
const INFO: c_int = 20;
const WARN: c_int = 30;
const ERROR: c_int = 40;

/// A line of the log.
pub struct Record<'a> {
    pub level: Level,
    pub message: &'a str,
    pub function: &'a str,
    pub file: &'a str,
    pub line: u32,
}

/// Writes a line to the console, and to the file after the context has opened it. The caller decides which lines are
/// written; see [`accept_all`].
pub fn write(logger: &CStr, record: &Record<'_>) {
    let severity = match record.level {
        Level::ERROR => ERROR,
        Level::WARN => WARN,
        Level::INFO => INFO,
        Level::DEBUG | Level::TRACE => DEBUG,
    };
    let c_string = |text: &str| CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
    let (message, function, file) = (c_string(record.message), c_string(record.function), c_string(record.file));
    let location = rcutils_log_location_t {
        function_name: function.as_ptr(),
        file_name: file.as_ptr(),
        line_number: record.line as usize,
    };
    let _guard = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: all strings end with a zero byte and outlive the call. The format takes one string, the message.
    unsafe {
        rcutils_log(&raw const location, severity, logger.as_ptr(), c"%s".as_ptr(), message.as_ptr());
    }
}

/// Returns the level of a logger: the level from the command line, or the default of rcutils.
pub fn logger_level(logger: &CStr) -> &'static str {
    let _guard = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the name ends with a zero byte.
    match unsafe { rcutils_logging_get_logger_effective_level(logger.as_ptr()) } {
        level if level <= DEBUG => "debug",
        level if level <= INFO => "info",
        level if level <= WARN => "warn",
        _ => "error",
    }
}

/// Makes rcutils write every line of a logger, because the filter of this crate decides which lines are written.
pub fn accept_all(logger: &CStr) {
    let _guard = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the name ends with a zero byte. The call fails only if memory is exhausted; the level stays the same then.
    let _ = unsafe { rcutils_logging_set_logger_level(logger.as_ptr(), DEBUG) };
}

/// Returns whether `/rosout` is enabled, which the command line can disable.
pub fn is_rosout_enabled() -> bool {
    // SAFETY: the call reads a flag.
    unsafe { rcl_logging_rosout_enabled() }
}

/// Flushes and closes the file, which buffers lines for seconds. Later lines appear on the console only.
pub fn close_file() {
    let _guard = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the call is allowed at any time, also twice. A failure has no remedy.
    let _ = unsafe { rcl_logging_fini() };
}

/// Returns the error of the last call of rcl on this thread, without locations in rcl's source code.
pub fn last_error() -> String {
    // SAFETY: the call copies a string of this thread, which ends with a zero byte inside its array.
    let error = unsafe { rcutils_get_error_string() };
    // SAFETY: the string ends with a zero byte, see above.
    let text = unsafe { CStr::from_ptr(error.str_.as_ptr()) }.to_string_lossy().into_owned();
    // SAFETY: the call clears the string of this thread.
    unsafe { rcutils_reset_error() };
    without_locations(&text)
}

/// Removes locations in rcl's source code from an error: "Error opening YAML file, at ./src/parser.c:270, at ...".
pub fn without_locations(text: &str) -> String {
    let is_location = |part: &&str| part.rsplit_once(':').is_some_and(|(file, _)| file.ends_with(".c"));
    let parts: Vec<&str> = text.trim().split(", at ").filter(|part| !is_location(part)).collect();
    parts.join(", at ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_in_the_source_code_are_removed_from_errors() {
        let text = "Couldn't parse params file: '--params-file x.yaml'. Error: Error opening YAML file, at \
                    ./src/parser.c:270, at ./src/rcl/arguments.c:406";
        let cut = "Couldn't parse params file: '--params-file x.yaml'. Error: Error opening YAML file";
        assert_eq!(without_locations(text), cut);
        assert_eq!(without_locations("look, at once"), "look, at once");
    }

    #[test]
    fn a_logger_inherits_the_level_of_its_parent() {
        assert_eq!(logger_level(c"native_log_test.a"), "info", "the default of rcutils");
        accept_all(c"native_log_test");
        assert_eq!(logger_level(c"native_log_test.a"), "debug");
    }
}
